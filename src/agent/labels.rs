//! What is reported back: labels of this Runtime at the plane.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config::{CONSOLE_LABEL, EVENTS_LABEL, Report};
use crate::director::Director;
use crate::event::Synchronisation;
use crate::ids::RuntimeId;
use crate::transport::CallError;

/// The labels that the configuration asks for.
pub fn wanted(report: &Report) -> BTreeMap<&str, String> {
    let urls = [(EVENTS_LABEL, &report.events_url), (CONSOLE_LABEL, &report.console_url)];
    let urls = urls.into_iter().filter_map(|(label, url)| Some((label, url.as_ref()?.to_string())));
    let further = report.labels.iter().map(|(name, value)| (name.as_str(), value.clone()));
    urls.chain(further).collect()
}

/// Sets the labels that differ from what the plane has; asks for nothing where nothing is wanted.
///
/// # Errors
/// When the plane gives no usable answer; some labels may be set then.
pub async fn set(director: &Director, runtime: &RuntimeId, wanted: &BTreeMap<&str, String>) -> Result<(), CallError> {
    if wanted.is_empty() {
        return Ok(());
    }
    let known = director.runtime(runtime).await?.labels;
    for (label, value) in wanted {
        if known.get(*label).and_then(Value::as_str) != Some(value) {
            director.set_label(runtime, label, &Value::String(value.clone())).await?;
            Synchronisation::LabelSet { label, value }.emit();
        }
    }
    Ok(())
}
