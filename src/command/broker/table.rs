//! Services, instances and bindings, a line each.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::broker::{OfferNames, Overview};
use crate::command::status::relative;

/// The version of the JSON; keys can be added within one.
const VERSION: u32 = 1;

/// What scripts get.
#[derive(Debug, Serialize)]
pub(super) struct Document<'a> {
    version: u32,
    #[serde(flatten)]
    overview: &'a Overview,
}

impl<'a> Document<'a> {
    pub(super) fn new(overview: &'a Overview) -> Self {
        Self { version: VERSION, overview }
    }
}

/// The services, a line for each plan.
pub(super) fn services(overview: &Overview) -> String {
    let Some(services) = &overview.services else {
        return "The plane has not given its list yet, so it is not known what can be offered; `runtime-agent status` tells \
                how the host stands with it."
            .into();
    };
    let mut rows = vec![["SERVICE", "PLAN", "CREDENTIALS", "PLAN ID"].map(str::to_owned)];
    for service in services {
        for plan in &service.plans {
            let credentials = plan.credentials.as_str().to_owned();
            rows.push([service.name.clone(), plan.name.clone(), credentials, plan.id.to_string()]);
        }
    }
    if rows.len() == 1 {
        return "There are no services: this host may use no applications that have bundles.".into();
    }
    align(&rows)
}

/// The instances.
pub(super) fn instances(overview: &Overview) -> String {
    let mut rows = vec![["INSTANCE", "SERVICE", "PLAN", "BINDINGS"].map(str::to_owned)];
    for instance in &overview.instances {
        let [service, plan] = names(instance.names.as_ref());
        let bindings = overview.bindings.iter().filter(|binding| binding.instance == instance.id).count();
        rows.push([instance.id.to_string(), service, plan, bindings.to_string()]);
    }
    if rows.len() == 1 { "There are no instances.".into() } else { align(&rows) }
}

/// The bindings, and what is at the plane without one.
pub(super) fn bindings(overview: &Overview, now: Timestamp, zone: &TimeZone) -> String {
    let mut rows = vec![["BINDING", "SERVICE", "PLAN", "STATE", "SINCE", "INSTANCE"].map(str::to_owned)];
    let mut remarks = String::new();
    for binding in &overview.bindings {
        let [service, plan] = names(binding.names.as_ref());
        let at = binding.created_at.to_zoned(zone.clone()).strftime("%F %H:%M");
        let since = format!("{at} ({})", relative(binding.created_at, now));
        let (id, instance) = (binding.id.to_string(), binding.instance.to_string());
        rows.push([id, service, plan, binding.phase.clone(), since, instance]);
        if let Some(why) = &binding.why {
            remarks.push_str(&format!("\n{}: {why}.", binding.id));
        }
    }
    for orphan in &overview.orphans {
        remarks.push_str(&format!(
            "\nWithout a binding here: the credentials {} at the plane, which were asked for a binding {}.",
            orphan.auth, orphan.binding
        ));
    }
    let table = if rows.len() == 1 { "There are no bindings.".into() } else { align(&rows) };
    format!("{}\n{remarks}", table.trim_end()).trim_end().to_owned()
}

/// What is offered may be gone; what was made of it is not.
fn names(names: Option<&OfferNames>) -> [String; 2] {
    match names {
        Some(names) => [names.service.clone(), names.plan.clone()],
        None => ["(not offered any more)", "-"].map(str::to_owned),
    }
}

/// Columns as wide as what is in them.
fn align<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{BindingRow, InstanceRow, Offer, OrphanRow};

    fn overview() -> Overview {
        let offer = Offer { service: "app".parse().unwrap(), plan: "bundle".parse().unwrap() };
        let at = Timestamp::from_second(1_000_000).unwrap();
        let names = Some(OfferNames { service: "shop".into(), plan: "orders".into() });
        Overview {
            services: None,
            instances: vec![InstanceRow {
                id: "i".parse().unwrap(),
                offer: offer.clone(),
                names: names.clone(),
                created_at: at,
            }],
            bindings: vec![BindingRow {
                instance: "i".parse().unwrap(),
                id: "b".parse().unwrap(),
                offer: offer.clone(),
                names,
                phase: "failed".into(),
                why: Some("the application refused them".into()),
                auth: None,
                predecessor: None,
                created_at: at,
            }],
            orphans: vec![OrphanRow { auth: "auth".parse().unwrap(), offer, binding: "other".into() }],
        }
    }

    #[test]
    fn each_thing_has_its_line_and_what_is_wrong_its_reason() {
        let now = Timestamp::from_second(1_000_060).unwrap();
        let shown = bindings(&overview(), now, &TimeZone::UTC);
        assert!(shown.contains("b        shop     orders  failed  1970-01-12 13:46 (60 s ago)  i"), "{shown}");
        assert!(shown.contains("b: the application refused them."), "{shown}");
        assert!(shown.contains("the credentials auth at the plane"), "{shown}");
        let shown = instances(&overview());
        assert!(shown.ends_with("i         shop     orders  1\n"), "{shown}");
    }

    #[test]
    fn a_list_that_has_not_come_is_told_apart_from_one_with_nothing_in_it() {
        let mut overview = overview();
        assert!(services(&overview).starts_with("The plane has not given its list yet"), "{}", services(&overview));
        overview.services = Some(Vec::new());
        assert!(services(&overview).starts_with("There are no services"), "{}", services(&overview));
    }
}
