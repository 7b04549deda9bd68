//! The command `runtime-agent`.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    runtime_agent::command::execute(runtime_agent::cli::Cli::parse())
}
