//! What each subcommand does, and with which exit status it ends.

mod apply;
mod broker;
mod check;
mod config;
mod diff;
mod doctor;
mod generations;
mod identity;
mod metrics;
mod paint;
mod pair;
mod render;
mod run;
mod status;
mod unpair;

use std::fmt::Display;
use std::future::Future;
use std::io::{self, Write as _};
use std::panic;
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::agent::{Files, Version};
use crate::cli::{Cli, Command, ConfigFile, location};
use crate::config::{Location, Paths, Settings};
use crate::control::{Answer, Client, ControlError};
use crate::output::manifest::GenerationNumber;
use crate::snapshot::brake::Consent;

/// Exit statuses that scripts may rely on; 0 is success, and 2 a wrong command line.
pub mod exit {
    /// It failed.
    pub const FAILED: u8 = 1;
    /// From `diff`: the generations differ.
    pub const DIFFERENT: u8 = 1;
    /// From `diff`: they cannot be compared; from `render`: `--dry-run` is missing.
    pub const TROUBLE: u8 = 2;
    /// The host is not paired: it waits for a token, or is being paired.
    pub const UNPAIRED: u8 = 3;
    /// Something is wrong, and the agent goes on by itself.
    pub const DEGRADED: u8 = 4;
    /// A person is needed; from `pair`: the token was refused; from `identity`: the certificate has expired.
    pub const ACTION_NEEDED: u8 = 5;
    /// The agent does not run.
    pub const NOT_RUNNING: u8 = 6;
    /// There is nothing to show: no generation was published, or nothing is kept of what the plane said.
    pub const NOTHING: u8 = 7;
    /// From `render`: a template cannot be used or rendered.
    pub const TEMPLATE: u8 = 8;
    /// From `doctor`: a check failed, and a person is needed.
    pub const UNWELL: u8 = 9;
    /// The configuration is not valid: `EX_CONFIG` of sysexits.h, which systemd shows by that name.
    pub const CONFIG: u8 = 78;
}

/// Executes a command.
pub fn execute(cli: Cli) -> ExitCode {
    let Cli { instance, command } = cli;
    let at = |config: ConfigFile| config.location(instance.clone());
    match command {
        Command::Run(config) => {
            let location = at(config);
            with_settings(&location, |settings| run::execute(settings, location.clone()))
        }
        Command::Apply { config, stdio } => {
            let location = at(config);
            with_settings(&location, |settings| apply::execute(&settings, &location, stdio))
        }
        Command::Check { file } => check::execute(&location(file, instance)),
        Command::Config { config, json } => config::execute(&at(config), json),
        Command::Render { dry_run: false, .. } => render::refuse(),
        Command::Render { config, dry_run: true, to, template } => {
            with_settings(&at(config), |settings| render::execute(settings, to.as_deref(), template.as_deref()))
        }
        Command::Diff { config, old, new, color } => diff::execute(&paths(&at(config)), old, new, color),
        Command::Generations { config, json } => generations::execute(&paths(&at(config)), json),
        Command::Status { config, json, watch, color } => {
            let form = if json { status::Form::Json } else { status::Form::Page(color) };
            let rhythm = if watch { status::Rhythm::Watch } else { status::Rhythm::Once };
            status::execute(&paths(&at(config)), form, rhythm)
        }
        Command::Doctor { config, json, color } => doctor::execute(&at(config), json, color),
        Command::Identity { config, json } => identity::execute(&paths(&at(config)), json),
        Command::Pair { config, token_file, timeout } => pair::execute(&paths(&at(config)), &token_file, timeout),
        Command::Sync { config, accept_removals } => {
            let consent = if accept_removals { Consent::Given } else { Consent::NotGiven };
            order(&paths(&at(config)), async |client| client.sync(consent).await)
        }
        Command::Unpair { config, keep_config } => {
            let files = if keep_config { Files::Keep } else { Files::Empty };
            with_settings(&at(config), |settings| unpair::execute(&settings, files))
        }
        Command::Rollback { config, generation } => {
            let version = generation.map_or(Version::Previous, |number| Version::Number(GenerationNumber(number)));
            order(&paths(&at(config)), async |client| client.set_version(version).await)
        }
        Command::Resume(config) => order(&paths(&at(config)), async |client| client.set_version(Version::Newest).await),
        Command::Broker(command) => broker::execute(command, at, paths),
        Command::Metrics(config) => metrics::execute(&paths(&at(config))),
        Command::Renew(config) => order(&paths(&at(config)), async |client| client.renew().await),
    }
}

