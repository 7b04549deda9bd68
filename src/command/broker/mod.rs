//! `runtime-agent broker`: what the service broker offers and has, and credentials for a person who wants them in a file.

mod bind;
mod platform;
mod table;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use jiff::tz::TimeZone;

use self::bind::{Errand, Trouble};
use super::{complain, exit, no_conversation, on_runtime, say};
use crate::broker::Overview;
use crate::cli::{BrokerCommand, ConfigFile};
use crate::clock::{Clock as _, Wall};
use crate::config::{Location, Paths};
use crate::control::Client;
use crate::ids::ServiceBindingId;

/// In which form a list is shown.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// For people.
    Page,
    /// For programs.
    Json,
}

impl Form {
    fn of(json: bool) -> Self {
        if json { Self::Json } else { Self::Page }
    }
}

/// Executes one of the commands; `at` tells where a configuration is, and `paths` where the agent of it is met.
pub(super) fn execute(
    command: BrokerCommand,
    at: impl Fn(ConfigFile) -> Location,
    paths: impl Fn(&Location) -> Paths,
) -> ExitCode {
    let there = |config| paths(&at(config));
    match command {
        BrokerCommand::Services { config, json } => list(&there(config), Form::of(json), table::services),
        BrokerCommand::Instances { config, json } => list(&there(config), Form::of(json), table::instances),
        BrokerCommand::Bindings { config, json } => {
            let zone = TimeZone::system();
            list(&there(config), Form::of(json), |overview| table::bindings(overview, Wall.now(), &zone))
        }
        BrokerCommand::Bind { config, service, plan, to, binding, parameters, timeout } => {
            let errand = Errand { service, plan, binding, timeout };
            bind(&there(config), &errand, &to, parameters.as_deref())
        }
        BrokerCommand::Unbind { config, binding, timeout } => unbind(&there(config), &binding, timeout),
    }
}

fn list(paths: &Paths, form: Form, page: impl FnOnce(&Overview) -> String) -> ExitCode {
    let asked = on_runtime(async { Client::new(&paths.control())?.broker().await });
    match asked {
        Ok(Ok(Err(answer))) => {
            complain(&answer.message);
            ExitCode::from(exit::FAILED)
        }
        Ok(Ok(Ok(overview))) => {
            match form {
                Form::Json => match serde_json::to_string_pretty(&table::Document::new(&overview)) {
                    Ok(text) => say(&text),
                    Err(error) => {
                        complain(&error);
                        return ExitCode::from(exit::FAILED);
                    }
                },
                Form::Page => say(page(&overview).trim_end()),
            }
            ExitCode::SUCCESS
        }
        Ok(Err(error)) => no_conversation(&error),
        Err(code) => code,
    }
}

fn bind(paths: &Paths, errand: &Errand, to: &Path, parameters: Option<&Path>) -> ExitCode {
    let socket = paths.broker();
    let done = on_runtime(async {
        let parameters = parameters.map(bind::read_parameters).transpose()?;
        bind::bind(&socket, errand, to, parameters).await
    });
    conclude(done)
}

fn unbind(paths: &Paths, binding: &ServiceBindingId, timeout: Duration) -> ExitCode {
    let (control, socket) = (paths.control(), paths.broker());
    let done = on_runtime(async {
        let overview = Client::new(&control)?.broker().await?.map_err(|answer| Trouble::Other(answer.message))?;
        bind::unbind(&socket, &overview, binding, timeout).await
    });
    conclude(done)
}

fn conclude(done: Result<Result<String, Trouble>, ExitCode>) -> ExitCode {
    match done {
        Ok(Ok(sentence)) => {
            say(&sentence);
            ExitCode::SUCCESS
        }
        Ok(Err(Trouble::Control(error))) => no_conversation(&error),
        Ok(Err(trouble)) => {
            complain(&trouble);
            ExitCode::from(exit::FAILED)
        }
        Err(code) => code,
    }
}
