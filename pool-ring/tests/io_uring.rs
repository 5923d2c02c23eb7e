//! `UringReceiver` over real sockets; where the kernel does not allow io_uring the tests say so and pass.
#![cfg(all(target_os = "linux", not(miri)))]

use pool_core::{Failing, Heap, PageSource};
use pool_ring::frame::LengthPrefix;
use pool_ring::{PacketRing, UringError, UringEvent, UringReceiver};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

type Source = Arc<pool_core::Stats<Heap>>;

fn source() -> Source {
    Arc::new(Heap::new().counted())
}

fn receiver(buffers: usize, len: usize, source: &Source) -> Option<UringReceiver<Source>> {
    match UringReceiver::try_new_in(buffers, len, source.clone()) {
        Ok(receiver) => Some(receiver),
        Err(UringError::Os { call, error }) => {
            eprintln!("skipped: {call}: {error}");
            // The last: older kernels count its memory against the limit of locked memory.
            let refused = [
                ErrorKind::PermissionDenied,
                ErrorKind::Unsupported,
                ErrorKind::InvalidInput,
                ErrorKind::OutOfMemory,
            ];
            assert!(refused.contains(&error.kind()), "{error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Nothing here takes as long, on the slowest of machines.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

#[test]
fn frames_of_many_connections_arrive_whole() {
    let source = source();
    let Some(mut receiver) = receiver(16, 100, &source) else { return };
    let mut ring = PacketRing::try_new().unwrap();
    let mut codec = LengthPrefix::u16(1000);
    let (mut clients, mut conns, mut servers) = (Vec::new(), Vec::new(), Vec::new());
    for token in 0..10u32 {
        let (client, server) = UnixStream::pair().unwrap();
        receiver.arm(&server, token.into()).unwrap();
        clients.push(client);
        servers.push(server);
        conns.push(ring.open(token));
    }
    let (mut frames, mut ends) = (vec![0usize; 10], 0);
    for round in 0..60usize {
        for (n, client) in clients.iter_mut().enumerate() {
            let len = (round * 7 + n * 31) % 400;
            let mut frame = (len as u16).to_be_bytes().to_vec();
            frame.resize(len + 2, n as u8);
            client.write_all(&frame).unwrap();
        }
        if round == 59 {
            clients.clear();
        }
        while ends < 10
            && receiver.wait(if round == 59 { PATIENCE } else { Some(Duration::ZERO) }).unwrap()
        {
            let mut again = Vec::new();
            while let Some(event) = receiver.next() {
                match event {
                    UringEvent::Received { token, bytes, armed } => {
                        let n = token as usize;
                        let mut bytes = &bytes[..];
                        while !bytes.is_empty() {
                            let mut batch =
                                ring.feed(&mut conns[n], &mut codec, &mut bytes).unwrap();
                            while let Some(frame) = batch.next().unwrap() {
                                assert_eq!(frame.len(), (frames[n] * 7 + n * 31) % 400);
                                assert!(frame.iter().all(|&byte| byte == n as u8));
                                frames[n] += 1;
                            }
                        }
                        if !armed {
                            again.push(token);
                        }
                    }
                    UringEvent::OutOfBuffers { token } => again.push(token),
                    UringEvent::Ended { .. } => ends += 1,
                    event => panic!("{event:?}"),
                }
            }
            for token in again {
                receiver.arm(&servers[token as usize], token).unwrap();
            }
        }
    }
    assert_eq!((frames, ends), (vec![60; 10], 10));
    assert_eq!(ring.stats().bytes, 0);
    drop(receiver);
    assert_eq!(source.traffic().live_bytes, 0, "the buffers are free again");
}

/// More comes than there are buffers: nothing is lost, and the receive goes on when it is armed again.
#[test]
fn running_out_of_buffers_loses_nothing() {
    let source = source();
    let Some(mut receiver) = receiver(2, 64, &source) else { return };
    let (mut client, server) = UnixStream::pair().unwrap();
    receiver.arm(&server, 5).unwrap();
    let sent: Vec<u8> = (0..10_000).map(|n| (n % 251) as u8).collect();
    client.write_all(&sent).unwrap();
    drop(client);
    let (mut got, mut out, mut ended) = (Vec::new(), 0, false);
    while !ended && receiver.wait(PATIENCE).unwrap() {
        let mut again = false;
        while let Some(event) = receiver.next() {
            match event {
                UringEvent::Received { token: 5, bytes, armed } => {
                    got.extend_from_slice(&bytes);
                    again |= !armed;
                }
                UringEvent::OutOfBuffers { token: 5 } => (out, again) = (out + 1, true),
                UringEvent::Ended { token: 5 } => ended = true,
                event => panic!("{event:?}"),
            }
        }
        if again && !ended {
            receiver.arm(&server, 5).unwrap();
        }
    }
    assert!(ended && got == sent, "{} of {} bytes", got.len(), sent.len());
    assert!(out > 0, "two buffers were enough for 10,000 bytes");
}

#[test]
fn forgotten_bytes_give_their_buffer_back_with_the_next_event() {
    let source = source();
    let Some(mut receiver) = receiver(1, 16, &source) else { return };
    let (mut client, server) = UnixStream::pair().unwrap();
    for n in 0..50u8 {
        receiver.arm(&server, 0).unwrap();
        client.write_all(&[n; 16]).unwrap();
        assert!(receiver.wait(PATIENCE).unwrap());
        let mut seen = 0;
        while let Some(event) = receiver.next() {
            if let UringEvent::Received { bytes, .. } = event {
                assert_eq!(bytes[..], [n; 16]);
                seen += 1;
                std::mem::forget(bytes);
            }
        }
        assert_eq!(seen, 1);
        // The receive may be armed still, or have found no buffer.
        receiver.cancel(0).unwrap();
        while receiver.wait(Some(Duration::from_millis(20))).unwrap() {
            while receiver.next().is_some() {}
        }
    }
}

#[test]
fn connections_are_accepted_and_cancelled() {
    let source = source();
    let Some(mut receiver) = receiver(4, 1024, &source) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    receiver.arm_accept(&listener, 1 << 40).unwrap();
    let mut sockets = HashMap::new();
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
    }
    while sockets.len() < 3 && receiver.wait(PATIENCE).unwrap() {
        let mut fresh = Vec::new();
        while let Some(event) = receiver.next() {
            let UringEvent::Accepted { token, socket, armed: true } = event else {
                panic!("{event:?}")
            };
            assert_eq!(token, 1 << 40);
            fresh.push(TcpStream::from(socket));
        }
        for socket in fresh {
            let token = sockets.len() as u64;
            receiver.arm(&socket, token).unwrap();
            sockets.insert(token, socket);
        }
    }
    assert_eq!(sockets.len(), 3);
    receiver.cancel(1).unwrap();
    assert!(receiver.wait(PATIENCE).unwrap());
    assert!(matches!(receiver.next(), Some(UringEvent::Ended { token: 1 })));
    assert!(receiver.next().is_none());
    assert!(!receiver.wait(Some(Duration::from_millis(10))).unwrap());
    // Whoever connects then waits in the listener's queue.
    receiver.cancel_accept(1 << 40).unwrap();
    let ended = loop {
        assert!(receiver.wait(PATIENCE).unwrap());
        if let Some(event) = receiver.next() {
            break matches!(event, UringEvent::Ended { token } if token == 1 << 40);
        }
    };
    assert!(ended);
    clients.push(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
    assert!(!receiver.wait(Some(Duration::from_millis(10))).unwrap());
    assert!(listener.accept().is_ok());
    receiver.arm_accept(&listener, 1 << 40).unwrap();
    // Dropped with three operations in flight, and with a client that goes on sending.
    clients[0].write_all(&[1; 3000]).unwrap();
    drop(receiver);
    assert_eq!(source.traffic().live_bytes, 0);
    let mut rest = [0; 10];
    let _ = sockets[&1].set_nonblocking(true);
    assert_eq!((&sockets[&1]).read(&mut rest).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn what_cannot_be_is_refused() {
    let source = source();
    for (buffers, len) in [(1 << 16, 1), (1, 0), (usize::MAX, 1), (1, usize::MAX)] {
        let error = UringReceiver::try_new_in(buffers, len, source.clone()).unwrap_err();
        assert!(matches!(error, UringError::TooLarge { .. }), "{error}");
    }
    for call in 0..2 {
        let failing = Arc::new(Failing::after(Heap::new().counted(), call));
        match UringReceiver::try_new_in(4, 64, failing.clone()) {
            Err(UringError::Source(_)) => {}
            Err(UringError::Os { call: "io_uring_setup", .. }) => return,
            other => panic!("{other:?}"),
        }
        assert_eq!(failing.inner().traffic().live_bytes, 0);
    }
    let Some(mut receiver) = receiver(1, 1, &source) else { return };
    let (_client, server) = UnixStream::pair().unwrap();
    assert!(matches!(receiver.arm(&server, 1 << 62), Err(UringError::Token { .. })));
    let file = std::fs::File::open("/dev/null").unwrap();
    receiver.arm(&file, 3).unwrap();
    assert!(receiver.wait(PATIENCE).unwrap());
    assert!(matches!(receiver.next(), Some(UringEvent::Failed { token: 3, .. })));
}

/// Linux 5.1 to 5.18 has io_uring and no rings of buffers; here a filter of this thread's system calls refuses them.
#[test]
fn a_kernel_that_registers_nothing_leaves_nothing_behind() {
    std::thread::spawn(|| {
        if !refuse_register() {
            return eprintln!("skipped: no filters here");
        }
        let source = source();
        for _ in 0..3 {
            assert!(UringReceiver::try_new_in(64, 4096, source.clone()).is_err());
            assert_eq!((Arc::strong_count(&source), source.traffic().live_bytes), (1, 0));
        }
    })
    .join()
    .unwrap();
}

/// Makes `io_uring_register` fail with EINVAL from now on, in this thread.
fn refuse_register() -> bool {
    let filter = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let errno = libc::SECCOMP_RET_ERRNO | libc::EINVAL as u32;
    let mut filters = [
        // The number of the system call.
        filter(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        filter(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            libc::SYS_io_uring_register as u32,
        ),
        filter(libc::BPF_RET | libc::BPF_K, 0, 0, errno),
        filter(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filters.len() as u16, filter: filters.as_mut_ptr() };
    // SAFETY: takes numbers only, and changes what this thread may become by `exec`.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return false;
    }
    // SAFETY: `program` and its filters live until the call returns; the kernel copies them.
    unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) == 0 }
}
