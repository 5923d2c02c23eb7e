//! An echo server of frames on one thread with io_uring: connections are accepted, and bytes received, by operations that
//! are armed once; the kernel takes a buffer of a pool when bytes have come, and what is no whole frame waits in a packet
//! ring. Where the kernel does not allow io_uring it says so and ends.
//!
//! ```text
//! cargo run --example io_uring_echo --features io-uring -- 127.0.0.1:7000
//! cargo run --example io_uring_echo --features io-uring        with a few clients of its own
//! ```

#[cfg(target_os = "linux")]
mod echo {
    use pool_ring::frame::{Encoder, LengthPrefix};
    use pool_ring::{Conn, PacketRing, UringError, UringEvent, UringReceiver};
    use std::collections::HashMap;
    use std::error::Error;
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};

    const LISTENER: u64 = u32::MAX as u64 + 1;
    const FRAMES: LengthPrefix = LengthPrefix::u16(4096);

    struct Server {
        listener: TcpListener,
        receiver: UringReceiver,
        ring: PacketRing,
        clients: HashMap<u64, (TcpStream, Conn)>,
        next: u32,
        served: usize,
    }

    /// What is to be done when an event is over, since that borrows the receiver.
    enum Then {
        Nothing,
        /// `armed`: more will be accepted.
        Open {
            socket: TcpStream,
            armed: bool,
        },
        Arm(u64),
        Close(u64),
    }

    impl Server {
        fn turn(&mut self) -> Result<(), Box<dyn Error>> {
            self.receiver.wait(None)?;
            loop {
                let then = match self.receiver.next() {
                    None => break,
                    Some(UringEvent::Accepted { socket, armed, .. }) => {
                        Then::Open { socket: socket.into(), armed }
                    }
                    Some(UringEvent::Received { token, bytes, armed }) => match self
                        .clients
                        .get_mut(&token)
                    {
                        Some((socket, conn)) => match echo(&mut self.ring, socket, conn, &bytes) {
                            Ok(()) if armed => Then::Nothing,
                            Ok(()) => Then::Arm(token),
                            Err(_) => Then::Close(token),
                        },
                        None => Then::Nothing,
                    },
                    Some(UringEvent::OutOfBuffers { token }) => Then::Arm(token),
                    Some(UringEvent::Ended { token } | UringEvent::Failed { token, .. }) => {
                        Then::Close(token)
                    }
                };
                self.act(then)?;
            }
            for token in self.ring.evicted().collect::<Vec<_>>() {
                self.close(token.into());
            }
            Ok(())
        }

        fn act(&mut self, then: Then) -> Result<(), UringError> {
            match then {
                Then::Nothing => {}
                Then::Open { socket, armed } => {
                    // The kernel may end accepting with a connection, as it does when its events are read too late.
                    if !armed {
                        self.receiver.arm_accept(&self.listener, LISTENER)?;
                    }
                    let token = self.next;
                    self.next += 1;
                    self.receiver.arm(&socket, token.into())?;
                    self.clients.insert(token.into(), (socket, self.ring.open(token)));
                }
                Then::Arm(token) => {
                    if let Some((socket, _)) = self.clients.get(&token) {
                        self.receiver.arm(socket, token)?;
                    }
                }
                Then::Close(LISTENER) => self.receiver.arm_accept(&self.listener, LISTENER)?,
                Then::Close(token) => self.close(token),
            }
            Ok(())
        }

        fn close(&mut self, token: u64) {
            if let Some((socket, mut conn)) = self.clients.remove(&token) {
                // Ends the receive, too, if it is armed still.
                let _ = socket.shutdown(std::net::Shutdown::Both);
                self.ring.close(&mut conn);
                self.served += 1;
            }
        }
    }

    /// Sends every whole frame back.
    fn echo(
        ring: &mut PacketRing,
        socket: &mut TcpStream,
        conn: &mut Conn,
        bytes: &[u8],
    ) -> Result<(), Box<dyn Error>> {
        let (mut frames, mut bytes, mut reply) = (FRAMES, bytes, [0; 4096]);
        while !bytes.is_empty() {
            let mut batch = ring.feed(conn, &mut frames, &mut bytes)?;
            while let Some(frame) = batch.next()? {
                let len = FRAMES.encode(frame, &mut reply)?;
                socket.write_all(&reply[..len])?;
            }
        }
        Ok(())
    }

    fn client(address: SocketAddr, n: usize) -> std::io::Result<()> {
        let mut socket = TcpStream::connect(address)?;
        for round in 0..100usize {
            let frame = vec![n as u8; (round * 37 + n) % 4000];
            let mut sent = (frame.len() as u16).to_be_bytes().to_vec();
            sent.extend(&frame);
            for piece in sent.chunks(1 + (round * 91) % 1500) {
                socket.write_all(piece)?;
            }
            let mut got = vec![0; sent.len()];
            socket.read_exact(&mut got)?;
            assert_eq!(got, sent);
        }
        Ok(())
    }

    pub fn main() -> Result<(), Box<dyn Error>> {
        let receiver = match UringReceiver::try_new(64, 4096) {
            Ok(receiver) => receiver,
            Err(UringError::Os { call, error }) => {
                println!("no io_uring here: {call}: {error}");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let address = std::env::args().nth(1);
        let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:0"))?;
        let local = listener.local_addr()?;
        println!("listening on {local}");
        let (ring, clients) = (PacketRing::try_new()?, HashMap::new());
        let mut server = Server { listener, receiver, ring, clients, next: 0, served: 0 };
        server.receiver.arm_accept(&server.listener, LISTENER)?;
        if address.is_some() {
            loop {
                server.turn()?;
            }
        }
        let clients: Vec<_> =
            (0..8).map(|n| std::thread::spawn(move || client(local, n))).collect();
        while server.served < clients.len() {
            server.turn()?;
        }
        for client in clients {
            client.join().map_err(|_| "a client has failed")??;
        }
        println!("{:?}", server.ring.stats());
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    echo::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("io_uring is Linux's");
}
