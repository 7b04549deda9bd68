//! The hooks: which of them run, and why the others do not.

use nix::unistd::geteuid;

use super::{Finding, Patient};
use crate::apply::survey;
use crate::config::{ApplyMode, Settings};

const CHECK: &str = "hooks";

/// Looks at the folder of hooks as the applier does. Blocks.
pub(super) fn look(patient: &Patient<'_>) -> Vec<Finding> {
    let mode = patient.settings().map(|settings: &Settings| settings.apply.mode);
    match mode {
        Some(ApplyMode::Off) => return vec![Finding::skipped(CHECK, "apply.mode is \"off\": no hook runs")],
        // Whose files count as trusted depends on who looks.
        Some(ApplyMode::Socket) if !geteuid().is_root() => return vec![Finding::skipped(CHECK, "needs root")],
        Some(ApplyMode::Socket | ApplyMode::Inline) | None => {}
    }
    let folder = &patient.paths.hooks;
    let survey = match survey(folder) {
        Ok(survey) => survey,
        Err(why) => {
            return vec![Finding::failure(CHECK, why, "let the applier's user read the folder of hooks")];
        }
    };
    let faults: Vec<Finding> = survey
        .skipped
        .iter()
        .filter(|skipped| skipped.reason.is_a_fault())
        .map(|skipped| {
            let path = folder.join(&skipped.name);
            Finding::failure(
                CHECK,
                format!("{} does not run: {}", skipped.name, skipped.message),
                format!("mend {}, or move it out of the folder", path.display()),
            )
        })
        .collect();
    if faults.is_empty() {
        return vec![Finding::ok(CHECK, format!("{} in {} can run", survey.runnable, folder.display()))];
    }
    faults
}
