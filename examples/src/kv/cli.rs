//! The program's command line: to serve, or to compare.
#![forbid(unsafe_code)]

use super::compare::Options;
use super::settings::Settings;
use clap::{Parser, Subcommand};

/// What the program is asked to do; without a subcommand it serves.
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
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        let cli = Cli::parse_from(["kv", "--port", "7"]);
        assert!(cli.task.is_none() && cli.settings.port == 7);
        let cli = Cli::parse_from(["kv", "compare", "--connections", "12"]);
        assert!(matches!(cli.task, Some(Task::Compare(options)) if options.connections == 12));
        assert!(Cli::try_parse_from(["kv", "--port", "7", "compare"]).is_err());
    }
}
