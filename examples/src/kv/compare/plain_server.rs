//! What most people write: a task for each connection, a `BytesMut` in and one out, a hash map of `Bytes`.
//! It knows PING, SET, GET, DEL and INFO, so that `kv compare --peers` can drive it.
//!
//! The buffers are of 4 KiB, as tokio's own tutorial has them; the strategies of `kv` share no code with it.
#![forbid(unsafe_code)]

use bytes::{Bytes, BytesMut};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

type Store = Rc<RefCell<HashMap<Bytes, Bytes>>>;

/// Serves on 127.0.0.1 until the process ends.
///
/// # Errors
/// If the port is taken, or the system refuses what a runtime needs.
pub fn run(port: u16) -> std::io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(serve(port))
}

async fn serve(port: u16) -> std::io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let store = Store::default();
    let serve = async move {
        loop {
            let Ok((socket, _)) = listener.accept().await else { continue };
            tokio::task::spawn_local(connection(socket, store.clone()));
        }
    };
    LocalSet::new().run_until(serve).await
}

/// Reads, answers whole requests, writes; until the client leaves or says what is not understood.
async fn connection(mut socket: TcpStream, store: Store) {
    let _ = socket.set_nodelay(true);
    let (mut input, mut output) = (BytesMut::with_capacity(4096), BytesMut::with_capacity(4096));
    while socket.read_buf(&mut input).await.is_ok_and(|len| len > 0) {
        loop {
            match request(&mut input) {
                Ok(Some(words)) => execute(&words, &store, &mut output),
                Ok(None) => break,
                Err(NotUnderstood) => return,
            }
        }
        if socket.write_all_buf(&mut output).await.is_err() {
            return;
        }
    }
}

struct NotUnderstood;

/// Takes one request from the front, if it is whole.
fn request(input: &mut BytesMut) -> Result<Option<Vec<Bytes>>, NotUnderstood> {
    let Some(&first) = input.first() else { return Ok(None) };
    if first != b'*' {
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        let line = input.split_to(end + 1).freeze();
        let words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        return Ok(Some(words.map(|word| line.slice_ref(word)).collect()));
    }
    let Some((count, mut at)) = number(input, 1)? else { return Ok(None) };
    let mut spans = Vec::with_capacity(count.min(1024));
    for _ in 0..count {
        let Some((len, begin)) = number(input, at + 1)? else { return Ok(None) };
        if input.len() < begin + len + 2 {
            return Ok(None);
        }
        spans.push((begin, begin + len));
        at = begin + len + 2;
    }
    let frame = input.split_to(at).freeze();
    Ok(Some(spans.into_iter().map(|(begin, end)| frame.slice(begin..end)).collect()))
}

/// The number of the line that begins at `at`, and where the next one does.
fn number(input: &BytesMut, at: usize) -> Result<Option<(usize, usize)>, NotUnderstood> {
    let rest = input.get(at..).unwrap_or_default();
    let Some(end) = rest.iter().position(|byte| *byte == b'\r') else { return Ok(None) };
    let digits = std::str::from_utf8(&rest[..end]).map_err(|_| NotUnderstood)?;
    let number: usize = digits.parse().map_err(|_| NotUnderstood)?;
    let fits = number < 1 << 30;
    if fits { Ok(Some((number, at + end + 2))) } else { Err(NotUnderstood) }
}

fn execute(words: &[Bytes], store: &Store, output: &mut BytesMut) {
    let name = words.first().map(|name| name.to_ascii_uppercase()).unwrap_or_default();
    match (name.as_slice(), words) {
        (b"PING", _) => output.extend_from_slice(b"+PONG\r\n"),
        (b"SET", [_, key, value]) => {
            // Copies, as a value must not keep the buffer it came in.
            let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
            store.borrow_mut().insert(key, value);
            output.extend_from_slice(b"+OK\r\n");
        }
        (b"GET", [_, key]) => match store.borrow().get(key) {
            Some(value) => bulk(output, value),
            None => output.extend_from_slice(b"$-1\r\n"),
        },
        (b"DEL", [_, key]) => {
            let gone = usize::from(store.borrow_mut().remove(key).is_some());
            output.extend_from_slice(format!(":{gone}\r\n").as_bytes());
        }
        (b"INFO", _) => bulk(output, format!("keys:{}\r\n", store.borrow().len()).as_bytes()),
        _ => output.extend_from_slice(b"-ERR unknown command\r\n"),
    }
}

fn bulk(output: &mut BytesMut, value: &[u8]) {
    output.extend_from_slice(format!("${}\r\n", value.len()).as_bytes());
    output.extend_from_slice(value);
    output.extend_from_slice(b"\r\n");
}
