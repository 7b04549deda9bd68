//! Every switch of the plane at every request of every phase: once, and until it is taken away.

use std::collections::BTreeMap;
use std::time::Duration;

use plane::{Endpoint, Fault};

use crate::campaign::{self, Case, family};
use crate::effects::{Trouble, troubles};
use crate::host::Agent;
use crate::oracle::Breach;
use crate::phases::Phase;
use crate::room::{Room, Variation};

/// How long a fault may take to show; not each does, at each request.
const SHOWS: Duration = Duration::from_secs(12);

/// How long a lasting trouble is left alone at the most, once it has shown: until somebody is told of it.
const LASTS: Duration = Duration::from_secs(6);

/// One thing that goes wrong in one place.
#[derive(Debug, Clone)]
struct Place {
    phase: Phase,
    endpoint: Endpoint,
    trouble: Trouble,
    lasting: bool,
}

impl Place {
    fn all() -> BTreeMap<String, Self> {
        let mut all = BTreeMap::new();
        for phase in Phase::ALL {
            for (endpoint, operation) in phase.requests().iter().copied() {
                for trouble in troubles(phase, endpoint, operation) {
                    for (lasting, often) in [(false, "once"), (true, "until it is mended")] {
                        let name = format!("{} {operation}: {} {often}", phase.name(), trouble.name);
                        all.insert(name, Self { phase, endpoint, trouble: trouble.clone(), lasting });
                    }
                }
            }
        }
        all
    }

    /// Lets it go wrong from the next call on.
    fn strikes(&self, room: &Room) {
        let fault = &self.trouble.fault;
        let connected = self.phase != Phase::Pair && self.endpoint == Endpoint::Director;
        if self.trouble.meets_connections() && connected {
            // There is a connection already, and this ends it.
            room.plane().fault(Fault::on(self.endpoint).reset().times(1));
        }
        room.plane().fault(fault.clone().times(1));
        if self.lasting {
            room.plane().fault(fault.clone());
        }
    }

    /// Whether it has shown: only what is lasting is still there.
    fn has_shown(&self, state: &plane::State) -> bool {
        state.faults().len() <= usize::from(self.lasting)
    }

    async fn is_over(&self, room: &Room, agent: Agent<'_>, case: &Case) -> Vec<Breach> {
        let shown = room.plane().wait_until(|state| self.has_shown(state));
        let shown = tokio::time::timeout(SHOWS, shown).await.is_ok();
        if !shown {
            campaign::missed(case);
        }
        if shown && (self.lasting || self.trouble.asks_for_long()) {
            room.is_told_of(LASTS).await;
        }
        if !self.trouble.asks_for_long() {
            return room.ends_well(Some(agent), &case.name).await;
        }
        // Nobody waits for that long; a person who knows better starts the agent anew.
        agent.terminate().await;
        room.ends_well(None, &case.name).await
    }
}

/// In an order in which every trouble comes once before any comes again, whatever the request.
fn in_turn(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.collect();
    fastrand::Rng::with_seed(campaign::seed()).shuffle(&mut names);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut ranked: Vec<(usize, String)> = Vec::new();
    for name in names {
        let trouble = name.split_once(": ").map_or("", |(_, trouble)| trouble);
        let kind = trouble.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        let count = counts.entry(kind).or_default();
        *count += 1;
        ranked.push((*count, name));
    }
    ranked.sort_by_key(|(count, _)| *count);
    ranked.into_iter().map(|(_, name)| name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_plane_does_the_host_comes_back_and_keeps_its_promises() {
    let places = Place::all();
    let room_for = |place: &Place| {
        let mut variation = Variation::default();
        if place.phase == Phase::Renew {
            // What failed is tried again after a share of what is left.
            variation.options.certificate_lifetime = Duration::from_secs(90);
        }
        if place.phase == Phase::Fetch {
            variation.settings = std::sync::Arc::new(|settings| settings.sync.page_size = 2.try_into().unwrap());
        }
        variation.bounds.left_alone = place.trouble.asks_for_long();
        variation
    };
    family("plane")
        .in_order(in_turn(places.keys().cloned()))
        .short(32)
        .at_once(12)
        .run(async |case| {
            let place = &places[&case.name];
            let room = Room::new(&room_for(place)).await;
            let agent = room.brought_to(place.phase).await;
            place.strikes(&room);
            room.go(&agent, place.phase).await;
            place.is_over(&room, agent, &case).await
        })
        .await;
}
