//! `runtime-agent metrics`

use std::process::ExitCode;

use super::{no_conversation, on_runtime, say};
use crate::config::Paths;
use crate::control::Client;

pub(super) fn execute(paths: &Paths) -> ExitCode {
    match on_runtime(async { Client::new(&paths.control())?.metrics().await }) {
        Ok(Ok(page)) => {
            say(page.trim_end());
            ExitCode::SUCCESS
        }
        Ok(Err(error)) => no_conversation(&error),
        Err(code) => code,
    }
}
