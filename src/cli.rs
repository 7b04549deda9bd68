//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::config::DEFAULT_PATH;

/// Pairs this host with a management plane, and turns what it may use into local files and hooks.
#[derive(Debug, Parser)]
#[command(name = "runtime-agent", version, max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the agent; this is what systemd starts
    Run(ConfigFile),
    /// Show how the agent is doing
    Status {
        /// Which configuration to use
        #[command(flatten)]
        config: ConfigFile,
        /// Print the whole status as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show who this host is to the plane: the certificate, its dates, where its files are
    Identity {
        /// Which configuration to use
        #[command(flatten)]
        config: ConfigFile,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Put a one-time token where it belongs, and wait until the host is paired or the token refused
    Pair {
        /// Which configuration to use
        #[command(flatten)]
        config: ConfigFile,
        /// The file with the token; `-` is standard input
        #[arg(long, value_name = "FILE", default_value = "-")]
        token_file: PathBuf,
        /// How long to wait
        #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
        timeout: Duration,
    },
    /// Ask the plane now, and wait for the result
    Sync {
        /// Which configuration to use
        #[command(flatten)]
        config: ConfigFile,
        /// Believe the plane at once, however many applications its answer removes
        #[arg(long)]
        accept_removals: bool,
    },
    /// Renew the certificate now
    Renew(ConfigFile),
    /// Make an older generation of files current, and let nothing newer be published until `resume`
    Rollback {
        /// Which configuration to use
        #[command(flatten)]
        config: ConfigFile,
        /// Its number; the one before the current one, where none is given
        #[arg(value_name = "NUMBER")]
        generation: Option<std::num::NonZeroU64>,
    },
    /// Publish what the plane says again, after a `rollback`
    Resume(ConfigFile),
    /// Have the certificate revoked, and remove the identity and what was published
    ///
    /// The plane is asked to revoke the certificate; where it cannot be asked, that is said, and the rest is done all
    /// the same. The published files are emptied in the usual way, so that hooks learn of it. Works without the agent
    /// running, too; hooks then learn of it at the next start.
    Unpair {
        /// Which configuration to use
        #[command(flatten)]
        config: ConfigFile,
        /// Leave the published files as they are
        #[arg(long)]
        keep_config: bool,
    },
    /// Tell whether a configuration file is valid
    Check {
        /// The configuration file
        #[arg(value_name = "FILE", default_value = DEFAULT_PATH)]
        file: PathBuf,
    },
    /// Run hooks for the agent; systemd starts this, as root, when the agent asks for it
    Apply {
        /// Which configuration to use
        #[command(flatten)]
        config: ConfigFile,
        /// Serve one request on standard input and output, instead of the socket that systemd hands over
        #[arg(long)]
        stdio: bool,
    },
}

/// Which configuration to use.
#[derive(Debug, Clone, Args)]
pub struct ConfigFile {
    /// The configuration file
    #[arg(long = "config", value_name = "FILE", default_value = DEFAULT_PATH)]
    pub path: PathBuf,
}

fn duration(text: &str) -> Result<Duration, humantime::DurationError> {
    humantime::parse_duration(text)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_its_help_fits_a_screen() {
        Cli::command().debug_assert();
        assert!(Cli::command().render_help().to_string().lines().count() <= 24);
    }
}
