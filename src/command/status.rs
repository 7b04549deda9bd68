//! `runtime-agent status`

use std::process::ExitCode;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{exit, no_conversation, on_runtime, say};
use crate::agent::status::{Severity, State, Status};
use crate::apply::InstallReport;
use crate::config::Paths;
use crate::control::Client;
use crate::pairing::Verdict;

pub(super) fn execute(paths: &Paths, json: bool) -> ExitCode {
    let conversation = async { Client::new(&paths.control())?.status(None).await };
    match on_runtime(conversation) {
        Ok(Ok(status)) => {
            if json {
                match serde_json::to_string_pretty(&status) {
                    Ok(text) => say(&text),
                    Err(error) => {
                        super::complain(&error);
                        return ExitCode::from(exit::FAILED);
                    }
                }
            } else {
                say(page(&status, Timestamp::now(), &TimeZone::system()).trim_end());
            }
            match status.state {
                State::Healthy => ExitCode::SUCCESS,
                State::Unpaired | State::Pairing => ExitCode::from(exit::UNPAIRED),
                State::Degraded => ExitCode::from(exit::DEGRADED),
                State::Expired | State::Rejected | State::Lost | State::ActionNeeded => {
                    ExitCode::from(exit::ACTION_NEEDED)
                }
            }
        }
        Ok(Err(error)) => no_conversation(&error),
        Err(code) => code,
    }
}

/// One screen.
fn page(status: &Status, now: Timestamp, zone: &TimeZone) -> String {
    let mut lines: Vec<(&str, String)> = Vec::new();
    let instant =
        |at: Timestamp| format!("{} ({})", at.to_zoned(zone.clone()).strftime("%F %H:%M:%S"), relative(at, now));
    lines.push(("state", format!("{}: {}", status.state.as_str(), explain(status.state))));
    if let Some(identity) = &status.identity {
        lines.push(("plane", identity.plane.clone()));
        if let Some(runtime) = &identity.runtime {
            lines.push(("runtime", runtime.to_string()));
        }
        lines.push(("certificate", format!("until {}", instant(identity.not_after))));
        lines.push(("renewal", instant(identity.renewal_at)));
    } else {
        lines.push(("token", format!("to be dropped in {}", status.token_path)));
    }
    if let Some(endeavour) = &status.endeavour {
        lines.push(("doing", endeavour.clone()));
    }
    if let Some(token) = &status.token {
        let verdict = match token.verdict {
            Verdict::InUse => "in use",
            Verdict::Paired => "used",
            Verdict::Refused => "refused",
            Verdict::Unpaired => "given up",
        };
        lines.push(("last token", format!("{verdict}, {}: {}", instant(token.at), token.detail)));
    }
    if let Some(at) = status.sync.last_success {
        lines.push(("synchronised", instant(at)));
    }
    if let Some(at) = status.sync.next {
        lines.push(("next poll", instant(at)));
    }
    if let Some(output) = &status.output {
        lines.push(("applications", format!("{} with {} bundles", output.applications, output.bundles)));
        lines.push((
            "files",
            format!("{} (generation {}, {})", output.path, output.generation, instant(output.published_at)),
        ));
        if output.rolled_back {
            lines.push(("", "rolled back; what the plane says is not published until `runtime-agent resume`".into()));
        }
    }
    if let Some(apply) = &status.apply {
        let outcome = if apply.succeeded { "all well" } else { "failed" };
        lines.push(("hooks", format!("{} for {}, {}: {outcome}", apply.hooks.len(), apply.event, instant(apply.at))));
        for hook in apply.hooks.iter().filter(|hook| !hook.outcome.is_success()) {
            lines.push(("", format!("{} {}", hook.name, hook.outcome)));
        }
        for skipped in apply.skipped.iter().filter(|skipped| skipped.reason.is_a_fault()) {
            lines.push(("", format!("{} is not run: {}", skipped.name, skipped.message)));
        }
        if let Some(install) = &apply.install {
            lines.extend(
                installed(install)
                    .into_iter()
                    .zip(["installed"].into_iter().chain(std::iter::repeat("")))
                    .map(|(line, name)| (name, line)),
            );
        }
    }
    let mut page = String::new();
    for (name, value) in lines {
        page.push_str(&format!("{name:>14}  {value}\n"));
    }
    for (area, problem) in &status.problems {
        let mark = match problem.severity {
            Severity::ActionNeeded => "ACTION NEEDED",
            Severity::Transient => "problem",
        };
        page.push_str(&format!("\n{mark} ({}, since {})\n", area.as_str(), instant(problem.since)));
        page.push_str(&format!("  {}\n  {}\n", problem.what, problem.remedy));
    }
    page
}

/// What came of the files of templates, one thing per line.
fn installed(install: &InstallReport) -> Vec<String> {
    let InstallReport { written, removed, units, warnings, refused } = install;
    let mut lines = match refused {
        None => vec![format!("{written} files written, {removed} removed")],
        Some(refused) => {
            let own_words = refused.output.iter().map(|line| format!("  {line}"));
            std::iter::once(format!("nothing: {}", refused.message)).chain(own_words).collect()
        }
    };
    lines.extend(units.iter().map(ToString::to_string));
    lines.extend(warnings.iter().cloned());
    lines
}

fn explain(state: State) -> &'static str {
    match state {
        State::Unpaired => "waiting for a token",
        State::Pairing => "a token is being used",
        State::Healthy => "paired, and nothing is wrong",
        State::Degraded => "something is wrong, and the agent goes on by itself",
        State::Expired => "the certificate is over; drop a new token",
        State::Rejected => "the plane refuses the certificate; drop a new token",
        State::Lost => "the files of the identity are missing or damaged; restore them, or drop a new token",
        State::ActionNeeded => "a person is needed",
    }
}

/// `in 3 days`, `5 min ago`
pub(super) fn relative(at: Timestamp, now: Timestamp) -> String {
    let seconds = at.as_second() - now.as_second();
    let (amount, unit) = match seconds.unsigned_abs() {
        amount @ 0..120 => (amount, "s"),
        amount @ 120..7200 => (amount / 60, "min"),
        amount @ 7200..172_800 => (amount / 3600, "h"),
        amount => (amount / 86400, "days"),
    };
    if seconds > 0 { format!("in {amount} {unit}") } else { format!("{amount} {unit} ago") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_people_tell_them() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let at = |second: i64| Timestamp::from_second(1_000_000 + second).unwrap();
        assert_eq!(relative(at(90 * 86400), now), "in 90 days");
        assert_eq!(relative(at(-300), now), "5 min ago");
        assert_eq!(relative(at(0), now), "0 s ago");
    }
}
