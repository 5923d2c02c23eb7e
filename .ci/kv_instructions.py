"""User instructions a request of `kv`, by callgrind: not a check, a measure.

    cargo build --release -p examples && python3 .ci/kv_instructions.py [--markdown FILE] [set,get,mix,del,error]

The same requests are sent n times and 2n times; the difference, divided, is a request's own. Each batch is
answered before the next is sent, so a pipeline of 1 includes a turn of the event loop.
"""

import argparse
import os
import pathlib
import platform
import re
import signal
import socket
import subprocess
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
KV = TOP / os.environ.get("CARGO_TARGET_DIR", "target") / "release/kv"
KEYS = [b"key:%012d" % index for index in range(1000)]
VALUE = b"v" * 64
# Kind of requests, requests a batch, batches. The gates are in benches/src/server.rs, which knows kinds and heads.
RUNS = [("set", 16, 1000), ("get", 16, 1000), ("mix", 16, 1000), ("set", 1, 5000), ("get", 1, 5000), ("del", 16, 200),
        ("error", 16, 200)]
KINDS = {"set": "`SET`, 64 bytes over 64 bytes", "get": "`GET`, 64 bytes", "mix": "both in turn",
         "del": "`DEL` of 20 keys that are not there", "error": "an unknown command"}


def facts():
    """When and on what, as benches/src/facts.rs says it."""
    def line(*command):
        output = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False).stdout
        return (output.splitlines() or ["unknown"])[0]
    of = {}
    for field in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = field.partition(":")
        of.setdefault(name.strip(), value.strip())
    processor = f"{len(os.sched_getaffinity(0))} × {of.get('model name', platform.machine())}"
    if "cpu family" in of and "model" in of:
        processor += f" (family {of['cpu family']}, model {of['model']})"
    commit = line("git", "describe", "--always", "--dirty=+", "--exclude=*")
    today = line("date", "-u", "+%Y-%m-%d")
    return f"{today}, {processor}, {line('uname', '-sr')}, {line('rustc', '--version')}, commit {commit}."


def array(*words):
    bulks = b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
    return b"*%d\r\n" % len(words) + bulks


def request(kind, number):
    """A request, and its reply."""
    key = KEYS[number % len(KEYS)]
    if kind == "set" or kind == "mix" and number % 2 == 0:
        return array(b"SET", key, VALUE), b"+OK\r\n"
    if kind in ("get", "mix"):
        return array(b"GET", key), b"$64\r\n" + VALUE + b"\r\n"
    if kind == "del":
        return array(b"DEL", *(b"none%d" % index for index in range(20))), b":0\r\n"
    error = b"-ERR unknown command 'FOO', with args beginning with: 'bar' 'baz' \r\n"
    return array(b"FOO", b"bar", b"baz"), error


def ask(client, requests):
    client.sendall(b"".join(sent for sent, _ in requests))
    expected = b"".join(reply for _, reply in requests)
    got = b""
    while len(got) < len(expected):
        got += client.recv(1 << 20)
    assert got == expected, (got, expected)


def instructions(strategy, kind, pipeline, batches):
    """Of a whole run of the server."""
    valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    command = [*valgrind, str(KV), "--port", "0", "--alloc", strategy]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    banner = ""
    while "Ctrl-C" not in banner:
        banner += server.stdout.readline()
    port = int(re.search(r"127\.0\.0\.1:(\d+)", banner).group(1))
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(len(KEYS)):
            ask(client, [request("set", number)])
        for batch in range(batches):
            first = batch * pipeline
            ask(client, [request(kind, number) for number in range(first, first + pipeline)])
    time.sleep(0.2)
    server.send_signal(signal.SIGINT)
    return int(re.search(r"Collected : (\d+)", server.communicate()[1]).group(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--markdown", type=pathlib.Path, metavar="FILE")
    parser.add_argument("kinds", nargs="?", default=",".join(KINDS))
    arguments = parser.parse_args()
    lines = [facts(), "", "| requests | pipeline | `--alloc std` | `--alloc pool` | |", "|---|--:|--:|--:|--:|"]
    for kind, pipeline, batches in RUNS:
        if kind not in arguments.kinds.split(","):
            continue
        figures = []
        for strategy in ("std", "pool"):
            once = instructions(strategy, kind, pipeline, batches)
            twice = instructions(strategy, kind, pipeline, 2 * batches)
            figures.append((twice - once) / (batches * pipeline))
        std, pool = figures
        change = f"{100 * (pool / std - 1):+.1f} %".replace("-", "−")
        print(f"{kind:5} x{pipeline:2}  std {std:8.1f}  pool {pool:8.1f}  {change}", flush=True)
        lines.append(f"| {KINDS[kind]} | {pipeline} | {std:.1f} | {pool:.1f} | {change} |")
    if arguments.markdown:
        arguments.markdown.write_text("\n".join(lines) + "\n")


main()
