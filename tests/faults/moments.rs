//! When a trouble begins, and how long it lasts: until the host has felt it, or gone on in spite of it.

use std::time::Duration;

use fastrand::Rng;
use runtime_agent::agent::status::Status;
use runtime_agent::control::Client;

use crate::campaign::seed;
use crate::phases::Phase;
use crate::room::{Room, Variation};

/// How long a trouble lasts at most: longer than any of the timeouts, and than the first pause after a failure.
const LONGEST: Duration = Duration::from_secs(5);

/// The life of a certificate that is renewed.
const SHORT_LIFE: Duration = Duration::from_secs(90);

/// When a trouble begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before the phase does.
    Before,
    /// While it is under way.
    Amid,
}

/// The names of cases: each trouble, at each moment of each phase; in an order of this run's, in which every trouble
/// comes once before any comes again.
pub fn crossed<'a>(troubles: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut dice = Rng::with_seed(seed());
    let mut ranked = Vec::new();
    for trouble in troubles {
        let mut names = Vec::new();
        for phase in Phase::ALL {
            names.extend(["before", "amid"].map(|moment| format!("{trouble}, {moment} {}", phase.name())));
        }
        dice.shuffle(&mut names);
        ranked.extend(names.into_iter().enumerate());
    }
    dice.shuffle(&mut ranked);
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, name)| name).collect()
}

/// What such a name says.
pub fn parted(name: &str) -> (&str, Moment, Phase) {
    let (trouble, rest) = name.rsplit_once(", ").unwrap();
    let (moment, phase) = rest.split_once(' ').unwrap();
    let moment = if moment == "before" { Moment::Before } else { Moment::Amid };
    (trouble, moment, Phase::ALL.into_iter().find(|known| known.name() == phase).unwrap())
}

/// A room for such a case. What fails to be renewed is tried again after a share of what is left of the certificate, so
/// that is little where a renewal is to come about by itself.
pub fn variation(phase: Phase) -> Variation {
    let mut variation = Variation::default();
    if phase == Phase::Renew {
        variation.options.certificate_lifetime = SHORT_LIFE;
    }
    variation
}

impl Room {
    /// Waits until the agent has told of a problem or has ended, or the plane has carried out the last request of the
    /// phase, of those after so many; and no longer than a trouble lasts.
    pub async fn feels(&self, phase: Phase, before: usize) {
        let client = Client::new(&self.host().path("run/control.sock")).unwrap();
        let (_, last) = *phase.requests().last().unwrap();
        let passed = self.plane().wait_for(|all| {
            all.get(before..).unwrap_or_default().iter().any(|request| request.is(last) && request.processed)
        });
        let untroubled = |status: &Status| status.problems.is_empty();
        let told = async {
            let mut after = None;
            while let Some(status) = client.status(after).await.ok().filter(untroubled) {
                after = Some(status.revision);
            }
        };
        let _ = tokio::time::timeout(LONGEST, async {
            tokio::select! {
                () = told => {}
                () = passed => {}
            }
        })
        .await;
    }
}
