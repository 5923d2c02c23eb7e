//! `spsc` in every interleaving: bytes belong to one half at a time, arrive as they were written,
//! and nothing is lost at the end of a lap or of the producer.
#![cfg(loom)]

use loom::thread;
use pool_core::Heap;
use pool_ring::spsc::{Consumer, Producer, channel_in};

fn model(check: impl Fn(Producer<Heap>, Consumer<Heap>) + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let (producer, consumer) = channel_in(4096, Heap::new()).unwrap();
        assert_eq!(producer.capacity(), 4096);
        check(producer, consumer);
    });
}

/// With its length 1,536 bytes, three pieces of loom's: two fit, the third begins another lap.
const BODY: usize = 1532;

#[test]
fn messages_over_the_end_of_a_lap() {
    model(|mut producer, mut consumer| {
        let sender = thread::spawn(move || {
            for n in 0..3u8 {
                while producer.send(&[n; BODY]).is_err() {
                    thread::yield_now();
                }
            }
        });
        let mut n = 0;
        while n < 3 {
            match consumer.recv() {
                Some(message) => {
                    assert_eq!((message[0], message[BODY - 1]), (n, n));
                    n += 1;
                }
                None => thread::yield_now(),
            }
        }
        sender.join().unwrap();
        assert!(consumer.is_closed());
    });
}

/// Laps that end exactly.
#[test]
fn bytes_over_the_end_of_a_lap() {
    model(|mut producer, mut consumer| {
        let sender = thread::spawn(move || {
            for n in 0..3u8 {
                loop {
                    if let Some(mut grant) = producer.grant(2048) {
                        grant.write(&[n; 2048]);
                        break;
                    }
                    thread::yield_now();
                }
            }
        });
        let mut n = 0;
        while n < 3 {
            let ready = consumer.read();
            assert_eq!(ready.len() % 2048, 0);
            match ready.first() {
                Some(&first) => {
                    assert_eq!((first, ready[2047]), (n, n));
                    consumer.consume(2048);
                    n += 1;
                }
                None => thread::yield_now(),
            }
        }
        sender.join().unwrap();
    });
}

#[test]
fn what_was_sent_before_the_end_is_read() {
    model(|mut producer, mut consumer| {
        let sender = thread::spawn(move || producer.send(&[9; 508]).unwrap());
        let mut got = 0;
        while !consumer.is_closed() {
            match consumer.recv() {
                Some(message) => got += message.len(),
                None => thread::yield_now(),
            }
        }
        assert_eq!(got, 508);
        sender.join().unwrap();
    });
}

#[test]
fn the_producer_sees_that_the_consumer_is_gone() {
    model(|mut producer, consumer| {
        let reader = thread::spawn(move || drop(consumer));
        while !producer.is_closed() {
            let _ = producer.send(&[1; 508]);
            thread::yield_now();
        }
        reader.join().unwrap();
    });
}
