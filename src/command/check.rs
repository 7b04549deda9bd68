//! `runtime-agent check`

use std::fmt::Display;
use std::process::ExitCode;

use super::{complain, exit, say};
use crate::broker::login::Login;
use crate::config::{self, Location, Settings};
use crate::template::Templates;

pub(super) fn execute(location: &Location) -> ExitCode {
    let checked = config::gather(location).map_err(|error| Box::new(error) as Box<dyn Display>).and_then(|read| {
        check(&read.settings, &location.service())?;
        Ok(read)
    });
    match checked {
        Ok(read) => {
            say(&read.verdict());
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&error);
            ExitCode::from(exit::CONFIG)
        }
    }
}

/// Looks at the files that the configuration names.
fn check(settings: &Settings, service: &str) -> Result<(), Box<dyn Display>> {
    settings.plane.trust().check().map_err(|error| Box::new(error) as Box<dyn Display>)?;
    Login::check(&settings.broker, service).map_err(|error| Box::new(error) as Box<dyn Display>)?;
    let templates = Templates::load(&settings.template, &settings.paths.templates, &settings.templates);
    templates.map(drop).map_err(|error| Box::new(error) as Box<dyn Display>)
}
