//! Random schedules: several things go wrong, in any place and any order, with kills and orders between them.

use std::time::Duration;

use nix::sys::signal::Signal;
use plane::Fault;

use crate::campaign::{Case, family};
use crate::effects::{Trouble, troubles};
use crate::host::Agent;
use crate::phases::Phase;
use crate::room::{Room, Variation, application};

/// How much happens in one schedule at the most.
const MOST: usize = 6;

/// How long is waited at the most between two things that happen.
const PAUSE: Duration = Duration::from_millis(1500);

/// Something that happens.
#[derive(Debug)]
enum Event {
    /// Something goes wrong at this many calls, after so many others.
    Trouble(Box<Trouble>, u32, u32),
    /// A phase begins.
    Go(Phase),
    /// Something changes at the plane.
    Change(usize),
    /// Something goes at the plane.
    Removal,
    /// Credentials change at the plane.
    Rotation,
    /// The agent is killed, and started again.
    Kill,
    /// The configuration is read again.
    Reload,
    /// All troubles are over.
    Relief,
}

/// What happens, one after the other, each after a pause.
fn schedule(case: &Case) -> (Phase, Vec<(Duration, Event)>) {
    let mut dice = case.dice();
    let phase = Phase::ALL[dice.usize(..Phase::ALL.len())];
    let events = (0..dice.usize(2..=MOST)).map(|number| {
        let event = match dice.u8(..12) {
            0..5 => {
                let of = Phase::ALL[dice.usize(..Phase::ALL.len())];
                let (endpoint, operation) = of.requests()[dice.usize(..of.requests().len())];
                let mut all = troubles(of, endpoint, operation);
                all.retain(|trouble| !trouble.asks_for_long());
                let trouble = all.swap_remove(dice.usize(..all.len()));
                Event::Trouble(Box::new(trouble), dice.u32(1..4), dice.u32(..3))
            }
            5 => Event::Go(Phase::ALL[dice.usize(1..4)]),
            6 => Event::Change(number),
            7 => Event::Removal,
            8 => Event::Rotation,
            9 => Event::Kill,
            10 => Event::Reload,
            _ => Event::Relief,
        };
        (PAUSE.mul_f64(dice.f64()), event)
    });
    (phase, events.collect())
}

/// Lets it happen; answers the agent that runs then.
async fn happen<'a>(room: &'a Room, agent: Agent<'a>, event: Event) -> Agent<'a> {
    match event {
        Event::Trouble(trouble, times, after) => room.plane().fault(Fault { after, ..trouble.fault.times(times) }),
        Event::Go(phase) => room.go(&agent, phase).await,
        Event::Change(number) => {
            let secret = format!("canary-scheduled-{number:032x}");
            room.plane().put_application(application(&format!("Scheduled {number}"), &secret));
        }
        Event::Removal => {
            let all = room.plane().applications();
            let others: Vec<_> = all.iter().filter(|known| known.id != room.offer.service).collect();
            if let Some(known) = others.first() {
                room.plane().delete_application(&known.id);
            }
        }
        Event::Rotation => {
            if let Some(known) = room.plane().applications().first() {
                room.plane().rotate_credentials(&known.id);
            }
        }
        Event::Kill => {
            agent.kill().await;
            return room.start().await;
        }
        Event::Reload => {
            room.ordered();
            room.signalled(&agent, Signal::SIGHUP);
        }
        Event::Relief => room.plane().clear_faults(),
    }
    agent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_in_whatever_order_the_host_comes_back_and_keeps_its_promises() {
    family("schedules")
        .endless()
        .short(10)
        .at_once(12)
        .run(async |case| {
            let (phase, events) = schedule(&case);
            let mut variation = Variation::default();
            if phase == Phase::Renew || events.iter().any(|(_, event)| matches!(event, Event::Go(Phase::Renew))) {
                variation.options.certificate_lifetime = Duration::from_secs(120);
            }
            let told = format!("{}: {phase:?}, {events:?}", case.name);
            let room = Room::new(&variation).await;
            let mut agent = room.brought_to(phase).await;
            let mut events = events.into_iter();
            // What goes wrong first may do so before anything has begun.
            if let Some((_, event)) = events.next() {
                agent = happen(&room, agent, event).await;
            }
            room.go(&agent, phase).await;
            for (pause, event) in events {
                // Nothing is awaited here: it is chance what the agent is at when the next thing happens.
                tokio::time::sleep(pause).await;
                agent = happen(&room, agent, event).await;
            }
            let breaches = room.ends_well(Some(agent), &case.name).await;
            if !breaches.is_empty() {
                println!("{told}");
            }
            breaches
        })
        .await;
}
