//! `runtime-agent check`

use std::path::Path;
use std::process::ExitCode;

use super::{complain, exit};
use crate::config;

pub(super) fn execute(path: &Path) -> ExitCode {
    match config::load(path) {
        Ok(_) => {
            println!("{} is valid", path.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&error);
            ExitCode::from(exit::CONFIG)
        }
    }
}
