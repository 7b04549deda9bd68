//! How things are in one word and in one line, drawn from the rest.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Severity, State, Status};
use crate::agent::standing::Standing;

impl Status {
    /// Derives state and headline from the rest.
    pub fn conclude(&mut self, zone: &TimeZone) {
        self.state = self.judge();
        self.headline = self.summarise(zone);
    }

    fn judge(&self) -> State {
        let mut severities = self.problems.values().map(|problem| problem.severity);
        match self.standing {
            Standing::Expired => return State::Expired,
            Standing::Rejected => return State::Rejected,
            Standing::Lost => return State::Lost,
            Standing::Unpaired | Standing::Valid | Standing::NotYetValid => {}
        }
        match &self.identity {
            _ if severities.any(|severity| severity == Severity::ActionNeeded) => State::ActionNeeded,
            None if self.endeavour.is_some() => State::Pairing,
            None => State::Unpaired,
            Some(_) if self.problems.is_empty() => State::Healthy,
            Some(_) => State::Degraded,
        }
    }

    fn summarise(&self, zone: &TimeZone) -> String {
        let mut line = String::new();
        let day = |at: Timestamp| at.to_zoned(zone.clone()).strftime("%F");
        match (&self.identity, self.standing) {
            (Some(identity), Standing::Expired) => {
                let _ = write!(line, "certificate EXPIRED on {}", day(identity.not_after));
            }
            (Some(identity), Standing::Rejected) => {
                let _ = write!(line, "certificate REJECTED by {}", identity.plane);
            }
            (Some(identity), _) => {
                let _ = write!(line, "paired with {}", identity.plane);
                if let Some(output) = &self.output {
                    let plural = if output.applications == 1 { "" } else { "s" };
                    let _ = write!(line, "; {} application{plural}", output.applications);
                    if output.rolled_back {
                        let _ = write!(line, ", ROLLED BACK to generation {}", output.generation);
                    }
                }
                match self.sync.last_success {
                    Some(at) => {
                        let _ = write!(line, "; synchronised {}", clock_face(at, Timestamp::now(), zone));
                    }
                    None => line.push_str("; not synchronised yet"),
                }
                let _ = write!(line, "; certificate until {}", day(identity.not_after));
            }
            (None, Standing::Lost) => line.push_str("identity LOST"),
            (None, _) if self.endeavour.is_none() => {
                let _ = write!(line, "not paired; waiting for a token in {}", self.token_path);
            }
            (None, _) => line.push_str("pairing"),
        }
        if let Some(endeavour) = &self.endeavour {
            let _ = write!(line, "; {endeavour}");
        }
        // A problem that needs a person comes before one that does not.
        let worst = self.problems.values().max_by_key(|problem| problem.severity == Severity::ActionNeeded);
        if let Some(problem) = worst {
            let _ = match problem.denial {
                Some(denial) => write!(line, "; PROBLEM: {}; `runtime-agent status` tells more", denial.brief()),
                None => write!(line, "; PROBLEM: {} {}", problem.what, problem.remedy),
            };
        }
        line
    }
}

/// The time of day; once that would be ambiguous, the date with it, and how long ago it was.
fn clock_face(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let age = now.duration_since(at).as_hours();
    let written = |form: &str| at.to_zoned(zone.clone()).strftime(form).to_string();
    match age {
        0..20 => written("%H:%M"),
        20..48 => format!("{} ({age} hours ago)", written("%F %H:%M")),
        48.. => format!("{} ({} days ago)", written("%F %H:%M"), age / 24),
        // Of the future: one of the clocks was wrong.
        _ => written("%F %H:%M"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Area, IdentityStatus, Problem};
    use super::*;
    use crate::identity::{Description, KeyAlgorithm};

    fn identity() -> IdentityStatus {
        let at = |text: &str| text.parse().unwrap();
        IdentityStatus {
            runtime: None,
            tenant: None,
            plane: "director.example.com".into(),
            subject: "CN=x".into(),
            fingerprint: "00".into(),
            not_before: at("2026-11-22T00:00:00Z"),
            not_after: at("2027-02-20T00:00:00Z"),
            renewal_at: at("2027-01-20T00:00:00Z"),
            description: Description {
                issuer: "CN=y".into(),
                public_key_fingerprint: "01".into(),
                key_algorithm: KeyAlgorithm::Rsa2048,
                issued_at: at("2026-11-22T00:00:00Z"),
                director_url: "https://director.example.com/graphql".parse().unwrap(),
                connector_url: "https://connector.example.com/graphql".parse().unwrap(),
                pairing_url: None,
                token_fingerprint: None,
                path: "/state/identity/0001".into(),
            },
        }
    }

    #[test]
    fn the_headline_is_one_that_a_person_understands() {
        let mut status = Status::new("/etc/runtime-agent/pairing/token".into(), Timestamp::now());
        assert_eq!(status.headline, "not paired; waiting for a token in /etc/runtime-agent/pairing/token");
        status.identity = Some(identity());
        status.conclude(&TimeZone::UTC);
        assert_eq!(status.state, State::Healthy);
        assert_eq!(
            status.headline,
            "paired with director.example.com; not synchronised yet; certificate until 2027-02-20"
        );
    }

    #[test]
    fn what_is_old_is_said_to_be() {
        let at: Timestamp = "2026-11-22T14:26:00Z".parse().unwrap();
        let after = |hours: i64| clock_face(at, at + jiff::SignedDuration::from_hours(hours), &TimeZone::UTC);
        assert_eq!(after(0), "14:26");
        assert_eq!(after(19), "14:26");
        assert_eq!(after(20), "2026-11-22 14:26 (20 hours ago)");
        assert_eq!(after(75), "2026-11-22 14:26 (3 days ago)");
        assert_eq!(after(-5), "2026-11-22 14:26");
    }

    #[test]
    fn a_problem_that_needs_a_person_comes_first() {
        let mut status = Status::new("/x".into(), Timestamp::now());
        status.identity = Some(identity());
        let problem = |what: &str, severity| Problem {
            what: what.into(),
            remedy: "Do.".into(),
            severity,
            since: Timestamp::UNIX_EPOCH,
            denial: None,
        };
        status.problems.insert(Area::Pairing, problem("Needs you.", Severity::ActionNeeded));
        status.problems.insert(Area::Sync, problem("Passing.", Severity::Transient));
        status.conclude(&TimeZone::UTC);
        assert_eq!(status.state, State::ActionNeeded);
        assert!(status.headline.ends_with("PROBLEM: Needs you. Do."), "{}", status.headline);
        status.problems.remove(&Area::Pairing);
        status.conclude(&TimeZone::UTC);
        assert_eq!(status.state, State::Degraded);
    }
}
