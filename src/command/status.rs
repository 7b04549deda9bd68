//! `runtime-agent status`

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::paint::{Ink, Paint};
use super::{complain, exit, look_as_the_owner, no_conversation, on_runtime, printable, show};
use crate::agent::standing::{Reception, Standing};
use crate::agent::status::{BrokerStatus, IdentityStatus, OutputStatus, Severity, State, Status, SyncStatus};
use crate::apply::InstallReport;
use crate::cli::Color;
use crate::clock::{Clock as _, Wall};
use crate::config::Paths;
use crate::control::{Client, ControlError};
use crate::identity::IdentityStore;
use crate::kept::PlaneFile;
use crate::output::View;
use crate::pairing::Verdict;

/// How often a daemon that does not run is looked for: every second.
const LOOK: Duration = Duration::from_secs(1);

/// Clears the screen.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J\u{1b}[3J";

/// In which form the status is shown.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    /// For people.
    Page(Color),
    /// For programs.
    Json,
}

/// How often it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rhythm {
    /// Once.
    Once,
    /// Whenever it changes.
    Watch,
}

/// Who tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Teller {
    /// The agent.
    Agent,
    /// The files that it left.
    Files,
}

pub(super) fn execute(paths: &Paths, form: Form, rhythm: Rhythm) -> ExitCode {
    let shown = match rhythm {
        Rhythm::Once => on_runtime(once(paths, form)),
        Rhythm::Watch => on_runtime(watch(paths, form)),
    };
    shown.unwrap_or_else(|code| code)
}

async fn once(paths: &Paths, form: Form) -> ExitCode {
    let status = match Client::new(&paths.control()) {
        Ok(client) => client.status(None).await,
        Err(error) => Err(error),
    };
    match status {
        Ok(status) => {
            // Whoever does not read it to the end does not want it.
            let _ = show(&form.text(&status, Teller::Agent, Rhythm::Once));
            code_of(status.state)
        }
        Err(error @ ControlError::NotRunning(_)) => {
            if let Some(status) = of_files(paths) {
                let _ = show(&form.text(&status, Teller::Files, Rhythm::Once));
            }
            no_conversation(&error)
        }
        Err(error @ (ControlError::Forbidden(_) | ControlError::Refused(_) | ControlError::Failed { .. })) => {
            no_conversation(&error)
        }
    }
}

/// Shows it at each change, and ends with the last state when it is interrupted.
async fn watch(paths: &Paths, form: Form) -> ExitCode {
    let mut code = ExitCode::from(exit::NOT_RUNNING);
    tokio::select! {
        ended = follow(paths, form, &mut code) => ended,
        _ = tokio::signal::ctrl_c() => code,
    }
}

async fn follow(paths: &Paths, form: Form, code: &mut ExitCode) -> ExitCode {
    let client = match Client::new(&paths.control()) {
        Ok(client) => client,
        Err(error) => return no_conversation(&error),
    };
    let redraws = matches!(form, Form::Page(_)) && std::io::stdout().is_terminal();
    // The process and the revision that were shown last; none where it did not run.
    let mut shown: Option<Option<(u32, u64)>> = None;
    loop {
        let after = shown.flatten().map(|(_, revision)| revision);
        let (status, teller) = match client.status(after).await {
            Ok(status) => (status, Teller::Agent),
            Err(ControlError::NotRunning(_)) if shown == Some(None) => {
                tokio::time::sleep(LOOK).await;
                continue;
            }
            Err(error @ ControlError::NotRunning(_)) => match of_files(paths) {
                Some(status) => (status, Teller::Files),
                None => return no_conversation(&error),
            },
            // The agent ended in the middle of an answer.
            Err(ControlError::Failed { .. }) if shown.flatten().is_some() => {
                shown = Some(shown.flatten().map(|(pid, _)| (pid, u64::MAX)));
                tokio::time::sleep(LOOK).await;
                continue;
            }
            Err(error) => return no_conversation(&error),
        };
        let now = (teller == Teller::Agent).then_some((status.agent.pid, status.revision));
        *code = match teller {
            Teller::Agent => code_of(status.state),
            Teller::Files => ExitCode::from(exit::NOT_RUNNING),
        };
        // On a terminal, also because time goes by.
        if shown != Some(now) || redraws {
            let text = form.text(&status, teller, Rhythm::Watch);
            let text = if redraws { format!("{CLEAR}{text}") } else { text };
            if show(&text).is_err() {
                return *code;
            }
        }
        shown = Some(now);
    }
}

