//! `runtime-agent apply`

use std::process::ExitCode;

use super::{exit, on_runtime};
use crate::apply::{ApplierSettings, serve_socket, serve_stdio};
use crate::config::{self, Location, Settings};
use crate::event::Message;
use crate::journal;

/// The program by which units are told.
const SYSTEMCTL: &str = "/usr/bin/systemctl";

pub(super) fn execute(settings: &Settings, location: &Location, stdio: bool) -> ExitCode {
    journal::init(&settings.log);
    let served = async {
        if stdio {
            serve_stdio(applier(settings)).await
        } else {
            let current = || config::load(location).map(|settings| applier(&settings)).map_err(|error| error.brief());
            serve_socket(current, settings.apply.idle.get()).await
        }
    };
    match on_runtime(served) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            tracing::error!(message_id = Message::NothingApplied.id(), "the applier cannot serve: {error}");
            ExitCode::from(exit::FAILED)
        }
        Err(code) => code,
    }
}

fn applier(settings: &Settings) -> ApplierSettings {
    ApplierSettings {
        hooks: settings.paths.hooks.clone(),
        timeout: settings.hooks.timeout.get(),
        grace: settings.hooks.grace.get(),
        output_limit: usize::try_from(settings.hooks.output_limit.get()).unwrap_or(usize::MAX),
        agent_state: settings.paths.state.clone(),
        applier_state: settings.apply.state.clone(),
        rules: settings.template.clone(),
        limits: settings.templates.clone(),
        systemctl: SYSTEMCTL.into(),
    }
}
