//! redis-py, a client library that many use: every command, compared with a real `redis-server`.

use crate::differential::redis;
use crate::support::{Kv, PATIENCE, required, run_within};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A Python that has redis-py: that of the environment which `.ci/tools.sh` makes, or the system's.
fn python() -> Option<PathBuf> {
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("redis-py/bin/python");
    let found = [built, "python3".into()].into_iter().find(|python| {
        let has = Command::new(python).args(["-c", "import redis"]).output();
        has.is_ok_and(|output| output.status.success())
    });
    if found.is_none() {
        assert!(!required(), "redis-py is not installed (PyPI: redis)");
        let _ = writeln!(io::stderr(), "SKIPPED: redis-py is not installed");
    }
    found
}

/// Some of what it must have compared: a script that stops early has compared nothing.
const SOME: [&str; 8] = ["SET", "SCAN", "LRANGE", "HSCAN", "SPOP", "ZRANGE", "RESET", "PIPELINE"];

#[test]
fn redis_py_sees_no_difference() {
    let Some(python) = python() else { return };
    let Some((_redis, redis_port)) = redis() else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kv/redis_py.py");
    for alloc in ["pool", "std"] {
        let kv = Kv::start(&["--alloc", alloc]);
        let ports = [kv.port, redis_port].map(|port| port.to_string());
        // Thousands of requests one after another, each of which waits for its turn on a busy machine.
        let out = run_within(20 * PATIENCE, Command::new(&python).arg(&script).args(ports));
        let (said, error) =
            (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(out.status.success(), "--alloc {alloc}: {said}{error}");
        let compared: Vec<&str> = said.split_whitespace().collect();
        assert!(SOME.iter().all(|name| compared.contains(name)), "{said}");
    }
}
