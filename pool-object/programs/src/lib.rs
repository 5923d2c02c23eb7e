//! Whole programs that have [`GlobalHeap`](https://docs.rs/pool-object) as their allocator. They stand
//! in `tests/`: a multi-threaded tokio server with its clients, an HTTP server (tiny_http), ripgrep's engine over this
//! repository, and the tests of the pool crates themselves (`core`, `arena`, `object`, `ring`). The program
//! `boxes` is for callgrind.
//! Apart from the library's own tests, so that these do not have to build them.
#![forbid(unsafe_code)]
