//! `runtime-agent check`

use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;

use super::{complain, exit, say};
use crate::config::{self, Settings};
use crate::template::Templates;

pub(super) fn execute(path: &Path) -> ExitCode {
    let checked =
        config::load(path).map_err(|error| Box::new(error) as Box<dyn Display>).and_then(|settings| check(&settings));
    match checked {
        Ok(()) => {
            say(&format!("{} is valid", path.display()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&error);
            ExitCode::from(exit::CONFIG)
        }
    }
}

/// Looks at the files that the configuration names.
fn check(settings: &Settings) -> Result<(), Box<dyn Display>> {
    settings.plane.trust().check().map_err(|error| Box::new(error) as Box<dyn Display>)?;
    let templates = Templates::load(&settings.template, &settings.paths.templates, &settings.templates);
    templates.map(drop).map_err(|error| Box::new(error) as Box<dyn Display>)
}
