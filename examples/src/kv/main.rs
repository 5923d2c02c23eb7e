//! `cargo run --release --bin kv`: the server as a program.
#![forbid(unsafe_code)]

use clap::Parser;
use examples::kv::calls::{self, Counted};
use examples::kv::cli::{Cli, Task};
use examples::kv::compare;
use examples::kv::descriptors;
#[cfg(feature = "jemalloc")]
use examples::kv::memory::Jemalloc;
#[cfg(feature = "mimalloc")]
use examples::kv::memory::Mimalloc;
#[cfg(any(feature = "mimalloc", feature = "jemalloc"))]
use examples::kv::memory::Plain;
use examples::kv::memory::{Memory, Pool, Std};
use examples::kv::metrics::Exporter;
use examples::kv::reply::Human;
use examples::kv::server::Server;
use examples::kv::settings::{Alloc, Settings};
use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: Counted = Counted;

fn main() -> ExitCode {
    let Cli { task, mut settings } = Cli::parse();
    log_to_stderr();
    if settings.count_calls {
        calls::count();
    }
    if let Some(task) = task {
        return end(perform(&task).map_err(|error| error.to_string()));
    }
    let asked = settings.max_connections;
    settings.max_connections = descriptors::provide(asked, settings.threads);
    if settings.max_connections < asked {
        tracing::warn!(
            "the system's limit of descriptors is enough for {} connections, not {asked}; see ulimit -n",
            settings.max_connections
        );
    }
    let outcome = match settings.alloc {
        Alloc::Pool => serve::<Pool>(&settings),
        Alloc::Std => serve::<Std>(&settings),
        #[cfg(feature = "mimalloc")]
        Alloc::Mimalloc => serve::<Plain<Mimalloc>>(&settings),
        #[cfg(not(feature = "mimalloc"))]
        Alloc::Mimalloc => Err(not_built("mimalloc")),
        #[cfg(feature = "jemalloc")]
        Alloc::Jemalloc => serve::<Plain<Jemalloc>>(&settings),
        #[cfg(not(feature = "jemalloc"))]
        Alloc::Jemalloc => Err(not_built("jemalloc")),
    };
    end(outcome.map_err(|error| explain(&error, settings.port)))
}

/// Something else than to serve.
fn perform(task: &Task) -> io::Result<()> {
    match task {
        Task::Compare(options) => compare::run(options),
        #[cfg(feature = "peers")]
        Task::PlainServer { port } => compare::plain_server::run(*port),
    }
}

fn end(outcome: Result<(), String>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kv: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A strategy that this program was built without.
#[cfg(not(all(feature = "mimalloc", feature = "jemalloc")))]
fn not_built(feature: &str) -> io::Error {
    io::Error::other(format!(
        "this program was built without {feature}; try: cargo run --release --bin kv --features {feature} \
         -- --alloc {feature}"
    ))
}

/// Logs go to standard error, warnings and worse unless `RUST_LOG` says otherwise.
fn log_to_stderr() {
    let filter = EnvFilter::builder().with_default_directive(tracing::Level::WARN.into());
    tracing_subscriber::fmt()
        .with_env_filter(filter.from_env_lossy())
        .with_writer(io::stderr)
        .init();
}

/// Runs the server until Ctrl-C.
fn serve<M: Memory>(settings: &Settings) -> io::Result<()> {
    let mut server = Server::<M>::bind(settings.clone())?;
    let exporter = exporter(settings, M::NAME)?;
    if let Some(exporter) = &exporter {
        server.publish_to(exporter.board());
    }
    let stopper = server.stopper();
    ctrlc::set_handler(move || stopper.stop()).map_err(io::Error::other)?;
    say(&banner::<M>(settings, server.address(), exporter.as_ref()));
    let stats = server.run()?;
    say(&format!("kv: stopped after {stats}\n{}", stats.pools));
    if let Some(calls) = calls::counted() {
        say(&format!("  system    {calls} calls of the system's allocator\n"));
    }
    Ok(())
}

/// Where figures are shown, if they are to be.
fn exporter(settings: &Settings, strategy: &'static str) -> io::Result<Option<Exporter>> {
    let bound = settings.metrics.map(|address| {
        let named = |error: io::Error| {
            io::Error::other(format!("--metrics cannot listen at {address}: {error}"))
        };
        Exporter::bind(address, strategy).map_err(named)
    });
    bound.transpose()
}

fn banner<M: Memory>(
    settings: &Settings,
    address: SocketAddr,
    exporter: Option<&Exporter>,
) -> String {
    let port = address.port();
    let metrics = exporter.map(|exporter| {
        let address = exporter.address();
        format!("  figures  http://{address}/ and http://{address}/metrics\n")
    });
    format!(
        "kv {version} listening on {address}\n\
         \x20 try      redis-cli -p {port}     (then: SET greeting hello, GET greeting, INFO memory)\n\
         \x20 memory   {strategy} (--alloc), up to {budget} of data, {frame} a request, {backlog} unread replies\n\
         \x20 threads  {threads} event loop{plural} (--threads), up to {connections} connections\n\
         {metrics}\x20 stop     Ctrl-C\n",
        version = env!("CARGO_PKG_VERSION"),
        strategy = M::NAME,
        budget = Human(settings.memory),
        frame = Human(settings.max_frame),
        backlog = Human(settings.max_backlog),
        metrics = metrics.unwrap_or_default(),
        threads = settings.threads,
        connections = settings.max_connections,
        plural = if settings.threads == 1 { "" } else { "s" },
    )
}

/// Prints, and does not mind if nobody reads.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// What went wrong, and what to do.
fn explain(error: &io::Error, port: u16) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => format!(
            "port {port} on 127.0.0.1 is taken; stop what uses it, or choose another: --port {}, \
             or --port 0 for any free one",
            port.checked_add(1).unwrap_or(6380)
        ),
        ErrorKind::PermissionDenied => {
            format!("port {port} may not be used by this user; choose one above 1023 with --port")
        }
        _ => error.to_string(),
    }
}
