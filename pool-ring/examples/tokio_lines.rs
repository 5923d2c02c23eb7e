//! A server of tasks on one thread with `tokio`: whoever sends a line gets it back reversed. A task that waits holds no
//! buffer: it awaits readiness, and reads into the worker's packet ring then.
//!
//! ```text
//! cargo run --example tokio_lines --features tokio
//! ```

use pool_ring::frame::Lines;
use pool_ring::{PacketRing, ReadError, RecvError, recv_frames};
use std::cell::RefCell;
use std::error::Error;
use std::rc::Rc;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Serves one connection until it ends; returns how many lines there were.
async fn serve(
    ring: Rc<RefCell<PacketRing>>,
    mut socket: TcpStream,
    index: u32,
) -> Result<usize, Box<dyn Error>> {
    let mut conn = ring.borrow_mut().open(index);
    let (mut lines, mut served) = (Lines::new(1024), 0);
    loop {
        let mut replies = Vec::new();
        let reverse = |line: &[u8]| {
            replies.extend(line.iter().rev());
            replies.push(b'\n');
        };
        match recv_frames(&ring, &mut conn, &mut lines, &socket, reverse).await {
            Ok(frames) => served += frames,
            Err(RecvError::Read(ReadError::Ended { .. })) => return Ok(served),
            Err(error) => {
                ring.borrow_mut().close(&mut conn);
                return Err(error.to_string().into());
            }
        }
        socket.write_all(&replies).await?;
    }
}

async fn client(address: std::net::SocketAddr, n: usize) -> Result<(), Box<dyn Error>> {
    let mut socket = BufReader::new(TcpStream::connect(address).await?);
    for line in 0..10 {
        let text = format!("{line} enil fo {n} tneilc");
        let (first, second) = text.split_at(line + n);
        socket.write_all(first.as_bytes()).await?;
        tokio::task::yield_now().await;
        socket.write_all(format!("{second}\n").as_bytes()).await?;
        let mut reply = String::new();
        socket.read_line(&mut reply).await?;
        assert_eq!(reply.trim_end(), text.chars().rev().collect::<String>());
    }
    Ok(())
}

async fn run() -> Result<(), Box<dyn Error>> {
    let ring = Rc::new(RefCell::new(PacketRing::try_new()?));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let clients: Vec<_> = (0..5)
        .map(|n| tokio::task::spawn_local(async move { client(address, n).await.unwrap() }))
        .collect();
    let mut tasks = Vec::new();
    for index in 0..clients.len() as u32 {
        let (socket, _) = listener.accept().await?;
        let ring = ring.clone();
        tasks.push(tokio::task::spawn_local(
            async move { serve(ring, socket, index).await.unwrap() },
        ));
    }
    for client in clients {
        client.await?;
    }
    let mut lines = 0;
    for task in tasks {
        lines += task.await?;
    }
    println!("{lines} lines; {:?}", ring.borrow().stats());
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(tokio::task::LocalSet::new().run_until(run()))
}
