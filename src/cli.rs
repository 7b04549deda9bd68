//! The command line.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{InstanceName, Location};
use crate::ids::ServiceBindingId;
use crate::output::manifest::GenerationNumber;

/// Pairs this host with a management plane, and turns what it may use into local files and hooks.
#[derive(Debug, Parser)]
#[command(name = "runtime-agent", version, max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    /// Which of several runtimes on this host is meant; `systemctl` calls it runtime-agent@NAME
    #[arg(long, global = true, value_name = "NAME")]
    pub instance: Option<InstanceName>,
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
        /// Show it again whenever something changes, until interrupted
        #[arg(long)]
        watch: bool,
        /// When to use colours; by itself, on a terminal, unless `NO_COLOR` is set
        #[arg(long, value_name = "WHEN", default_value = "auto")]
        color: Color,
    },
    /// Check everything that the agent needs, change nothing, and say what to do about what is wrong
    Doctor {
        /// Which configuration to use
        #[command(flatten)]
        config: ConfigFile,
        /// Print the findings as JSON
        #[arg(long)]
        json: bool,
        /// When to use colours; by itself, on a terminal, unless `NO_COLOR` is set
        #[arg(long, value_name = "WHEN", default_value = "auto")]
        color: Color,
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
    /// Print what the agent counts, and how things are, as Prometheus reads it
    Metrics(ConfigFile),
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
    /// Tell whether the configuration is valid
    Check {
        /// The configuration file; without it, what the agent would read
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Print every setting with its value, and where that comes from
    Config {
        /// Which configuration to use
        #[command(flatten)]
        config: ConfigFile,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// List the generations of files that are kept, the newest first
    Generations {
        /// Which configuration to use
        #[command(flatten)]
        config: ConfigFile,
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what differs between two generations, with secrets left out
    Diff {
        /// Which configuration to use
        #[command(flatten)]
        config: ConfigFile,
        /// The old generation: a number or `current`; without it, the one before the new one
        #[arg(value_name = "OLD")]
        old: Option<Which>,
        /// The new generation; without it, the current one
        #[arg(value_name = "NEW")]
        new: Option<Which>,
        /// When to use colours; by itself, on a terminal, unless `NO_COLOR` is set
        #[arg(long, value_name = "WHEN", default_value = "auto")]
        color: Color,
    },
    /// Show what the templates make of what the plane last said, without installing it
    Render {
        /// Which configuration to use
        #[command(flatten)]
        config: ConfigFile,
        /// Only show; the agent renders by itself, and this command does nothing else
        #[arg(long)]
        dry_run: bool,
        /// Write the files below this folder, which is empty or not there yet
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
        /// Render this template alone
        #[arg(long, value_name = "NAME")]
        template: Option<String>,
    },
    /// Show what the service broker offers and has, and get credentials from it
    #[command(subcommand)]
    Broker(BrokerCommand),
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

/// What to do with the service broker.
#[derive(Debug, Subcommand)]
pub enum BrokerCommand {
    /// List the services and plans of the catalog
    Services {
        /// Which configuration to use
        #[command(flatten)]
        config: ConfigFile,
        /// Print everything as JSON
        #[arg(long)]
        json: bool,
    },
    /// List the service instances
    Instances {
        /// Which configuration to use
        #[command(flatten)]
        config: ConfigFile,
        /// Print everything as JSON
        #[arg(long)]
        json: bool,
    },
    /// List the service bindings, without their credentials
    Bindings {
        /// Which configuration to use
        #[command(flatten)]
        config: ConfigFile,
        /// Print everything as JSON
        #[arg(long)]
        json: bool,
    },
    /// Get credentials of a plan, and write them to a file that only this user can read
    Bind {
        /// Which configuration to use
        #[command(flatten)]
        config: ConfigFile,
        /// The service: an application, by its name in the list of services, or by its id
        #[arg(value_name = "SERVICE")]
        service: String,
        /// The plan: a bundle, likewise
        #[arg(value_name = "PLAN")]
        plan: String,
        /// The file for the credentials, which is replaced if it is there
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        /// What the binding is called; one that is there already is looked at again
        #[arg(long, value_name = "NAME")]
        binding: Option<ServiceBindingId>,
        /// A file with parameters for the application, a JSON object
        #[arg(long, value_name = "FILE")]
        parameters: Option<PathBuf>,
        /// How long to wait for an application that has to be asked
        #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
        timeout: Duration,
    },
    /// Give the credentials of a binding back
    Unbind {
        /// Which configuration to use
        #[command(flatten)]
        config: ConfigFile,
        /// The binding
        #[arg(value_name = "BINDING")]
        binding: ServiceBindingId,
        /// How long to wait for an application that has to revoke them
        #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
        timeout: Duration,
    },
}

/// Which configuration to use.
#[derive(Debug, Clone, Args)]
pub struct ConfigFile {
    /// The configuration file, instead of those of the system
    #[arg(long = "config", value_name = "FILE")]
    pub path: Option<PathBuf>,
}

impl ConfigFile {
    /// Where the configuration is.
    pub fn location(self, instance: Option<InstanceName>) -> Location {
        location(self.path, instance)
    }
}

/// Where the configuration is, where this file was named, or none.
pub fn location(named: Option<PathBuf>, instance: Option<InstanceName>) -> Location {
    match named {
        Some(path) => Location::file(&path, instance),
        None => Location::system(instance),
    }
}

/// One of the generations that lie on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The one that readers see.
    Current,
    /// The one with this number.
    Number(GenerationNumber),
}

impl FromStr for Which {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "current" {
            return Ok(Self::Current);
        }
        text.parse().map(|number| Self::Number(GenerationNumber(number))).map_err(|_| "not a number, and not `current`")
    }
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
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
        assert!(Cli::command().render_help().to_string().lines().count() <= 28);
    }
}
