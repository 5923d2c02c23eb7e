//! The program's command line: to serve, or to compare.
#![forbid(unsafe_code)]

use super::compare::Options;
use super::settings::Settings;
use clap::{Parser, Subcommand};

/// A key-value server that any Redis client can use, on 127.0.0.1.
///
/// It knows strings, lists, hashes, sets and sorted sets, keys that end, and one database, over RESP2
/// and RESP3 (COMMAND LIST has the names). It keeps everything in memory: no persistence, no
/// replication. Sizes are bytes, or take a unit: 64k, 16m, 2g. Without a subcommand it serves.
#[derive(Clone, Debug, Parser)]
#[command(name = "kv", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// Something else than to serve.
    #[command(subcommand)]
    pub task: Option<Task>,

    /// How to serve.
    #[command(flatten)]
    pub settings: Settings,
}

/// What the program can do but serve.
#[derive(Clone, Debug, Subcommand)]
pub enum Task {
    /// Drives this server with each memory strategy, and shows what they cost.
    Compare(Options),
    /// A server with tokio and BytesMut, for `compare --peers`.
    #[cfg(feature = "peers")]
    #[command(hide = true)]
    PlainServer {
        /// Where it listens.
        port: u16,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_help_says_what_it_is_and_what_it_is_not() {
        let help = Cli::command().render_long_help().to_string();
        assert!(help.starts_with("A key-value server"), "{help}");
        assert!(help.contains("no persistence, no replication"), "{help}");
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        let cli = Cli::parse_from(["kv", "--port", "7"]);
        assert!(cli.task.is_none() && cli.settings.port == 7);
        let cli = Cli::parse_from(["kv", "compare", "--connections", "12"]);
        assert!(matches!(cli.task, Some(Task::Compare(options)) if options.connections == 12));
        assert!(Cli::try_parse_from(["kv", "--port", "7", "compare"]).is_err());
    }
}
