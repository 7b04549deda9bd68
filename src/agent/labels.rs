//! What is reported back: labels of this Runtime at the plane.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config::Report;
use crate::director::Director;
use crate::ids::RuntimeId;
use crate::transport::CallError;

/// The label for `report.events_url`.
const EVENTS: &str = "runtime_eventServiceUrl";
/// The label for `report.console_url`.
const CONSOLE: &str = "runtime_consoleUrl";

/// The labels that the configuration asks for.
pub fn wanted(report: &Report) -> BTreeMap<&'static str, String> {
    [(EVENTS, &report.events_url), (CONSOLE, &report.console_url)]
        .into_iter()
        .filter_map(|(label, url)| Some((label, url.as_ref()?.to_string())))
        .collect()
}

/// Sets the labels that differ from what the plane has; asks for nothing where nothing is wanted.
///
/// # Errors
/// When the plane gives no usable answer; some labels may be set then.
pub async fn set(
    director: &Director,
    runtime: &RuntimeId,
    wanted: &BTreeMap<&'static str, String>,
) -> Result<(), CallError> {
    if wanted.is_empty() {
        return Ok(());
    }
    let known = director.runtime(runtime).await?.labels;
    for (label, value) in wanted {
        if known.get(*label).and_then(Value::as_str) != Some(value) {
            director.set_label(runtime, label, &Value::String(value.clone())).await?;
            tracing::info!(label, "the label {label} is set to {value}");
        }
    }
    Ok(())
}
