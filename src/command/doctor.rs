//! `runtime-agent doctor`: shows what the checks found.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::time::Duration;

use super::paint::{Ink, Paint};
use super::{complain, exit, look_as_the_owner, on_runtime, printable, say, show};
use crate::cli::Color;
use crate::config::{self, Location};
use crate::control::{Client, ControlError};
use crate::doctor::{Finding, Patient, Report, Verdict, as_the_owner, with_all_rights};

/// The variables that say which proxy is on the way.
const PROXY: [&str; 6] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"];

/// How long the daemon has to say how it is: 5 seconds.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn execute(location: &Location, json: bool, color: Color) -> ExitCode {
    let settings = config::load(location);
    let paths = settings.as_ref().map_or_else(|_| config::paths(location), |settings| settings.paths.clone());
    let asked = async {
        let status = async { Client::new(&paths.control())?.status(None).await };
        // A daemon that hangs is what somebody may want to find out.
        tokio::time::timeout(PATIENCE, status).await.unwrap_or_else(|_| {
            let why = format!("no answer came within {} seconds", PATIENCE.as_secs());
            Err(ControlError::Failed { socket: paths.control(), why })
        })
    };
    let status = match on_runtime(asked) {
        Ok(status) => status,
        Err(code) => return code,
    };
    if let Ok(status) = &status {
        meet_the_same_proxy(status.agent.pid);
    }
    // Keys and credentials pass through here.
    crate::seclusion::seclude();
    let patient = Patient { location, settings, paths, status };
    let mut findings = with_all_rights(&patient);
    if let Err(why) = look_as_the_owner(&patient.paths) {
        complain(&format_args!("the agent cannot be looked at: {why}"));
        return ExitCode::from(exit::FAILED);
    }
    match on_runtime(as_the_owner(&patient)) {
        Ok(found) => findings.extend(found),
        Err(code) => return code,
    }
    let report = Report::new(findings);
    if json {
        match serde_json::to_string_pretty(&report) {
            Ok(text) => say(&text),
            Err(error) => {
                complain(&error);
                return ExitCode::from(exit::FAILED);
            }
        }
    } else {
        // Whoever does not read it to the end does not want it.
        let _ = show(&page(&report, Paint::of(color)));
    }
    match report.verdict {
        Verdict::Failure => ExitCode::from(exit::UNWELL),
        Verdict::Skipped | Verdict::Ok | Verdict::Warning => ExitCode::SUCCESS,
    }
}

/// What the program is called once it has begun anew, so that it does so once.
const AGAIN: &str = "runtime-agent (with the daemon's proxy)";

/// Begins anew with the daemon's own proxy, where its unit names one that the environment here does not. Only root can
/// see that, and only the way to the plane depends on it.
fn meet_the_same_proxy(pid: u32) {
    let begun_anew = std::env::args_os().next().is_some_and(|name| name == AGAIN);
    if begun_anew || !nix::unistd::geteuid().is_root() {
        return;
    }
    let Ok(environment) = std::fs::read(format!("/proc/{pid}/environ")) else { return };
    let text = String::from_utf8_lossy(&environment);
    let theirs = |name: &str| text.split('\0').find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    if PROXY.iter().all(|name| theirs(name).map(str::to_owned) == std::env::var(name).ok()) {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut again = Command::new(program);
    again.arg0(AGAIN).args(std::env::args_os().skip(1));
    for name in PROXY {
        match theirs(name) {
            Some(value) => again.env(name, value),
            None => again.env_remove(name),
        };
    }
    // It only comes back where it fails, and then the checks are made with the proxy that is known here.
    let _ = again.exec();
}

fn page(report: &Report, paint: Paint) -> String {
    let mut page = String::new();
    for Finding { check, verdict, what, remedy } in &report.findings {
        let ink = match verdict {
            Verdict::Ok => Ink::Good,
            Verdict::Skipped => Ink::Faint,
            Verdict::Warning => Ink::Doubtful,
            Verdict::Failure => Ink::Bad,
        };
        let word = paint.text(ink, &format!("{:<8}", verdict.as_str()));
        page.push_str(&format!("{word} {check:<13} {}\n", printable(what)));
        if let Some(remedy) = remedy {
            page.push_str(&format!("{:22} {} {}\n", "", paint.text(Ink::Bold, "remedy:"), printable(remedy)));
        }
    }
    let count = |verdict| report.findings.iter().filter(|finding| finding.verdict == verdict).count();
    let (failures, warnings) = (count(Verdict::Failure), count(Verdict::Warning));
    page.push_str(&match (failures, warnings) {
        (0, 0) => "Nothing is wrong.".to_owned(),
        (0, warnings) => format!("Nothing needs a person; {warnings} to be looked at."),
        (failures, warnings) => format!("{failures} need a person, and {warnings} to be looked at."),
    });
    page
}
