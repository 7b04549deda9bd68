//! `runtime-agent run`

use std::path::Path;
use std::process::ExitCode;

use super::{complain, exit, on_runtime};
use crate::agent;
use crate::config::Settings;
use crate::journal;

pub(super) fn execute(settings: Settings, path: &Path) -> ExitCode {
    journal::init(&settings.log);
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match on_runtime(agent::run(settings, path)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            tracing::error!("runtime-agent cannot run: {error}");
            // systemd shows this line even where the journal cannot be reached.
            complain(&error);
            ExitCode::from(exit::FAILED)
        }
        Err(code) => code,
    }
}
