//! Promises 6, 8 and 9: no storm, nothing without a bound, and schedules that the wall's clock can be held to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use runtime_agent::agent::status::{State, Status};

use super::{Breach, Observed, Promise};
use crate::tree::Kind;

/// The longest name of a file, in bytes.
const NAME: usize = 255;

/// How many generations are kept: the configured five, and one that is being made.
const GENERATIONS: usize = 6;

/// How many identities are kept: the one in use, the one before it, and one that is being made.
const IDENTITIES: usize = 3;

/// How long after a try the next one is due at the latest: a poll that takes its time, and twice the interval.
const LATEST: Duration = Duration::from_secs(90);

/// How long the plane can ask to be left alone: a day, and a minute so that not all come at once.
const ALONE: Duration = Duration::from_secs(24 * 60 * 60 + 61);

pub(super) fn judge(observed: &Observed) -> Vec<Breach> {
    let mut breaches = storms(observed);
    breaches.extend(sizes(observed));
    let late: BTreeSet<_> = observed.seen.statuses.iter().filter_map(|status| late(status, observed)).collect();
    breaches.extend(late.into_iter().map(|what| Breach::of(Promise::Time, what)));
    breaches
}

/// Requests by their names, and connections: how many there were, and how many there may be.
fn storms(observed: &Observed) -> Vec<Breach> {
    let bounds = observed.bounds;
    let seconds = observed.lasted.as_secs_f64();
    let most = bounds.burst + bounds.per_order * f64::from(observed.orders) + bounds.per_second * seconds;
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for request in &observed.requests {
        let name = request.fields.first().map_or("-", String::as_str);
        *counts.entry(format!("{} at the {}", name, request.endpoint.name())).or_default() += 1;
    }
    for (endpoint, connections) in &observed.counters.connections {
        // Each request has one of its own in the worst case.
        counts.insert(format!("connections to the {endpoint}"), connections / 4);
    }
    let storm = counts.into_iter().filter(|(_, count)| *count as f64 > most);
    storm
        .map(|(name, count)| {
            let orders = observed.orders;
            let what =
                format!("{count} × {name} in {seconds:.1} seconds and for {orders} orders, of at most {most:.0}");
            Breach::of(Promise::Storm, what)
        })
        .collect()
}

fn sizes(observed: &Observed) -> Vec<Breach> {
    let bounds = observed.bounds;
    let mut wrong = Vec::new();
    if let Some(line) = observed.log.lines().find(|line| line.len() > bounds.line) {
        let beginning: String = line.chars().take(200).collect();
        wrong.push(format!("a line of {} bytes is in the log: {beginning}…", line.len()));
    }
    let (lines, seconds) = (observed.log.lines().count(), observed.lasted.as_secs_f64());
    let most = bounds.lines * (10.0 + seconds + f64::from(observed.orders));
    if lines as f64 > most {
        wrong.push(format!("the log has {lines} lines after {seconds:.1} seconds, of at most {most:.0}"));
    }
    if observed.seen.descriptors > bounds.descriptors {
        wrong.push(format!("{} files were open, of at most {}", observed.seen.descriptors, bounds.descriptors));
    }
    if observed.seen.memory > bounds.memory {
        wrong.push(format!("{} KiB of memory were taken, of at most {}", observed.seen.memory, bounds.memory));
    }
    let long = observed.tree.keys().find(|path| path.file_name().is_some_and(|name| name.len() > NAME));
    wrong.extend(long.map(|path| format!("the name of {} is too long", path.display())));
    for (folder, most) in [("state/config", GENERATIONS), ("state/identity", IDENTITIES)] {
        let is_number =
            |path: &&Path| path.file_name().is_some_and(|name| name.to_string_lossy().parse::<u64>().is_ok());
        let folders =
            observed.tree.iter().filter(|(_, entry)| entry.kind == Kind::Folder).map(|(path, _)| path.as_path());
        let numbered = folders.filter(|path| path.parent() == Some(Path::new(folder))).filter(is_number).count();
        if numbered > most {
            wrong.push(format!("there are {numbered} numbered folders in {folder}, of at most {most}"));
        }
    }
    for status in &observed.seen.statuses {
        let size = serde_json::to_string(status).unwrap().len();
        if size > 256 * 1024 {
            wrong.push(format!("the status has {size} bytes"));
            break;
        }
    }
    wrong.into_iter().map(|what| Breach::of(Promise::Bounded, what)).collect()
}

/// What is wrong with when the plane is asked next.
fn late(status: &Status, observed: &Observed) -> Option<String> {
    if observed.bounds.clock_moves || matches!(status.state, State::Expired | State::Rejected | State::Lost) {
        return None;
    }
    let (next, last) = (status.sync.next?, status.sync.last_try?);
    let most = if observed.bounds.left_alone { ALONE } else { LATEST };
    let wait = next.duration_since(last).unsigned_abs();
    (next > last && wait > most).then(|| format!("asked at {last}, the agent would ask again only at {next}"))
}
