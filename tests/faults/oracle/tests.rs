//! The oracle itself: it says nothing of what is well, and names each promise when that is broken.

use std::collections::BTreeSet;

use jiff::{Timestamp, ToSpan as _};
use plane::Counters;
use runtime_agent::agent::status::{Area, Problem, Severity, State};
use serde_json::json;

use super::*;
use crate::tree::Kind;

const SECRET: &str = "canary-password-00112233445566778899aabbccddeeff";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// A host of which all is well.
fn observed() -> Observed {
    let mut status = Status::new("/pairing/token".into(), at(0));
    status.sync.last_try = Some(at(10));
    status.sync.next = Some(at(15));
    let seen = Seen {
        looks: 3,
        applications: [("a", "shop"), ("b", "till")].map(|(id, folder)| (id.to_owned(), folder.to_owned())).into(),
        installed: BTreeSet::from(["shop.conf".to_owned()]),
        identified: true,
        statuses: vec![status.clone()],
        ..Seen::default()
    };
    let mut observed = Observed {
        log: "all is well\n".into(),
        told: format!("READY=1\nSTATUS={}\n", status.headline),
        seen,
        last: Some(status),
        said: vec![("status".into(), "all is well".into())],
        requests: Vec::new(),
        counters: Counters::default(),
        at_the_plane: ["a", "b"].map(str::to_owned).into(),
        secrets: vec![SECRET.to_owned()],
        tree: BTreeMap::new(),
        lasted: Duration::from_secs(10),
        orders: 2,
        bounds: Bounds::default(),
    };
    observed.put("etc/shop.conf", 0o644, "begin shop");
    observed.put("state/config/objects/00/bundles/orders/credentials.json", 0o640, SECRET);
    observed
}

impl Observed {
    fn put(&mut self, path: &str, mode: u32, content: &str) {
        let kind = Kind::File(content.as_bytes().to_vec());
        self.tree.insert(path.into(), Entry { inode: 1, mode, changed: (0, 0), kind });
    }

    fn asked(&mut self, times: usize) {
        let request = json!({
            "sequence": 1, "time": "", "answered": "", "endpoint": "director", "connection": 1, "protocol": "HTTP/2.0",
            "fields": ["applicationsForRuntime"], "query": "", "variables": {}, "token_present": false,
            "processed": true, "errors": [], "faults": [],
        });
        self.requests = vec![serde_json::from_value(request).unwrap(); times];
    }

    fn troubled(&mut self, what: &str, remedy: &str) {
        let status = &mut self.seen.statuses[0];
        let problem = Problem {
            what: what.into(),
            remedy: remedy.into(),
            severity: Severity::Transient,
            since: at(0),
            denial: None,
        };
        status.problems.insert(Area::Sync, problem);
        status.state = State::Degraded;
    }
}

/// Which promises are broken after a change to what was observed.
fn broken(change: impl FnOnce(&mut Observed)) -> BTreeSet<Promise> {
    let mut observed = observed();
    change(&mut observed);
    judge(&observed).into_iter().map(|breach| breach.promise).collect()
}

#[test]
fn of_a_host_that_is_well_nothing_is_said() {
    assert_eq!(judge(&observed()), []);
    assert_eq!(
        broken(|observed| {
            observed.log.push_str("The plane cannot be asked: it is away. The agent tries again by itself.\n");
            observed.troubled("The plane cannot be asked: it is away.", "The agent tries again by itself.");
        }),
        [].into(),
        "a problem that is told is none with the promises"
    );
}

#[test]
fn what_is_not_whole_or_gone_breaks_the_first_four() {
    let only = |promise| BTreeSet::from([promise]);
    assert_eq!(broken(|seen| seen.seen.wrong.extend(["half a key".into()])), only(Promise::Whole));
    assert_eq!(broken(|seen| seen.seen.looks = 0), only(Promise::Whole));
    let missing = |seen: &mut Observed| drop(seen.seen.missing.insert("a".into(), "shop".into()));
    assert_eq!(broken(missing), only(Promise::Doubt));
    let removed = |seen: &mut Observed| {
        missing(seen);
        seen.at_the_plane.remove("a");
        seen.tree.remove(std::path::Path::new("etc/shop.conf"));
    };
    assert_eq!(broken(removed), [].into(), "what the plane has no more may go");
    assert_eq!(broken(|seen| drop(seen.tree.remove(std::path::Path::new("etc/shop.conf")))), only(Promise::LastGood));
    assert_eq!(broken(|seen| seen.put("state/.tmp-1", 0o600, "")), only(Promise::Kills));
}

#[test]
fn a_secret_anywhere_else_or_for_everybody_breaks_the_fifth() {
    let part = SECRET[SECRET.len() - 20..].to_owned();
    let leaks: [&dyn Fn(&mut Observed); 8] = [
        &|seen| seen.log.push_str(SECRET),
        &|seen| seen.log.push_str(&part),
        &|seen| seen.told.push_str(SECRET),
        &|seen| seen.said[0].1.push_str(SECRET),
        &|seen| seen.seen.statuses[0].endeavour = Some(SECRET.into()),
        &|seen| seen.seen.outside.extend([SECRET.into()]),
        &|seen| seen.put("spool/paired.env", 0o600, SECRET),
        &|seen| seen.put("state/config/objects/00/bundles/orders/credentials.json", 0o644, SECRET),
    ];
    for (number, leak) in leaks.into_iter().enumerate() {
        assert_eq!(broken(leak), [Promise::Secrets].into(), "leak {number}");
    }
}

#[test]
fn a_storm_or_what_grows_without_end_breaks_the_sixth_and_the_eighth() {
    assert_eq!(broken(|seen| seen.asked(40)), [].into());
    assert_eq!(broken(|seen| seen.asked(400)), [Promise::Storm].into());
    let bounded = [Promise::Bounded];
    assert_eq!(broken(|seen| seen.log.push_str(&"x".repeat(9000))), bounded.into());
    assert_eq!(broken(|seen| seen.log.push_str(&"a line\n".repeat(2000))), bounded.into());
    assert_eq!(broken(|seen| seen.seen.descriptors = 1000), bounded.into());
    assert_eq!(broken(|seen| seen.seen.memory = 1 << 20), bounded.into());
}

#[test]
fn what_is_told_badly_or_not_at_all_breaks_the_seventh() {
    let told = [Promise::Sentences];
    let silent = |seen: &mut Observed| seen.troubled("The plane cannot be asked.", "The agent tries again by itself.");
    assert_eq!(broken(silent), told.into(), "the journal was not told");
    let torn = |seen: &mut Observed| {
        seen.log.push_str("the plane: broken pipe");
        seen.troubled("the plane: broken pipe", "The agent tries again by itself.");
    };
    assert_eq!(broken(torn), told.into());
    assert_eq!(broken(|seen| seen.seen.statuses[0].state = State::Lost), told.into(), "nothing says why");
    assert_eq!(broken(|seen| seen.told.clear()), told.into());
}

#[test]
fn a_poll_that_is_put_off_for_no_reason_breaks_the_ninth() {
    let late = |seen: &mut Observed| seen.seen.statuses[0].sync.next = Some(at(10) + 1.hour());
    assert_eq!(broken(late), [Promise::Time].into());
    let asked = |seen: &mut Observed| {
        late(seen);
        seen.bounds.left_alone = true;
    };
    assert_eq!(broken(asked), [].into());
}
