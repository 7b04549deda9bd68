//! The units that run the agent: whether systemd starts them, and what drop-ins took from their sandbox.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Finding, Patient};
use crate::config::ApplyMode;

const CHECK: &str = "units";

/// How the packages' unit has what keeps the daemon in.
const SANDBOX: [(&str, &str); 15] = [
    ("User", "runtime-agent"),
    ("NoNewPrivileges", "yes"),
    ("ProtectSystem", "strict"),
    ("ProtectHome", "yes"),
    ("PrivateTmp", "yes"),
    ("PrivateDevices", "yes"),
    ("ProtectKernelTunables", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectControlGroups", "yes"),
    ("RestrictSUIDSGID", "yes"),
    ("RestrictRealtime", "yes"),
    ("LockPersonality", "yes"),
    ("MemoryDenyWriteExecute", "yes"),
    ("CapabilityBoundingSet", ""),
    ("LimitCORE", "0"),
];

type Properties = BTreeMap<String, String>;

/// Asks systemd. Blocks.
pub(super) fn look(patient: &Patient<'_>) -> Vec<Finding> {
    if !Path::new("/run/systemd/system").exists() {
        return vec![Finding::skipped(CHECK, "systemd does not run here")];
    }
    let Some((service, socket)) = patient.location.units() else {
        return vec![Finding::skipped(CHECK, "this configuration is not the one that the units use")];
    };
    let mode = patient.settings.as_ref().map_or(ApplyMode::Off, |settings| settings.apply.mode);
    let mut findings = match show(&service) {
        Ok(unit) => judge_service(&service, &unit),
        Err(why) => return vec![Finding::skipped(CHECK, why)],
    };
    if mode == ApplyMode::Socket {
        match show(&socket) {
            Ok(unit) => findings.push(judge_socket(&socket, &unit)),
            Err(why) => findings.push(Finding::skipped(CHECK, why)),
        }
    }
    findings
}

fn show(unit: &str) -> Result<Properties, String> {
    let mut names = vec!["LoadState", "UnitFileState", "ActiveState", "NeedDaemonReload", "DropInPaths"];
    names.extend(SANDBOX.map(|(name, _)| name));
    let output = Command::new("timeout")
        .args(["5", "systemctl", "show", "--no-pager", "--property", &names.join(","), "--", unit])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("systemctl cannot be run: {error}"))?;
    if !output.status.success() {
        return Err(format!("`systemctl show {unit}` ended with {}", output.status));
    }
    Ok(parse(&String::from_utf8_lossy(&output.stdout)))
}

fn parse(text: &str) -> Properties {
    let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    text.lines().filter_map(pair).collect()
}

fn value<'a>(unit: &'a Properties, name: &str) -> &'a str {
    unit.get(name).map_or("", String::as_str)
}

fn judge_service(service: &str, unit: &Properties) -> Vec<Finding> {
    match value(unit, "LoadState") {
        "loaded" => {}
        "masked" => {
            return vec![Finding::failure(
                CHECK,
                format!("{service} is masked"),
                format!("`systemctl unmask {service}`"),
            )];
        }
        other => return vec![Finding::skipped(CHECK, format!("{service} is {other}"))],
    }
    let mut findings = Vec::new();
    match value(unit, "ActiveState") {
        "active" | "reloading" | "activating" => {}
        state => findings.push(Finding::failure(
            CHECK,
            format!("{service} is {state}"),
            format!("`systemctl start {service}`; `journalctl -u {service}` tells why it ended"),
        )),
    }
    if value(unit, "UnitFileState") == "disabled" {
        findings.push(Finding::warning(
            CHECK,
            format!("{service} does not start with the host"),
            format!("`systemctl enable {service}`"),
        ));
    }
    if value(unit, "NeedDaemonReload") == "yes" {
        findings.push(Finding::warning(
            CHECK,
            "files of units changed, and systemd has not read them",
            format!("`systemctl daemon-reload && systemctl restart {service}`"),
        ));
    }
    let drop_ins = value(unit, "DropInPaths");
    let weaker: Vec<String> = SANDBOX
        .iter()
        .filter(|(name, _)| unit.contains_key(*name))
        .filter(|(name, wanted)| value(unit, name) != *wanted)
        .map(|(name, _)| format!("{name}={}", value(unit, name)))
        .collect();
    if !weaker.is_empty() {
        let by = if drop_ins.is_empty() { "the unit itself" } else { drop_ins };
        findings.push(Finding::warning(
            CHECK,
            format!("the sandbox of {service} is not the packages' one: {} (by {by})", weaker.join(" ")),
            format!("take that back, unless it is meant (`systemctl cat {service}`)"),
        ));
    }
    if findings.is_empty() {
        let by = if drop_ins.is_empty() { String::new() } else { format!(", with the drop-ins {drop_ins}") };
        findings.push(Finding::ok(CHECK, format!("{service} is active{by}")));
    }
    findings
}

fn judge_socket(socket: &str, unit: &Properties) -> Finding {
    match (value(unit, "LoadState"), value(unit, "ActiveState")) {
        ("loaded", "active") => Finding::ok(CHECK, format!("{socket} listens")),
        ("loaded", state) => Finding::failure(
            CHECK,
            format!("{socket} is {state}: nothing is installed, and no hook runs"),
            format!("`systemctl start {socket}`"),
        ),
        (state, _) => Finding::failure(
            CHECK,
            format!("{socket} is {state}, and apply.mode is \"socket\""),
            "install the unit, or set apply.mode",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn service(more: &str) -> Vec<Finding> {
        let sandbox: String = SANDBOX.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        let good = "LoadState=loaded\nUnitFileState=enabled\nActiveState=active\nNeedDaemonReload=no\nDropInPaths=\n";
        judge_service("runtime-agent.service", &parse(&format!("{good}{sandbox}{more}")))
    }

    #[test]
    fn a_unit_is_judged_by_what_systemd_says_of_it() {
        assert!(matches!(service("").as_slice(), [only] if only.verdict == Verdict::Ok));
        for (more, verdict, word) in [
            ("ActiveState=failed\n", Verdict::Failure, "journalctl"),
            ("LoadState=masked\n", Verdict::Failure, "unmask"),
            ("UnitFileState=disabled\n", Verdict::Warning, "enable"),
            ("NeedDaemonReload=yes\n", Verdict::Warning, "daemon-reload"),
            ("NoNewPrivileges=no\nDropInPaths=/etc/x.conf\n", Verdict::Warning, "systemctl cat"),
        ] {
            let found = service(more);
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(found[0].verdict, verdict, "{more}");
            assert!(found[0].remedy.as_ref().unwrap().contains(word), "{found:?}");
        }
        let weak = service("NoNewPrivileges=no\nDropInPaths=/etc/x.conf\n");
        assert!(weak[0].what.contains("NoNewPrivileges=no") && weak[0].what.contains("/etc/x.conf"), "{weak:?}");
    }

    #[test]
    fn a_socket_that_does_not_listen_is_told() {
        assert_eq!(
            judge_socket("runtime-agent-apply.socket", &parse("LoadState=loaded\nActiveState=active")).verdict,
            Verdict::Ok
        );
        assert_eq!(
            judge_socket("runtime-agent-apply.socket", &parse("LoadState=loaded\nActiveState=inactive")).verdict,
            Verdict::Failure
        );
        assert_eq!(
            judge_socket("runtime-agent-apply.socket", &parse("LoadState=not-found\nActiveState=inactive")).verdict,
            Verdict::Failure
        );
    }
}
