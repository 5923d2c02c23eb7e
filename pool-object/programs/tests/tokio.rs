//! A key-value server on tokio's multi-threaded runtime and its clients, all in one process: tasks,
//! buffers and values are made by one worker thread and dropped by another.

use pool_object::GlobalHeap;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

#[global_allocator]
static ALLOCATOR: GlobalHeap = GlobalHeap;

type Table = Arc<Mutex<HashMap<String, Vec<u8>>>>;

async fn serve(stream: TcpStream, table: Table) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    while let Some(line) = lines.next_line().await? {
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        let reply = match *words {
            ["set", key, value] => {
                table.lock().unwrap().insert(key.to_owned(), value.as_bytes().to_vec());
                "ok\n".to_owned()
            }
            ["get", key] => match table.lock().unwrap().get(key) {
                Some(value) => format!("value {}\n", String::from_utf8_lossy(value)),
                None => "none\n".to_owned(),
            },
            ["del", key] => format!("{}\n", table.lock().unwrap().remove(key).is_some()),
            _ => "what?\n".to_owned(),
        };
        write.write_all(reply.as_bytes()).await?;
    }
    Ok(())
}

async fn accept(listener: TcpListener, table: Table) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, table.clone()));
    }
}

async fn client(address: SocketAddr, id: usize, rounds: usize) -> io::Result<usize> {
    let (read, mut write) = TcpStream::connect(address).await?.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut ask = async |question: String| -> io::Result<String> {
        write.write_all(question.as_bytes()).await?;
        lines.next_line().await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    };
    let mut right = 0;
    for round in 0..rounds {
        let (key, value) =
            (format!("key-{id}-{}", round % 50), "v".repeat(1 + (id * round) % 3000));
        right += usize::from(ask(format!("set {key} {value}\n")).await? == "ok");
        right += usize::from(ask(format!("get {key}\n")).await? == format!("value {value}"));
        if round % 3 == 0 {
            right += usize::from(ask(format!("del {key}\n")).await? == "true");
        }
    }
    Ok(right)
}

fn run(clients: usize, rounds: usize) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let right = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(accept(listener, Table::default()));
        let (send, mut receive) = mpsc::channel(8);
        for id in 0..clients {
            let send = send.clone();
            tokio::spawn(async move { send.send(client(address, id, rounds).await).await });
        }
        drop(send);
        let mut right = 0;
        while let Some(result) = receive.recv().await {
            right += result.unwrap();
        }
        server.abort();
        right
    });
    assert_eq!(right, clients * (2 * rounds + rounds.div_ceil(3)));
}

/// What the heap holds when all that idles has been given back: how much idles before is the doing of the
/// scheduler, too.
fn held() -> usize {
    GlobalHeap::heap().trim();
    GlobalHeap::heap().stats().held_bytes()
}

#[test]
fn a_server_and_its_clients() {
    run(16, 150);
    let before = held();
    for _ in 0..4 {
        run(16, 150);
    }
    let heap = GlobalHeap::heap();
    heap.check().unwrap();
    // Runtimes, their threads and all that the tables held came and went.
    let after = held();
    assert!(after <= before + (4 << 20), "from {before} to {after} bytes\n{}", heap.stats());
}
