//! `GlobalHeap` as the allocator of this whole test binary: threads that end, their teardown,
//! forks, collections. One test at a time, since all use the one heap and some look at what it holds.
#![cfg(all(target_os = "linux", not(miri)))]

use pool_object::{GlobalHeap, SizeClass};
use std::alloc::{GlobalAlloc, Layout};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: GlobalHeap = GlobalHeap;

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `f` in a forked child and returns its exit code, or -1 if a signal ended it.
fn in_child(f: impl FnOnce() -> c_int) -> c_int {
    // SAFETY: the child runs `f` and leaves by `_exit`; `f` allocates, which is what this is about.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        0 => {
            let code = f();
            // SAFETY: ends the child at once, without destructors of the parent's state.
            unsafe { libc::_exit(code) }
        }
        child => exit_code(child),
    }
}

fn exit_code(child: libc::pid_t) -> c_int {
    let begin = Instant::now();
    loop {
        let mut status = 0;
        // SAFETY: waits for our own child, with a place for its status.
        if unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) } == child {
            return if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -1 };
        }
        if begin.elapsed() > Duration::from_secs(300) {
            // SAFETY: our own child, which hangs.
            unsafe { libc::kill(child, libc::SIGKILL) };
            panic!("the child hangs");
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Something that uses the allocator in many ways; returns a sum that tells whether it was right.
fn exercise(salt: usize) -> usize {
    let words: Vec<String> =
        (0..200).map(|n| format!("word {} {}", n, "x".repeat(n % 70))).collect();
    let map: HashMap<&str, usize> = words.iter().map(|w| (w.as_str(), w.len() + salt)).collect();
    let tree: BTreeMap<usize, String> = map.iter().map(|(k, v)| (*v, (*k).to_owned())).collect();
    let large: Vec<u8> = vec![0; 100_000 + salt];
    assert!(large.iter().all(|byte| *byte == 0));
    let mut grown = Vec::new();
    grown.extend((0..10_000).map(|n| n + salt));
    tree.len() + map.values().sum::<usize>() - salt * map.len() + grown[9_999] - salt + large.len()
        - salt
}

#[test]
fn a_program_runs_over_it() {
    let _alone = alone();
    let expected = exercise(0);
    let kept: Vec<Box<u64>> = (0..100_000).map(Box::new).collect();
    let live = GlobalHeap::heap().stats().live();
    // Other threads' caches are known as of a while ago.
    assert!(live > kept.len() / 2, "{live}");
    let threads: Vec<_> = (1..5).map(|salt| thread::spawn(move || exercise(salt))).collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), expected);
    }
    GlobalHeap::heap().check().unwrap();
}

#[test]
fn failure_is_a_null_pointer() {
    let _alone = alone();
    let mut vector: Vec<u8> = Vec::new();
    assert!(vector.try_reserve_exact(1 << 60).is_err());
    let layout = Layout::from_size_align(isize::MAX as usize - 4095, 4096).unwrap();
    // SAFETY: the layout is not empty.
    assert!(unsafe { GlobalHeap.alloc(layout) }.is_null());
}

#[test]
fn blocks_of_a_constant_class_are_reused() {
    let _alone = alone();
    let first = Box::new([1_u64; 5]);
    let address = std::ptr::from_ref(&*first).addr();
    drop(first);
    let second = Box::new([2_u64; 5]);
    assert_eq!(std::ptr::from_ref(&*second).addr(), address);
}

/// The standard sorted map, whose nodes are of two sizes, beside a sorted vector; then its clones go to
/// other threads and are dropped there.
#[test]
fn sorted_maps_behave_over_it() {
    let _alone = alone();
    let mut seed = 17u64;
    let mut random = move |bound: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize % bound
    };
    let mut map: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut model: Vec<(String, Vec<usize>)> = Vec::new();
    let mut clones = Vec::new();
    for step in 0..20_000 {
        let key = format!("key {}", random(1000));
        let place = model.binary_search_by(|(other, _)| other.cmp(&key));
        match (random(12), place) {
            (0..=2, Ok(at)) => assert_eq!(map.remove(&key), Some(model.remove(at).1)),
            (3, Ok(at) | Err(at)) if step % 20 == 0 => {
                // The halves change places, and come together again.
                let mut tail = map.split_off(&key);
                assert_eq!(tail.len(), model.len() - at);
                tail.append(&mut map);
                map = tail;
            }
            (4, _) if step % 500 == 0 => clones.push((map.clone(), model.clone())),
            (_, Ok(at)) => {
                map.get_mut(&key).unwrap().push(step);
                model[at].1.push(step);
            }
            (_, Err(at)) => {
                map.insert(key.clone(), vec![step; step % 9]);
                model.insert(at, (key, vec![step; step % 9]));
            }
        }
    }
    clones.push((map, model));
    assert!(clones.len() > 1);
    let threads: Vec<_> = clones
        .into_iter()
        .map(|(map, model)| thread::spawn(move || map.into_iter().eq(model)))
        .collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
    GlobalHeap::heap().check().unwrap();
}

