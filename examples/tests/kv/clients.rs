//! Real clients: `redis-cli` and `redis-benchmark`.

use crate::support::{Kv, PATIENCE, installed, run, run_within};
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

/// What `redis-benchmark` of Redis 7.0 measures unless told otherwise; later ones measure more.
const ASKED: &str =
    "ping,set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,zadd,zpopmin,lrange,mset";

/// How the reports of those begin; what is in parentheses differs from version to version.
const TESTS: [&str; 19] = [
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
    "LRANGE_100",
    "LRANGE_300",
    "LRANGE_500",
    "LRANGE_600",
    "MSET",
];

#[test]
fn redis_benchmark_runs() {
    let Some(benchmark) = installed("redis-benchmark") else { return };
    let kv = Kv::start(&[]);
    let port = kv.port.to_string();
    for pipeline in ["1", "16"] {
        let mut command = Command::new(&benchmark);
        command.args(["-p", &port, "-n", "2000", "-P", pipeline, "-q", "-t", ASKED]);
        let out = run_within(5 * PATIENCE, &mut command);
        let text = String::from_utf8_lossy(&out.stdout).replace('\r', "\n");
        assert!(out.status.success(), "{text}");
        for test in TESTS {
            let [alone, explained] = [": ", " ("].map(|end| format!("{test}{end}"));
            let done = text
                .lines()
                .filter(|line| line.starts_with(&alone) || line.starts_with(&explained))
                .any(|line| line.contains("requests per second"));
            assert!(done, "{test} is not in {text}");
        }
    }
    assert_eq!(kv.figure("total_error_replies"), 0);
    assert!(kv.figure("total_commands_processed") >= 80_000);
}
