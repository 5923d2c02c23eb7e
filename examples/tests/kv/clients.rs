//! Real clients: `redis-cli` and `redis-benchmark`.

use crate::support::{Kv, installed, run};
use std::process::Command;

#[test]
fn a_redis_cli_session() {
    let Some(cli) = installed("redis-cli") else { return };
    let kv = Kv::start(&[]);
    let port = kv.port.to_string();
    let say = |words: &[&str]| {
        let out = run(Command::new(&cli).args(["-p", &port]).args(words));
        String::from_utf8(out.stdout).unwrap().trim_end().to_owned()
    };
    assert_eq!(say(&["PING"]), "PONG");
    assert_eq!(say(&["SET", "greeting", "hello, world"]), "OK");
    assert_eq!(say(&["GET", "greeting"]), "hello, world");
    assert_eq!(say(&["DEL", "greeting"]), "1");
    assert_eq!(say(&["--no-raw", "GET", "greeting"]), "(nil)");
    assert_eq!(say(&["ZORK", "a"]), "ERR unknown command 'ZORK', with args beginning with: 'a'");
    assert_eq!(say(&["CONFIG", "GET", "appendonly"]), "appendonly\nno");
    assert!(say(&["INFO", "server"]).starts_with("# Server"));
    assert_eq!(say(&["-r", "3", "PING"]), "PONG\nPONG\nPONG");
}

/// What `redis-benchmark` measures unless told otherwise.
const TESTS: [&str; 20] = [
    "PING_INLINE",
    "PING_MBULK",
    "SET",
    "GET",
    "INCR",
    "LPUSH",
    "RPUSH",
    "LPOP",
    "RPOP",
    "SADD",
    "HSET",
    "SPOP",
    "ZADD",
    "ZPOPMIN",
    "LPUSH (needed to benchmark LRANGE)",
    "LRANGE_100 (first 100 elements)",
    "LRANGE_300 (first 300 elements)",
    "LRANGE_500 (first 500 elements)",
    "LRANGE_600 (first 600 elements)",
    "MSET (10 keys)",
];

#[test]
fn redis_benchmark_runs() {
    let Some(benchmark) = installed("redis-benchmark") else { return };
    let kv = Kv::start(&[]);
    let port = kv.port.to_string();
    for pipeline in ["1", "16"] {
        let out =
            run(Command::new(&benchmark).args(["-p", &port, "-n", "10000", "-P", pipeline, "-q"]));
        let text = String::from_utf8_lossy(&out.stdout).replace('\r', "\n");
        assert!(out.status.success(), "{text}");
        for test in TESTS {
            let done = format!("{test}: ");
            let done = text
                .lines()
                .any(|line| line.starts_with(&done) && line.contains("requests per second"));
            assert!(done, "{test} is not in {text}");
        }
    }
    assert_eq!(kv.figure("total_error_replies"), 0);
    assert!(kv.figure("total_commands_processed") >= 400_000);
}
