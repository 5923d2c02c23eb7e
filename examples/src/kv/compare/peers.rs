//! Other people's servers, as far as they are here.
#![forbid(unsafe_code)]

use super::process::{Protocol, Server};
use std::path::PathBuf;

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

/// A program of the path, or a word on how to get it.
fn installed(program: &str, how: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let found = places.map(|dir| dir.join(program)).find(|at| at.is_file());
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
