//! `runtime-agent apply`

use std::process::ExitCode;

use super::{exit, on_runtime};
use crate::apply::{ApplierSettings, serve_socket, serve_stdio};
use crate::config::Settings;
use crate::journal;

/// The program by which units are told.
const SYSTEMCTL: &str = "/usr/bin/systemctl";

pub(super) fn execute(settings: &Settings, stdio: bool) -> ExitCode {
    journal::init(&settings.log);
    let applier = ApplierSettings {
        hooks: settings.paths.hooks.clone(),
        timeout: settings.hooks.timeout.get(),
        grace: settings.hooks.grace.get(),
        output_limit: usize::try_from(settings.hooks.output_limit.get()).unwrap_or(usize::MAX),
        agent_state: settings.paths.state.clone(),
        applier_state: settings.apply.state.clone(),
        rules: settings.template.clone(),
        limits: settings.templates.clone(),
        systemctl: SYSTEMCTL.into(),
    };
    let served = async {
        if stdio { serve_stdio(applier).await } else { serve_socket(applier, settings.apply.idle.get()).await }
    };
    match on_runtime(served) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            tracing::error!("the applier cannot serve: {error}");
            ExitCode::from(exit::FAILED)
        }
        Err(code) => code,
    }
}
