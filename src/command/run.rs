//! `runtime-agent run`

use std::process::ExitCode;

use super::{complain, exit, on_runtime};
use crate::agent;
use crate::config::{Location, Settings};
use crate::event::Service;
use crate::journal;

pub(super) fn execute(settings: Settings, location: Location) -> ExitCode {
    journal::init(&settings.log);
    match on_runtime(agent::run(settings, location)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            Service::CannotRun(&error).emit();
            // systemd shows this line even where the journal cannot be reached.
            complain(&error);
            ExitCode::from(exit::FAILED)
        }
        Err(code) => code,
    }
}