#[test]
fn threads_that_come_and_go_leave_nothing() {
    let _alone = alone();
    let churn = |rounds: usize| {
        for round in 0..rounds {
            let (send, receive) = mpsc::channel::<Vec<Box<[u8]>>>();
            let maker = thread::spawn(move || {
                for n in 0..20 {
                    let blocks = (0..50).map(|k| vec![n as u8; 8 + k * (1 + round % 90)].into());
                    send.send(blocks.collect()).unwrap();
                }
            });
            let user = thread::spawn(move || {
                receive.into_iter().flatten().map(|block| block.len()).sum::<usize>()
            });
            maker.join().unwrap();
            assert!(user.join().unwrap() > 0);
        }
    };
    // What idles goes first: of what is left, lost caches would be some ten KiB for each of 540 threads.
    let held = || {
        GlobalHeap::heap().trim();
        GlobalHeap::heap().stats().held_bytes()
    };
    churn(2);
    let before = held();
    churn(268);
    let after = held();
    assert!(after <= before + (4 << 20), "from {before} to {after} bytes");
}

#[test]
fn it_works_while_a_thread_is_torn_down() {
    /// Allocates and frees in its destructor, which runs when other locals are going.
    struct Late(Arc<AtomicUsize>, Option<Vec<String>>);
    impl Drop for Late {
        fn drop(&mut self) {
            self.1 = None;
            self.0.store(exercise(3), Relaxed);
        }
    }
    thread_local! {
        static LATE: RefCell<Option<Late>> = const { RefCell::new(None) };
    }
    let _alone = alone();
    let result = Arc::new(AtomicUsize::new(0));
    let seen = result.clone();
    thread::spawn(move || {
        let strings = (0..100).map(|n| n.to_string()).collect();
        LATE.with(|late| *late.borrow_mut() = Some(Late(seen, Some(strings))));
    })
    .join()
    .unwrap();
    assert_eq!(result.load(Relaxed), exercise(0));
}

/// What the system calls at the very end of a thread, perhaps after the allocator's own hook.
#[test]
fn it_works_after_its_own_hook() {
    let _alone = alone();
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn at_end(value: *mut libc::c_void) {
        let text = format!("allocated late, {}", value.addr());
        CALLS.fetch_add(usize::from(text.len() > 16) + exercise(1), Relaxed);
    }
    let mut keys = [0; 3];
    for key in &mut keys {
        // SAFETY: a place for a key, and a function of that signature that does not unwind.
        assert_eq!(unsafe { libc::pthread_key_create(key, Some(at_end)) }, 0);
    }
    thread::spawn(move || {
        let warm = exercise(2);
        for key in keys {
            // SAFETY: a key that was created; the value is not null.
            let error =
                unsafe { libc::pthread_setspecific(key, std::ptr::dangling::<u64>().cast()) };
            assert_eq!(error, 0);
        }
        warm
    })
    .join()
    .unwrap();
    assert_eq!(CALLS.load(Relaxed), 3 * (1 + exercise(0)));
}

#[test]
fn a_forked_child_goes_on() {
    let _alone = alone();
    let stop = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..3)
        .map(|salt| {
            let stop = stop.clone();
            thread::spawn(move || {
                while !stop.load(Relaxed) {
                    exercise(salt);
                }
            })
        })
        .collect();
    let expected = exercise(0);
    for round in 0..100 {
        let code = in_child(|| {
            let own = i32::from(exercise(round) != expected);
            // Threads of the child begin and end.
            let threads: Vec<_> =
                (0..2).map(|salt| thread::spawn(move || exercise(salt))).collect();
            let wrong = threads.into_iter().filter_map(|t| t.join().ok()).any(|n| n != expected);
            GlobalHeap::heap().trim();
            let whole = GlobalHeap::heap().check().is_ok();
            own + 2 * i32::from(wrong) + 4 * i32::from(!whole)
        });
        assert_eq!(code, 0, "round {round}");
    }
    stop.store(true, Relaxed);
    busy.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn the_table_names_what_is_there() {
    let _alone = alone();
    let kept: Vec<Box<[u8; 1000]>> = (0..300).map(|_| Box::new([1; 1000])).collect();
    let stats = GlobalHeap::heap().stats();
    let class = SizeClass::of(Layout::new::<[u8; 1000]>()).unwrap();
    assert!(stats.classes[class.index()].live >= kept.len());
    let table = stats.to_string();
    assert!(table.lines().any(|line| line.trim_start().starts_with("1024")), "{table}");
}
