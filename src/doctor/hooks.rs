//! The hooks: which of them run, and why the others do not.

use nix::unistd::geteuid;

use super::{Finding, Patient};
use crate::apply::{SkipReason, survey};
use crate::config::{ApplyMode, Settings};

const CHECK: &str = "hooks";

/// Looks at the folder of hooks as the applier does. Blocks.
pub(super) fn look(patient: &Patient<'_>) -> Vec<Finding> {
    let mode = patient.settings.as_ref().map(|settings: &Settings| settings.apply.mode);
    match mode {
        Ok(ApplyMode::Off) => return vec![Finding::skipped(CHECK, "apply.mode is \"off\": no hook runs")],
        // Whose files count as trusted depends on who looks.
        Ok(ApplyMode::Socket) if !geteuid().is_root() => return vec![Finding::skipped(CHECK, "needs root")],
        Ok(ApplyMode::Socket | ApplyMode::Inline) | Err(_) => {}
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
        // A file that is not executable may be meant to be none, which nobody can tell.
        .filter(|skipped| skipped.reason.is_a_fault() || skipped.reason == SkipReason::NotExecutable)
        .map(|skipped| {
            let path = folder.join(&skipped.name);
            let what = format!("{} does not run: {}", skipped.name, skipped.message);
            if skipped.reason == SkipReason::NotExecutable {
                Finding::warning(CHECK, what, format!("`chmod +x {0}`, or move {0} elsewhere", path.display()))
            } else {
                Finding::failure(CHECK, what, format!("mend {}, or move it out of the folder", path.display()))
            }
        })
        .collect();
    if faults.is_empty() {
        return vec![Finding::ok(CHECK, format!("{} in {} can run", survey.runnable, folder.display()))];
    }
    faults
}
