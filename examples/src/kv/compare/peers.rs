//! Other people's servers, as far as they are here.
#![forbid(unsafe_code)]

use super::process::{Protocol, Server};
use std::path::PathBuf;
use std::process::Command;

/// One process, no files, six bytes to whoever asks. It ends idle connections when it has few places
/// left, so it gets twice as many.
const NGINX: &str = "daemon off; master_process off; worker_processes 1;
error_log stderr crit; pid {dir}/pid;
events { worker_connections {double}; }
http {
  access_log off; keepalive_timeout 600s; keepalive_requests 1000000;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
  uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
  server { listen 127.0.0.1:{port} backlog=1024; location / { return 200 \"hello\\n\"; } }
}
";

/// Those that are installed; the others are named.
pub(super) fn all() -> Vec<Server> {
    [redis(), nginx(), tokio()].into_iter().flatten().collect()
}

/// The versions of those that are installed, as they tell them.
pub(super) fn versions() -> Vec<String> {
    let asked = [("redis", "redis-server", "--version"), ("nginx", "nginx", "-v")];
    let of = asked.iter().filter_map(|(name, program, how)| {
        let out = Command::new(found(program)?).arg(how).output().ok()?;
        let said = [out.stdout, out.stderr].concat();
        Some(format!("{name} {}", version(&String::from_utf8_lossy(&said))?))
    });
    of.collect()
}

/// The first number with points in it.
fn version(text: &str) -> Option<&str> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit() && c != '.');
    numbers.find(|number| number.trim_matches('.').contains('.'))
}

fn found(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    places.find_map(|dir| Some(dir.join(program)).filter(|at| at.is_file()))
}

/// A program of the path, or a word on how to get it.
fn installed(program: &str, how: &str) -> Option<PathBuf> {
    let found = found(program);
    if found.is_none() {
        eprintln!("{program} is left out: {how}");
    }
    found
}

fn server(name: &str, program: PathBuf, arguments: &[&str], protocol: Protocol) -> Server {
    let arguments = arguments.iter().map(ToString::to_string).collect();
    Server { name: name.to_owned(), program, arguments, protocol, counts: false, file: None }
}

fn redis() -> Option<Server> {
    let program = installed("redis-server", "install Debian's redis-server")?;
    let arguments = [
        "--port {port}",
        "--bind 127.0.0.1",
        "--save",
        "--appendonly no",
        "--daemonize no",
        "--maxclients {more}",
    ];
    let mut words: Vec<&str> = arguments.iter().flat_map(|line| line.split(' ')).collect();
    let save = words.iter().position(|word| *word == "--save")?;
    words.insert(save + 1, "");
    Some(server("redis", program, &words, Protocol::Resp))
}

fn nginx() -> Option<Server> {
    let program = installed("nginx", "install Debian's nginx-light")?;
    let arguments = ["-p", "{dir}", "-c", "{dir}/nginx.conf"];
    let file = Some(("nginx.conf", NGINX));
    Some(Server { file, ..server("nginx", program, &arguments, Protocol::Http) })
}

/// `plain_server.rs`, which is this program with another task.
fn tokio() -> Option<Server> {
    if !cfg!(feature = "peers") {
        eprintln!("tokio + BytesMut is left out: build with --features peers");
        return None;
    }
    let program = std::env::current_exe().ok()?;
    Some(server("tokio + BytesMut", program, &["plain-server", "{port}"], Protocol::Resp))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_is_said() {
        let redis = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64";
        assert_eq!(version(redis), Some("7.0.15"));
        assert_eq!(version("nginx version: nginx/1.22.1\n"), Some("1.22.1"));
        assert_eq!(version("version 2. And no more..."), None);
    }
}
