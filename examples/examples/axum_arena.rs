//! An axum handler whose scratch memory is an arena: `cargo run -p examples --example axum_arena`.
//!
//! An [`Arena`] may be owned by a task and so held across `.await` on any runtime; what may not be is a
//! *borrow* of it, `&Arena`. So the handler collects what it awaits first, and works in the arena
//! between two awaits. Arenas come from a pool, warm: in the steady state no chunk is acquired.
#![forbid(unsafe_code)]

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use pool_arena::Arena;
use pool_object::{Recycle, SharedPool};
use std::error::Error;
use std::fmt::Write;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Arenas are reset when they come back, and one that a huge request has made fat is not kept.
struct Scratch;

impl Recycle<Arena> for Scratch {
    fn create(&self) -> Arena {
        Arena::new()
    }

    fn reset(&self, arena: &mut Arena) {
        arena.reset();
    }

    fn keep(&self, arena: &Arena) -> bool {
        arena.allocated_bytes() <= 1 << 20
    }
}

type Arenas = Arc<SharedPool<Arena, Scratch>>;

/// Sorts the words of the body. Everything in between is in the arena: the list, the copies in lower
/// case, the answer before it is sent.
async fn sort_words(State(arenas): State<Arenas>, body: Bytes) -> String {
    let arena = arenas.get_owned();
    let text = String::from_utf8_lossy(&body);
    let mut words = arena.tail_vec();
    for word in text.split_whitespace() {
        // A copy in the same arena, made while the list grows in it.
        let copy = arena.alloc_str(word);
        copy.make_ascii_lowercase();
        words.push(&*copy);
    }
    let words = words.finish();
    words.sort_unstable();
    let mut answer = String::with_capacity(body.len() + 1);
    for word in words.iter() {
        let _ = writeln!(answer, "{word}");
    }
    answer
}

/// Serves, asks itself some times, and says what the arenas cost.
#[tokio::main(worker_threads = 4)]
pub async fn main() -> Result<(), Box<dyn Error>> {
    let arenas: Arenas = Arc::new(SharedPool::with(Scratch));
    let router = Router::new().route("/", post(sort_words)).with_state(arenas.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(async move { axum::serve(listener, router).await });

    for _ in 0..100 {
        let mut client = TcpStream::connect(address).await?;
        let request = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 17\r\n\r\n\
                       the Quick brown A";
        client.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        client.read_to_string(&mut answer).await?;
        assert!(answer.ends_with("\r\n\r\na\nbrown\nquick\nthe\n"), "{answer}");
    }
    server.abort();
    let stats = arenas.stats();
    println!("100 requests, {} arenas", stats.created);
    assert!(stats.created < 20, "arenas are used again: {stats:?}");
    Ok(())
}