fn code_of(state: State) -> ExitCode {
    match state {
        State::Healthy => ExitCode::SUCCESS,
        State::Unpaired | State::Pairing => ExitCode::from(exit::UNPAIRED),
        State::Degraded => ExitCode::from(exit::DEGRADED),
        State::Expired | State::Rejected | State::Lost | State::ActionNeeded => ExitCode::from(exit::ACTION_NEEDED),
    }
}

/// What the files say of an agent that does not run; nothing, where they cannot be read, which is complained of.
fn of_files(paths: &Paths) -> Option<Status> {
    if let Err(why) = look_as_the_owner(paths) {
        complain(&why);
        return None;
    }
    let mut status = Status::new(paths.token().display().to_string(), Wall.now());
    match IdentityStore::reading(&paths.state).current_public_part() {
        Ok(Some(part)) => {
            let (from, until) = (part.leaf.not_before, part.leaf.not_after);
            status.standing = Standing::of(from, until, &Reception::Accepted, Wall.now());
            status.identity = Some(IdentityStatus::new(part, until));
        }
        Ok(None) => {}
        Err(error) => {
            complain(&error);
            return None;
        }
    }
    let answered = PlaneFile::open(&paths.state).known().map(|known| known.answered_at);
    status.sync = SyncStatus { last_success: answered, ..SyncStatus::default() };
    let view = View::new(&paths.config());
    let current = view.current().ok().flatten().and_then(|number| view.manifest(number).ok());
    status.output = current.map(|manifest| OutputStatus {
        generation: manifest.generation,
        published_at: manifest.published_at,
        path: paths.config().join("current").display().to_string(),
        applications: manifest.applications.len(),
        bundles: manifest.applications.values().map(|entry| u64::from(entry.bundles)).sum(),
        rolled_back: false,
    });
    Some(status)
}

impl Form {
    fn text(self, status: &Status, teller: Teller, rhythm: Rhythm) -> String {
        match (self, rhythm) {
            (Self::Page(color), Rhythm::Once) => {
                page(status, teller, Paint::of(color), Timestamp::now(), &TimeZone::system()).trim_end().to_owned()
            }
            // Blocks that follow each other are parted by an empty line.
            (Self::Page(color), Rhythm::Watch) => {
                page(status, teller, Paint::of(color), Timestamp::now(), &TimeZone::system())
            }
            (Self::Json, Rhythm::Once) => printable(&format!("{:#}", document(status, teller))),
            (Self::Json, Rhythm::Watch) => printable(&document(status, teller).to_string()),
        }
    }
}

/// What programs get.
fn document(status: &Status, teller: Teller) -> Value {
    let mut document = json!(status);
    if teller == Teller::Files {
        document["state"] = NOT_RUNNING.into();
        document["headline"] = "the agent does not run".into();
        document["agent"] = Value::Null;
        if status.identity.is_some() {
            document["identity"]["renewal_at"] = Value::Null;
        }
    }
    document
}

/// The state, where there is no agent to be in one.
const NOT_RUNNING: &str = "not-running";

