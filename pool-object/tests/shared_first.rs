use pool_object::SharedAlloc;
use std::alloc::Layout;
#[test]
fn smoke() {
    let heap = SharedAlloc::new();
    std::thread::scope(|s| {
        for t in 0..4 {
            let heap = &heap;
            s.spawn(move || {
                let mut v = Vec::new();
                for i in 0..200_000usize {
                    let size = (i * 7919 + t) % 3000 + 8;
                    let l = Layout::from_size_align(size, 8).unwrap();
                    let p = heap.allocate(l);
                    unsafe { p.cast::<usize>().write(i) };
                    v.push((p, l, i));
                    if i % 3 != 0 {
                        let k = (i * 31) % v.len();
                        let (p, l, i) = v.swap_remove(k);
                        unsafe {
                            assert_eq!(p.cast::<usize>().read(), i);
                            heap.deallocate(p, l)
                        }
                    }
                }
                for (p, l, i) in v {
                    unsafe {
                        assert_eq!(p.cast::<usize>().read(), i);
                        heap.deallocate(p, l)
                    }
                }
            });
        }
    });
    heap.check().unwrap();
    println!("{}", heap.stats());
    heap.trim();
    println!("{}", heap.stats());
    assert_eq!(heap.stats().held_bytes(), 0);
}
