//! `--metrics`: the text parses, the figures are right, and the page works in a browser.

use crate::support::{Kv, PATIENCE, array, installed, run, run_within};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const METRICS: [&str; 2] = ["--metrics", "127.0.0.1:0"];

/// Where the banner says that the figures are.
fn address(kv: &Kv) -> String {
    let (_, rest) = kv.banner.split_once("http://").unwrap();
    rest.split('/').next().unwrap().to_owned()
}

/// Whether the other side has closed.
fn is_closed(client: &TcpStream) -> bool {
    client.set_nonblocking(true).unwrap();
    !matches!(client.peek(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

/// Sends bytes, and gives the head and the body of the answer.
fn exchange(address: &str, request: &[u8]) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

fn get(address: &str, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: */*\r\n\r\n");
    let (head, body) = exchange(address, request.as_bytes());
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    body
}

/// Whether it is a name of the text format.
fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// Samples by name and labels. What is not of the format fails.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let (mut samples, mut types) = (BTreeMap::new(), BTreeMap::new());
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(is_name(name) && matches!(kind, "counter" | "gauge"), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(types.insert(name.to_owned(), kind).is_none(), "{name} comes twice");
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(is_name(name) && !help.is_empty() && !help.contains('\\'), "{line}");
        } else {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let (plain, labels) = name.split_once('{').unwrap_or((name, "}"));
            assert!(types.contains_key(plain), "no type before {line}");
            let labels = labels.strip_suffix('}').unwrap();
            for label in labels.split(',').filter(|label| !label.is_empty()) {
                let (key, value) = label.split_once("=\"").unwrap();
                let value = value.strip_suffix('"').unwrap();
                assert!(is_name(key) && !value.contains(['"', '\\']), "{line}");
            }
            assert!(samples.insert(name.to_owned(), value.parse().unwrap()).is_none(), "{line}");
        }
    }
    samples
}

/// A sample; not a number before the first look at the loops.
fn figure(samples: &BTreeMap<String, f64>, name: &str) -> f64 {
    samples.get(name).copied().unwrap_or(f64::NAN)
}

/// Waits until a look at the figures is as expected.
fn wait_for(address: &str, expected: impl Fn(&BTreeMap<String, f64>) -> bool) {
    let start = Instant::now();
    loop {
        let samples = parse(&get(address, "/metrics"));
        if expected(&samples) {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{samples:#?}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_figures_are_those_of_the_server() {
    let kv = Kv::start(&METRICS);
    let address = address(&kv);
    let mut client = kv.client();
    let value = [b'v'; 500];
    for index in 0..1000 {
        client.ask(&array(&[b"SET", format!("key:{index}").as_bytes(), &value]), b"+OK\r\n");
    }
    let mut half = kv.client();
    half.send(b"*2\r\n$4\r\nECHO\r\n$100\r\nhalf");
    wait_for(&address, |samples| {
        let of = |name: &str| figure(samples, name);
        let partials: f64 = samples
            .iter()
            .filter(|(name, _)| name.starts_with("kv_partials_by_age"))
            .map(|(_, count)| count)
            .sum();
        of("kv_keys") == 1000.0
            && of("kv_clients") == 2.0
            && of("kv_commands_total") == 1000.0
            && of("kv_memory_limit_bytes") == 1_073_741_824.0
            && of("kv_memory_used_bytes") > 500_000.0
            && of("kv_inbox_partials") == 1.0
            && partials == 1.0
            && of("kv_span_blocks_used{block=\"512\"}") >= 1000.0
            && of("kv_info{version=\"0.1.0\",memory=\"pool\"}") == 1.0
    });
    // It grows older, and is whole at last.
    wait_for(&address, |samples| {
        let ages = samples.iter().filter(|(name, _)| name.starts_with("kv_partials_by_age"));
        figure(samples, "kv_partials_by_age{younger_than_seconds=\"0.01\"}") == 0.0
            && ages.map(|(_, count)| count).sum::<f64>() == 1.0
    });
    half.ask(&[&[b'h'; 96][..], b"\r\n"].concat(), b"$100\r\nhalf");
    wait_for(&address, |samples| figure(samples, "kv_keys") == 1000.0);
}

#[test]
fn the_json_says_the_same() {
    let kv = Kv::start(&METRICS);
    let address = address(&kv);
    kv.client().ask(b"SET a b\r\n", b"+OK\r\n");
    wait_for(&address, |samples| figure(samples, "kv_keys") == 1.0);
    let json: Value = serde_json::from_str(&get(&address, "/figures.json?again")).unwrap();
    assert_eq!((&json["strategy"], &json["figures"]["keys"]), (&"pool".into(), &1.into()));
    let class = &json["classes"][0];
    assert_eq!(
        class["fills"].as_str().unwrap().len() as u64,
        class["bytes"].as_u64().unwrap() >> 16
    );
    assert_eq!(json["partials"].as_array().unwrap().len(), 6);
    assert!(json["figures"]["process_resident_bytes"].as_u64().unwrap() > 1 << 20);
}

#[test]
fn each_strategy_has_figures() {
    let kv = Kv::start(&[&["--alloc", "std"], &METRICS[..]].concat());
    wait_for(&address(&kv), |samples| {
        samples.get("kv_info{version=\"0.1.0\",memory=\"std\"}") == Some(&1.0)
            && samples.get("kv_memory_used_bytes") == Some(&0.0)
    });
}

#[test]
fn threads_are_added_up() {
    let kv = Kv::start(&[&["--threads", "3"], &METRICS[..]].concat());
    let address = address(&kv);
    let mut clients: Vec<_> = (0..9).map(|_| kv.client()).collect();
    for index in 0..300 {
        let client = &mut clients[index % 9];
        client.ask(&array(&[b"SET", format!("key:{index}").as_bytes(), b"v"]), b"+OK\r\n");
    }
    wait_for(&address, |samples| {
        figure(samples, "kv_keys") == 300.0 && figure(samples, "kv_clients") == 9.0
    });
}

#[test]
fn what_is_not_asked_rightly_is_named() {
    let kv = Kv::start(&METRICS);
    let address = address(&kv);
    for (request, status) in [
        (&b"GET /zork HTTP/1.1\r\n\r\n"[..], "404 Not Found"),
        (b"POST / HTTP/1.1\r\n\r\n", "405 Method Not Allowed"),
        (b"PING\r\n\r\n", "400 Bad Request"),
        (&[b'x'; 20_000], "400 Bad Request"),
    ] {
        let (head, _) = exchange(&address, request);
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{head}");
    }
    let (head, body) = exchange(&address, b"HEAD / HTTP/1.1\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK") && body.is_empty(), "{head}");
    assert!(get(&address, "/").contains("<title>kv: memory</title>"));
}

#[test]
fn clients_that_say_nothing_keep_nobody_waiting() {
    let kv = Kv::start(&METRICS);
    let address = address(&kv);
    let _silent: Vec<_> = (0..20).map(|_| TcpStream::connect(&address).unwrap()).collect();
    // One after another they would keep it waiting for 100 seconds: longer than it has patience.
    get(&address, "/metrics");
}

#[test]
fn a_taken_address_is_named() {
    let kv = Kv::start(&METRICS);
    let taken = address(&kv);
    let out = run(Command::new(env!("CARGO_BIN_EXE_kv")).args(["-p", "0", "--metrics", &taken]));
    let text = String::from_utf8(out.stderr).unwrap();
    assert!(!out.status.success() && text.contains(&taken), "{text}");
}

/// The document after a while in the browser, and what the browser's console said.
pub fn browse(chromium: &std::path::Path, url: &str) -> (String, Vec<String>) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let id = std::process::id();
    let profile = format!("{}/chromium-{id}-{number}", env!("CARGO_TARGET_TMPDIR"));
    let out = run_within(
        5 * PATIENCE,
        Command::new(chromium)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--enable-logging=stderr", "--log-level=0", "--window-size=1000,1400"])
            .args([
                "--no-first-run",
                "--disable-background-networking",
                "--virtual-time-budget=4000",
            ])
            .args([&format!("--user-data-dir={profile}"), "--dump-dom", url]),
    );
    let _ = std::fs::remove_dir_all(profile);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    let console = said.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    (String::from_utf8(out.stdout).unwrap(), console)
}

#[test]
fn the_page_works_in_a_browser() {
    let Some(chromium) = installed("chromium") else { return };
    let kv = Kv::start(&METRICS);
    let address = address(&kv);
    let mut client = kv.client();
    for index in 0..200 {
        client.ask(&array(&[b"SET", format!("k{index}").as_bytes(), &[b'v'; 900]]), b"+OK\r\n");
    }
    let mut half = kv.client();
    half.send(b"*2\r\n$4\r\nECHO\r\n$100\r\nhalf");
    wait_for(&address, |samples| {
        figure(samples, "kv_keys") == 200.0
            && figure(samples, "kv_partials_by_age{younger_than_seconds=\"0.01\"}") == 0.0
            && figure(samples, "kv_inbox_partials") == 1.0
    });
    let (page, console) = browse(&chromium, &format!("http://{address}/"));
    assert_eq!(console, [""; 0], "the browser's console");
    assert!(page.contains("data-state=\"live\""), "{page}");
    let samples = page.split("data-samples=\"").nth(1).unwrap();
    let samples: u32 = samples.split('"').next().unwrap().parse().unwrap();
    assert!(samples >= 2, "{samples} samples");
    assert_eq!(page.matches("<polygon").count(), 6);
    assert!(page.contains("<polyline") && page.contains("<canvas") && page.contains("960 B: "));
    assert!(page.contains("strategy pool, version"), "{page}");
    // Of six ages the one request that is not whole has one, and that has all of the bar.
    let ages = page.split("<div id=\"partials\">").nth(1).unwrap();
    let ages: Vec<_> = ages.split("<div class=\"row\"><span>").skip(1).take(6).collect();
    let named = |name: &str| ages.iter().any(|age| age.starts_with(&format!("{name}: ")));
    assert!(named("&lt; 10 ms") && named("older"), "{ages:?}");
    let (one, none): (Vec<&str>, Vec<&str>) =
        ages.into_iter().partition(|age| age.contains(": 1</span>"));
    assert!(one.len() == 1 && one[0].contains("width: 100%"), "{one:?}");
    assert!(!one[0].starts_with("&lt; 10 ms"), "{one:?}");
    let is_empty = |age: &&str| age.contains(": 0</span>") && age.contains("width: 0%");
    assert!(none.len() == 5 && none.iter().all(is_empty), "{none:?}");
}

#[test]
fn a_head_has_no_body_and_a_target_may_be_a_whole_address() {
    let kv = Kv::start(&METRICS);
    let address = address(&kv);
    for path in ["/metrics", "/none"] {
        let request = format!("HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        let (head, body) = exchange(&address, request.as_bytes());
        assert!(head.contains("\r\nContent-Length: ") && body.is_empty(), "{head}\n{body}");
    }
    wait_for(&address, |samples| samples.contains_key("kv_keys"));
    assert!(get(&address, &format!("http://{address}/metrics")).contains("kv_keys"));
}

/// Those who connect and say nothing make room for who asks.
#[test]
fn silent_clients_keep_nobody_out() {
    let kv = Kv::start(&METRICS);
    let address = address(&kv);
    let start = Instant::now();
    loop {
        let silent: Vec<_> = (0..100).map(|_| TcpStream::connect(&address).unwrap()).collect();
        get(&address, "/metrics");
        // The oldest have made room, and the others are waited for still; unless this took so long that
        // they were given up as well.
        let given_up = silent.iter().filter(|client| is_closed(client)).count();
        if (60..80).contains(&given_up) {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{given_up} of 100 silent ones were given up");
    }
}
