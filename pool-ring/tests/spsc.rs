//! Both kinds of rings between two threads.

use pool_core::{Heap, PageSource};
use pool_ring::spsc::{Consumer, Producer, SendError, channel, channel_in};
use pool_ring::{MirrorOr, RingBuf};
use std::sync::Arc;
use std::thread;

fn body(n: u32) -> Vec<u8> {
    let len = (n.wrapping_mul(2654435761) >> 20) as usize % if n % 50 == 0 { 1900 } else { 90 };
    (0..len).map(|at| (n as usize + at) as u8).collect()
}

fn messages<S: PageSource + Send + Sync + 'static>(source: S, count: u32) {
    let (mut producer, mut consumer) = channel_in(4096, source).unwrap();
    let sender = thread::spawn(move || {
        for n in 0..count {
            while let Err(error) = producer.send(&body(n)) {
                assert!(matches!(error, SendError::Full { .. }), "{error}");
                thread::yield_now();
            }
        }
    });
    let mut n = 0;
    while !consumer.is_closed() {
        match consumer.recv() {
            Some(message) => {
                assert_eq!(*message, body(n));
                n += 1;
            }
            None => thread::yield_now(),
        }
    }
    assert_eq!(n, count);
    sender.join().unwrap();
}

fn count(native: u32) -> u32 {
    if cfg!(miri) { 30 } else { native }
}

#[test]
fn messages_arrive_whole_and_in_order() {
    messages(Heap::new(), count(30_000));
    messages(Arc::new(MirrorOr::new(Heap::new())), count(30_000));
}

fn bytes<S: PageSource + Send + Sync + 'static>(source: S, total: usize) {
    let (mut producer, mut consumer) = channel_in(4096, source).unwrap();
    let sender = thread::spawn(move || {
        let mut sent = 0;
        while sent < total {
            let chunk: Vec<u8> = (sent..total.min(sent + 777)).map(|at| at as u8).collect();
            let mut rest = &chunk[..];
            while !rest.is_empty() {
                // Now by copying, now by a grant.
                let n = if sent % 2 == 0 {
                    producer.write(rest)
                } else {
                    match producer.grant(rest.len().min(100)) {
                        Some(mut grant) => grant.write(rest),
                        None => 0,
                    }
                };
                rest = &rest[n..];
                sent += n;
                if n == 0 {
                    thread::yield_now();
                }
            }
        }
    });
    let mut got = 0;
    while !consumer.is_closed() {
        let ready = consumer.read();
        let n = ready.len().min(1000);
        assert!(ready[..n].iter().enumerate().all(|(at, &byte)| byte == (got + at) as u8));
        got += n;
        consumer.consume(n);
        if n == 0 {
            thread::yield_now();
        }
    }
    assert_eq!(got, total);
    sender.join().unwrap();
}

#[test]
fn bytes_arrive_in_order() {
    bytes(Heap::new(), count(400_000) as usize * 10);
    bytes(Arc::new(MirrorOr::new(Heap::new())), count(400_000) as usize * 10);
}

/// Every sequence of lengths that fills laps exactly, or not.
#[test]
fn laps_end_anywhere() {
    let heap = Heap::new();
    for len in (if cfg!(miri) { 600 } else { 1 }..1100usize)
        .step_by(if cfg!(miri) { 450 } else { 7 })
        .chain([1024, 2048, 4096, 512])
    {
        let (mut producer, mut consumer): (Producer<_>, Consumer<_>) =
            channel_in(4096, &heap).unwrap();
        let n = producer.capacity();
        let mut value = 0u8;
        for _ in 0..if cfg!(miri) { 2 } else { 50 } {
            let mut granted = 0;
            while let Some(mut grant) = producer.grant(len) {
                assert_eq!(grant.write(&vec![value; len]), len);
                value = value.wrapping_add(1);
                granted += 1;
            }
            assert!(granted * len + len > n / 2 || granted == 0 && len > n / 2);
            for past in (0..granted).rev() {
                let ready = consumer.read();
                assert!(ready.len() >= len && ready.len() % len == 0);
                let expected = value.wrapping_sub((past as u8).wrapping_add(1));
                assert!(ready[..len].iter().all(|&byte| byte == expected), "{len}");
                consumer.consume(len);
            }
            assert!(consumer.read().is_empty());
        }
    }
}

#[test]
fn refusals_say_why() {
    let (mut producer, consumer) = channel(4096).unwrap();
    let n = producer.capacity();
    let too_large = producer.send(&vec![0; n]).unwrap_err();
    assert_eq!(too_large, SendError::TooLarge { len: n, max: n / 2 - 4 });
    while producer.send(&[7; 1000]).is_ok() {}
    assert_eq!(producer.send(&[7; 1000]), Err(SendError::Full { asked: 1004 }));
    assert!(!producer.is_closed());
    drop(consumer);
    assert!(producer.is_closed());
    assert_eq!(producer.send(&[7; 1000]), Err(SendError::Closed));
    assert!(producer.grant(n + 1).is_none() && producer.grant(usize::MAX).is_none());
}

#[test]
fn forgotten_grants_and_messages_change_nothing() {
    let (mut producer, mut consumer) = channel(4096).unwrap();
    let mut grant = producer.grant(10).unwrap();
    grant.write(b"lost");
    std::mem::forget(grant);
    producer.send(b"kept").unwrap();
    std::mem::forget(consumer.recv().unwrap());
    assert_eq!(&*consumer.recv().unwrap(), b"kept");
    assert!(consumer.recv().is_none());
    producer.send(b"").unwrap();
    assert!(consumer.recv().unwrap().is_empty());
}

#[test]
fn a_ring_splits_with_what_is_in_it() {
    let heap = Heap::new();
    let mut ring = RingBuf::try_with_capacity_in(4096, &heap).unwrap();
    ring.push(&[1; 4000]);
    ring.consume(3990);
    let (mut producer, mut consumer) = ring.split();
    let n = producer.capacity();
    assert_eq!(producer.write(&vec![2; n]), n - 10);
    let mut got = Vec::new();
    while !consumer.read().is_empty() {
        let ready = consumer.read();
        let len = ready.len();
        got.extend_from_slice(ready);
        consumer.consume(len);
    }
    assert_eq!(got[..10], [1; 10]);
    assert!(got.len() == n && got[10..].iter().all(|&byte| byte == 2));
    let (mut none, mut nothing) = RingBuf::new_in(&heap).split();
    assert_eq!((none.write(b"x"), nothing.read(), none.grant(1).is_none()), (0, &b""[..], true));
}
