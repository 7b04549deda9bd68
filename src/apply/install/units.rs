//! Units of systemd that are told, once each, that their files changed.

use std::collections::BTreeMap;

use tokio::time::{Duration, Instant};

use super::super::report::{UnitReport, UnitResult};
use super::super::stop::Stop;
use super::commands::{Commands, Ran, Said};
use super::failure::Failure;
use crate::config::UnitName;

/// How often a unit that is on its way to another state is looked at: every 200 milliseconds.
const PAUSE: Duration = Duration::from_millis(200);

/// What systemd says of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// There is none that could be told, for this reason.
    Untellable(String),
    /// It is at work.
    Active,
    /// It is on its way, in these words.
    Changing(String),
    /// It failed, or fails again and again.
    Failed,
    /// It does not run, and is not meant to.
    Inactive,
}

impl Commands<'_> {
    /// Tells a unit. What was broken before is reported, and is no failure of ours.
    pub(super) async fn tell(&self, unit: &UnitName, stop: &Stop) -> Result<UnitReport, Failure> {
        let began = Instant::now();
        let state = loop {
            match self.state(unit, stop).await? {
                State::Changing(how) if began.elapsed() < self.settings.timeout => {
                    tracing::debug!(unit = unit.as_str(), "{unit} is {how}; it is waited for");
                    tokio::select! {
                        () = tokio::time::sleep(PAUSE) => {}
                        () = stop.told() => {
                            return Err(Failure::again("the applier was told to stop while it waited for a unit"));
                        }
                    }
                }
                state => break state,
            }
        };
        let result = match state {
            State::Untellable(reason) => UnitResult::Skipped { reason },
            State::Inactive => UnitResult::Inactive,
            State::Changing(how) => {
                UnitResult::Skipped { reason: format!("it is still {how}; look what it waits for, and reload it then") }
            }
            State::Active => {
                self.systemctl(&["reload-or-restart", unit.as_str()], stop)
                    .await
                    .success(&format!("`systemctl reload-or-restart {unit}`"))?;
                if self.state(unit, stop).await? == State::Failed {
                    return Err(Failure::refused(format!("{unit} was told to reload or restart, and failed then")));
                }
                UnitResult::Told
            }
            State::Failed => {
                let ran = self.systemctl(&["restart", unit.as_str()], stop).await;
                match ran.success(&format!("`systemctl restart {unit}`")) {
                    Ok(()) => UnitResult::Revived,
                    Err(Failure::Refused { message, .. }) => UnitResult::StillFailed { reason: message },
                    Err(other) => return Err(other),
                }
            }
        };
        let report = UnitReport { unit: unit.to_string(), result };
        match report.result {
            UnitResult::Told | UnitResult::Inactive | UnitResult::Revived => {
                tracing::info!(unit = unit.as_str(), "{report}");
            }
            UnitResult::Skipped { .. } | UnitResult::StillFailed { .. } => {
                tracing::warn!(unit = unit.as_str(), "{report}");
            }
        }
        Ok(report)
    }

    async fn systemctl(&self, arguments: &[&str], stop: &Stop) -> Ran {
        let all: Vec<&str> = ["--no-pager", "--no-ask-password"].iter().chain(arguments).copied().collect();
        self.run(&self.settings.systemctl, &all, b"", Said::Nowhere, stop).await
    }

    async fn state(&self, unit: &UnitName, stop: &Stop) -> Result<State, Failure> {
        let properties = "LoadState,ActiveState,SubState,Job";
        let ran = self.systemctl(&["show", "-p", properties, unit.as_str()], stop).await;
        let lines = ran.output.clone();
        ran.success(&format!("`systemctl show {unit}`"))?;
        Ok(state(&lines))
    }
}

/// What the lines of `systemctl show` come to.
fn state(lines: &[String]) -> State {
    let properties: BTreeMap<&str, &str> = lines.iter().filter_map(|line| line.split_once('=')).collect();
    let property = |name| properties.get(name).copied().unwrap_or_default();
    match property("LoadState") {
        "not-found" => return State::Untellable("there is no such unit on this host".to_owned()),
        "masked" => return State::Untellable("it is masked".to_owned()),
        _ => {}
    }
    match (property("ActiveState"), property("SubState")) {
        ("failed", _) | ("activating", "auto-restart") => State::Failed,
        ("active", _) if matches!(property("Job"), "" | "0") => State::Active,
        ("active", _) => State::Changing("about to change, by a job that systemd has not carried out yet".to_owned()),
        ("activating", _) => State::Changing("starting".to_owned()),
        ("reloading" | "refreshing", _) => State::Changing("reloading".to_owned()),
        ("deactivating", _) => State::Changing("stopping".to_owned()),
        ("inactive", _) if matches!(property("Job"), "" | "0") => State::Inactive,
        ("inactive", _) => State::Changing("about to start".to_owned()),
        (other, _) => State::Untellable(format!("systemd says that it is {other:?}, which is not known here")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemd_says_of_a_unit_is_understood() {
        let of = |load: &str, active: &str, sub: &str, job: &str| {
            let line = |(name, value): (&str, &str)| format!("{name}={value}");
            let all = [("Job", job), ("LoadState", load), ("ActiveState", active), ("SubState", sub)];
            state(&all.map(line))
        };
        assert_eq!(of("loaded", "active", "running", ""), State::Active);
        assert_eq!(of("loaded", "inactive", "dead", "0"), State::Inactive);
        assert_eq!(of("loaded", "failed", "failed", ""), State::Failed);
        assert_eq!(of("loaded", "activating", "auto-restart", ""), State::Failed);
        for (active, job) in [("activating", ""), ("reloading", ""), ("deactivating", ""), ("inactive", "7")] {
            assert!(matches!(of("loaded", active, "x", job), State::Changing(_)), "{active}");
        }
        for load in ["not-found", "masked"] {
            assert!(matches!(of(load, "inactive", "dead", ""), State::Untellable(_)), "{load}");
        }
        assert!(matches!(state(&[]), State::Untellable(_)));
    }
}