/// Where the agent is met. What is invalid is complained of, and does not keep anybody from asking.
fn paths(location: &Location) -> Paths {
    match crate::config::load(location) {
        Ok(settings) => settings.paths,
        Err(error) => {
            complain(&error.brief());
            crate::config::paths(location)
        }
    }
}

fn with_settings(location: &Location, command: impl FnOnce(Settings) -> ExitCode) -> ExitCode {
    match crate::config::load(location) {
        Ok(settings) => command(settings),
        Err(error) => {
            complain(&error);
            ExitCode::from(exit::CONFIG)
        }
    }
}

/// Reads with the rights of the agent's user what that user wrote: root would follow it anywhere. Where there is nothing
/// yet, or this is not root, all stays as it is.
fn look_as_the_owner(paths: &Paths) -> Result<(), String> {
    if paths.state.exists() { unpair::become_the_owner(&paths.state) } else { Ok(()) }
}

/// A runtime of one thread.
///
/// # Errors
/// Where this system has no descriptors for it. For two of them, which it needs for signals, Tokio panics instead of
/// saying so.
fn runtime() -> io::Result<Runtime> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let built = panic::catch_unwind(|| Builder::new_current_thread().enable_all().max_blocking_threads(4).build());
    panic::set_hook(hook);
    built.unwrap_or_else(|panic| {
        let why = panic.downcast::<String>().map_or_else(|_| "there are no sockets left for it".to_owned(), |why| *why);
        Err(io::Error::other(why))
    })
}

/// Runs a future on a runtime of one thread, and leaves what still works in the background behind.
fn on_runtime<T>(future: impl Future<Output = T>) -> Result<T, ExitCode> {
    let runtime = runtime().map_err(|error| {
        complain(&format_args!(
            "cannot begin: {error}. Try again when there are more descriptors: fs.file-max says how many the system has, \
             and LimitNOFILE= how many a service may have."
        ));
        ExitCode::from(exit::FAILED)
    })?;
    let result = runtime.block_on(future);
    // Making a large key cannot be interrupted, and need not be waited for.
    runtime.shutdown_timeout(Duration::from_millis(200));
    Ok(result)
}

fn order(paths: &Paths, order: impl AsyncFnOnce(&Client) -> Result<Answer, ControlError>) -> ExitCode {
    let conversation = async {
        let client = Client::new(&paths.control())?;
        order(&client).await
    };
    match on_runtime(conversation) {
        Ok(Ok(Answer { done: true, message })) => {
            say(&message);
            ExitCode::SUCCESS
        }
        Ok(Ok(Answer { done: false, message })) => {
            complain(&message);
            ExitCode::from(exit::FAILED)
        }
        Ok(Err(error)) => no_conversation(&error),
        Err(code) => code,
    }
}

fn no_conversation(error: &ControlError) -> ExitCode {
    complain(error);
    ExitCode::from(match error {
        ControlError::NotRunning(_) => exit::NOT_RUNNING,
        ControlError::Forbidden(_) | ControlError::Refused(_) | ControlError::Failed { .. } => exit::FAILED,
    })
}

/// Prints a line. Whoever does not read it to the end does not want it.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{}", printable(line));
}

/// Prints lines that may have colours; whatever came from elsewhere went through [`printable`] before.
///
/// # Errors
/// When nobody reads them.
fn show(page: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{page}")
}

fn complain(error: &dyn Display) {
    let _ = writeln!(std::io::stderr(), "runtime-agent: {}", printable(&error.to_string()));
}

/// Without what would move the cursor: root reads here what the daemon's user answers.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}
