//! The page that Prometheus reads: the counters, and how things are at the moment.

use std::fmt;

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Kind, Name, PREFIX, label, metrics};
use crate::agent::status::{Area, BrokerStatus, State, Status};

/// The type of the page: OpenMetrics, which Prometheus and its relatives read.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The page.
///
/// # Errors
/// When it cannot be written, which memory alone could cause.
pub fn page(status: &Status) -> Result<String, fmt::Error> {
    let mut page = String::new();
    encode_registry(&mut page, &gauges(status))?;
    encode_registry(&mut page, &metrics().registry)?;
    encode_eof(&mut page)?;
    Ok(page)
}

/// The same page in the older text format, which is the only one that node_exporter reads. It names counters with their
/// ending, and has no end.
pub fn in_text_format(page: &str) -> String {
    let counters: Vec<_> = Name::ALL.iter().filter(|name| name.kind() == Kind::Counter).collect();
    let mut text = String::with_capacity(page.len());
    for line in page.lines().filter(|line| *line != "# EOF") {
        let about = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE "));
        let stem = about.and_then(|about| about.split(' ').next()?.strip_prefix(PREFIX)?.strip_prefix('_'));
        match counters.iter().find(|name| Some(name.stem()) == stem) {
            Some(name) => text.push_str(&line.replacen(name.stem(), &format!("{}_total", name.stem()), 1)),
            None => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

/// How things are. What is not known has no value, rather than one that means something else.
fn gauges(status: &Status) -> Registry {
    let mut registry = Registry::with_prefix(PREFIX);
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let mut words = |name: Name, values: &[(&'static str, bool)]| {
        let family = Family::<_, Gauge>::default();
        for (value, holds) in values {
            family.get_or_create(&label(name, value)).set(i64::from(*holds));
        }
        registry.register(name.stem(), name.help(), family);
    };
    words(Name::BuildInfo, &[(env!("CARGO_PKG_VERSION"), true)]);
    words(Name::State, &State::ALL.map(|state| (state.as_str(), state == status.state)));
    words(Name::Problems, &Area::ALL.map(|area| (area.as_str(), status.problems.contains_key(&area))));
    if let Some(broker) = &status.broker {
        let family = Family::<_, Gauge>::default();
        let BrokerStatus { bindings, under_way, failed, .. } = *broker;
        for (state, count) in [("ready", bindings), ("under-way", under_way), ("failed", failed)] {
            family.get_or_create(&label(Name::BrokerBindings, state)).set(number(count as u64));
        }
        registry.register(Name::BrokerBindings.stem(), Name::BrokerBindings.help(), family);
    }
    let mut value = |name: Name, value: Option<i64>| {
        if let Some(value) = value {
            let gauge = Gauge::<i64>::default();
            gauge.set(value);
            registry.register(name.stem(), name.help(), gauge);
        }
    };
    let (identity, output) = (status.identity.as_ref(), status.output.as_ref());
    value(Name::StartTime, Some(status.agent.started_at.as_second()));
    value(Name::Paired, Some(i64::from(identity.is_some())));
    value(Name::NotBefore, identity.map(|identity| identity.not_before.as_second()));
    value(Name::NotAfter, identity.map(|identity| identity.not_after.as_second()));
    value(Name::RenewalAt, identity.map(|identity| identity.renewal_at.as_second()));
    value(Name::LastPoll, status.sync.last_success.map(|at| at.as_second()));
    value(Name::FailedInARow, Some(status.sync.failures.into()));
    value(Name::Applications, output.map(|output| number(output.applications as u64)));
    value(Name::Bundles, output.map(|output| number(output.bundles)));
    value(Name::Generation, output.map(|output| number(output.generation.0.get())));
    value(Name::RolledBack, output.map(|output| i64::from(output.rolled_back)));
    value(Name::ApplySucceeded, status.apply.as_ref().map(|apply| i64::from(apply.succeeded)));
    let broker = status.broker.as_ref();
    value(Name::BrokerInstances, broker.map(|broker| number(broker.instances as u64)));
    value(Name::BrokerOrphans, broker.map(|broker| number(broker.orphans as u64)));
    registry
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_host_without_an_identity_has_no_end_of_its_certificate() {
        let status = Status::new("/token".into(), Timestamp::from_second(1_000_000).unwrap());
        let page = page(&status).unwrap();
        assert!(page.contains("runtime_agent_state{state=\"unpaired\"} 1\n"), "{page}");
        assert!(page.contains("runtime_agent_state{state=\"healthy\"} 0\n"), "{page}");
        assert!(page.contains("runtime_agent_start_time_seconds 1000000\n"), "{page}");
        assert!(page.contains("runtime_agent_renewals_total{result=\"success\"} "), "{page}");
        assert!(!page.contains("certificate_not_after"), "{page}");
        assert!(page.ends_with("# EOF\n"), "{page}");
    }

    #[test]
    fn what_a_broker_has_is_there_where_there_is_one() {
        let mut status = Status::new("/token".into(), Timestamp::UNIX_EPOCH);
        let without = page(&status).unwrap();
        assert!(!without.contains("runtime_agent_broker_instances"), "{without}");
        assert!(without.contains("runtime_agent_broker_requests_total{result=\"refused\"} "), "{without}");
        status.broker = Some(BrokerStatus { instances: 1, bindings: 2, under_way: 3, failed: 4, orphans: 5 });
        let with = page(&status).unwrap();
        for line in [
            "runtime_agent_broker_instances 1\n",
            "runtime_agent_broker_bindings{state=\"ready\"} 2\n",
            "runtime_agent_broker_bindings{state=\"under-way\"} 3\n",
            "runtime_agent_broker_bindings{state=\"failed\"} 4\n",
            "runtime_agent_broker_orphans 5\n",
        ] {
            assert!(with.contains(line), "{line}: {with}");
        }
    }

    #[test]
    fn a_file_for_node_exporter_tells_what_counters_are() {
        let status = Status::new("/token".into(), Timestamp::UNIX_EPOCH);
        let text = in_text_format(&page(&status).unwrap());
        let lines = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
        assert_eq!(lines("# TYPE runtime_agent_polls_total counter"), 1, "{text}");
        assert_eq!(lines("# HELP runtime_agent_polls_total Polls"), 1, "{text}");
        assert_eq!(lines("runtime_agent_polls_total{"), 5, "{text}");
        assert_eq!(lines("# TYPE runtime_agent_poll_duration_seconds histogram"), 1, "{text}");
        assert_eq!(lines("# EOF"), 0, "{text}");
    }

    #[test]
    fn every_metric_that_has_a_value_is_one_of_the_names_and_of_its_kind() {
        let status = Status::new("/token".into(), Timestamp::UNIX_EPOCH);
        let known: Vec<String> = Name::ALL.iter().map(|name| format!("{PREFIX}_{}", name.stem())).collect();
        let page = page(&status).unwrap();
        for line in page.lines().filter(|line| line.starts_with("# TYPE ")) {
            let (name, kind) = line["# TYPE ".len()..].split_once(' ').unwrap();
            let place = known.iter().position(|known| known == name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(format!("{:?}", Name::ALL[place].kind()).to_lowercase(), kind, "{name}");
        }
    }
}
