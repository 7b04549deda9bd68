//! The program `plane`: runs a simulated management plane, and drives one that runs.

mod arguments;
mod client;
mod faults;
mod run;
mod steer;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};

/// Why a command failed: a sentence.
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { place, command } = Arguments::parse();
    let done = match command {
        Command::Serve(serve) => run::serve(place.dir, *serve).await,
        other => steer::execute(place, other).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("plane: {failure}");
            ExitCode::FAILURE
        }
    }
}