/// One screen.
fn page(status: &Status, teller: Teller, paint: Paint, now: Timestamp, zone: &TimeZone) -> String {
    let mut lines: Vec<(&str, String)> = Vec::new();
    let instant =
        |at: Timestamp| format!("{} ({})", at.to_zoned(zone.clone()).strftime("%F %H:%M:%S"), relative(at, now));
    match teller {
        Teller::Agent => lines.push(("state", format!("{}: {}", status.state.as_str(), explain(status.state)))),
        Teller::Files => lines.push(("state", format!("{NOT_RUNNING}: the files say what follows"))),
    }
    if let Some(identity) = &status.identity {
        lines.push(("plane", identity.plane.clone()));
        if let Some(runtime) = &identity.runtime {
            lines.push(("runtime", runtime.to_string()));
        }
        lines.push(("certificate", format!("until {}", instant(identity.not_after))));
        match teller {
            Teller::Agent => lines.push(("renewal", instant(identity.renewal_at))),
            Teller::Files => lines.push(("standing", status.standing.as_str().to_owned())),
        }
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
    if let Some(at) = status.sync.last_try.filter(|_| status.sync.failures > 0) {
        lines.push(("last poll", format!("{}: failed, as {} in a row did", instant(at), status.sync.failures)));
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
    if let Some(broker) = &status.broker {
        lines.push(("broker", brokered(broker)));
    }
    if !status.awaiting_restart.is_empty() {
        lines.push((
            "not in force",
            format!("changes of {}: they wait for a restart", status.awaiting_restart.join(", ")),
        ));
    }
    let mut page = String::new();
    for (name, value) in lines {
        let value = printable(&value);
        let value = match name {
            "state" => paint.text(ink_of(status.state, teller), &value),
            _ => value,
        };
        page.push_str(&format!("{}  {value}\n", paint.text(Ink::Faint, &format!("{name:>14}"))));
    }
    for (area, problem) in &status.problems {
        let mark = match problem.severity {
            Severity::ActionNeeded => paint.text(Ink::Bad, "ACTION NEEDED"),
            Severity::Transient => paint.text(Ink::Doubtful, "problem"),
        };
        page.push_str(&format!("\n{mark} ({}, since {})\n", area.as_str(), instant(problem.since)));
        page.push_str(&printable(&format!("  {}\n  {}\n", problem.what, problem.remedy)));
    }
    page
}

/// What the service broker has. What there is none of and needs nobody is left out.
fn brokered(broker: &BrokerStatus) -> String {
    let BrokerStatus { instances, bindings, under_way, failed, orphans } = *broker;
    let more = [(under_way, "under way"), (failed, "failed"), (orphans, "at the plane without a binding")];
    let more = more.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!(", {count} {what}"));
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let (s, of) = (plural(instances), plural(bindings));
    let all = [format!("{instances} instance{s}, {bindings} binding{of} with credentials")].into_iter().chain(more);
    all.collect()
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

fn ink_of(state: State, teller: Teller) -> Ink {
    match (teller, state) {
        (Teller::Files, _) => Ink::Bad,
        (Teller::Agent, State::Healthy) => Ink::Good,
        (Teller::Agent, State::Unpaired | State::Pairing | State::Degraded) => Ink::Doubtful,
        (Teller::Agent, State::Expired | State::Rejected | State::Lost | State::ActionNeeded) => Ink::Bad,
    }
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

    #[test]
    fn a_broker_has_one_line_which_leaves_out_what_there_is_none_of() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let mut status = Status::new("/token".into(), now);
        let shown = |status: &Status| page(status, Teller::Agent, Paint::of(Color::Never), now, &TimeZone::UTC);
        assert!(!shown(&status).contains("broker"), "{}", shown(&status));
        let broker = BrokerStatus { instances: 1, bindings: 2, ..BrokerStatus::default() };
        status.broker = Some(broker);
        let line = "        broker  1 instance, 2 bindings with credentials\n";
        assert!(shown(&status).contains(line), "{}", shown(&status));
        status.broker = Some(BrokerStatus { under_way: 3, failed: 4, orphans: 5, ..broker });
        let more = "2 bindings with credentials, 3 under way, 4 failed, 5 at the plane without a binding\n";
        assert!(shown(&status).contains(more), "{}", shown(&status));
    }
}
