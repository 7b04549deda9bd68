//! `runtime-agent check`

use std::path::Path;
use std::process::ExitCode;

use super::{complain, exit, say};
use crate::config;

pub(super) fn execute(path: &Path) -> ExitCode {
    match config::load(path) {
        Ok(settings) => match settings.plane.trust().check() {
            Ok(()) => {
                say(&format!("{} is valid", path.display()));
                ExitCode::SUCCESS
            }
            Err(error) => {
                complain(&error);
                ExitCode::from(exit::CONFIG)
            }
        },
        Err(error) => {
            complain(&error);
            ExitCode::from(exit::CONFIG)
        }
    }
}
