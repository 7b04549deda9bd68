//! `runtime-agent doctor`: looks at everything that the agent needs, changes nothing, and says what a person can do.
//!
//! Each group of checks gathers facts, and judges them by pure functions. Root looks first at what only root can see
//! ([`with_all_rights`]); everything that the agent's user wrote, and the network, is met with the rights of that user
//! ([`as_the_owner`]).

mod broker;
mod certificate;
mod finding;
mod hooks;
mod permissions;
mod plane;
mod process;
mod space;
mod templates;
mod token;
mod units;
mod watches;

use std::path::Path;
use std::time::Duration;

use nix::unistd::geteuid;

pub use finding::{Finding, Report, Verdict};

use crate::agent::status::{Severity, Status};
use crate::config::{ConfigError, Location, Paths, Settings};
use crate::control::ControlError;

/// How long one group of checks may take: 5 seconds.
const LONGEST: Duration = Duration::from_secs(5);

/// What is looked at.
#[derive(Debug)]
pub struct Patient<'a> {
    /// Where the configuration is.
    pub location: &'a Location,
    /// What it says; nothing, where it cannot be used.
    pub settings: Result<Settings, ConfigError>,
    /// Where things are, as far as the file tells.
    pub paths: Paths,
    /// What the daemon says of itself.
    pub status: Result<Status, ControlError>,
}

/// The checks that root sees more by. Blocks.
pub fn with_all_rights(patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings = vec![configuration(patient)];
    findings.extend(process::look(patient));
    findings.extend(problems(patient));
    findings.extend(units::look(patient));
    findings.extend(hooks::look(patient));
    findings.push(permissions::of_the_applier(patient));
    findings.push(watches::look(&patient.paths.state));
    findings
}

/// The checks of what the agent's user sees, all at once.
pub async fn as_the_owner(patient: &Patient<'_>) -> Vec<Finding> {
    let paths = patient.paths.clone();
    let runs = patient.status.is_ok();
    let rights = Rights::over(&paths.state);
    let (for_token, for_certificate, for_space) = (paths.clone(), paths.clone(), paths.clone());
    let rules = patient.settings.as_ref().map(|settings| settings.template.clone()).unwrap_or_default();
    let settings = patient.settings.as_ref().ok().cloned();
    let (for_broker, place) = (paths.clone(), broker_of(patient));
    let (permissions, token, certificate, space, templates, broker, plane) = tokio::join!(
        limited("permissions", move || permissions::look(&paths, rights)),
        limited("token", move || vec![token::look(&for_token, runs, rights)]),
        limited("certificate", move || certificate::look(&for_certificate, rights)),
        limited("space", move || space::look(&for_space, &rules)),
        limited("templates", move || vec![match settings {
            Some(settings) => templates::look(&settings, rights),
            None => Finding::skipped("templates", "the configuration cannot be used"),
        }]),
        limited("broker", move || place.map(|place| broker::look(&place, &for_broker, rights)).unwrap_or_default()),
        plane::look(patient, rights),
    );
    [permissions, token, certificate, space, templates, broker, plane].concat()
}

/// The broker that the configuration asks for, where it can be used.
fn broker_of(patient: &Patient<'_>) -> Option<broker::Place> {
    let settings = patient.settings.as_ref().ok()?;
    Some(broker::Place {
        settings: settings.broker.clone(),
        socket: settings.paths.broker(),
        service: patient.location.service(),
        runs: patient.status.is_ok(),
    })
}

/// Whose eyes look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rights {
    /// Those of the user who owns the state directory, or there is none yet.
    Owner,
    /// Those of somebody else, who cannot see what is secret.
    Stranger,
}

impl Rights {
    fn over(state: &Path) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        match std::fs::metadata(state) {
            Ok(metadata) if metadata.uid() != geteuid().as_raw() => Self::Stranger,
            Ok(_) | Err(_) => Self::Owner,
        }
    }
}

/// Runs checks that block, and does not wait for them for ever.
async fn limited(check: &'static str, look: impl FnOnce() -> Vec<Finding> + Send + 'static) -> Vec<Finding> {
    match tokio::time::timeout(LONGEST, tokio::task::spawn_blocking(look)).await {
        Ok(Ok(findings)) => findings,
        Ok(Err(error)) => vec![Finding::failure(check, format!("the check failed: {error}"), "report this")],
        Err(_) => vec![Finding::warning(
            check,
            format!("looking was given up after {} seconds", LONGEST.as_secs()),
            "see whether the host is busy, or a disk or a network file system hangs (`dmesg`, `df`)",
        )],
    }
}

fn configuration(patient: &Patient<'_>) -> Finding {
    match &patient.settings {
        Ok(_) => Finding::ok("configuration", format!("{} is valid", patient.location.main().display())),
        Err(error) => Finding::failure(
            "configuration",
            error.brief(),
            format!("correct it; `{}` shows the place", check_of(patient.location)),
        ),
    }
}

/// The command that checks the same configuration.
fn check_of(location: &Location) -> String {
    match (location.units(), location.instance()) {
        (None, _) => format!("runtime-agent check {}", location.main().display()),
        (Some(_), None) => "runtime-agent check".to_owned(),
        (Some(_), Some(instance)) => format!("runtime-agent --instance {instance} check"),
    }
}

/// What the daemon itself says to be wrong.
fn problems(patient: &Patient<'_>) -> Vec<Finding> {
    let Ok(status) = &patient.status else { return Vec::new() };
    if status.problems.is_empty() {
        return vec![Finding::ok("status", format!("the agent says that it is {}", status.state.as_str()))];
    }
    let tell = |(area, problem): (&crate::agent::status::Area, &crate::agent::status::Problem)| {
        let what = format!("{}: {}", area.as_str(), problem.what);
        match problem.severity {
            Severity::ActionNeeded => Finding::failure("status", what, problem.remedy.clone()),
            Severity::Transient => Finding::warning("status", what, problem.remedy.clone()),
        }
    };
    status.problems.iter().map(tell).collect()
}
