//! A phase of an agent's life, run under `strace`: until it is over, or the agent is.

use std::process::ExitStatus;
use std::time::Duration;

use runtime_agent::agent::status::Status;

use super::replay::Replay;
use super::traced::{Aim, Depth, Log, command};
use super::{power, traced};
use crate::host::Agent;
use crate::phases::Phase;
use crate::room::{LABEL, Room};
use crate::scene::is_settled;

/// How long a phase may take under whatever happens to it, before that is left to the end of the case: longer than it takes.
pub const MOST: Duration = Duration::from_secs(8);

/// How long a start may take, far longer than it does on a busy machine.
const STUCK: Duration = Duration::from_secs(60);

/// How an agent came out of a phase.
pub enum Came<'a> {
    /// It has ended before it was ready.
    Never(ExitStatus),
    /// It was not ready for long, and was ended.
    Stuck,
    /// It has ended since.
    Ended,
    /// It goes on.
    On(Box<Agent<'a>>),
}

/// A run.
pub struct Run<'a> {
    pub came: Came<'a>,
    pub log: Log,
    /// The disk as it was before.
    pub disk: Replay,
}

/// Brings a host to where a phase can begin, without a fault, and with no agent running any more.
pub async fn prepared(room: &Room, phase: Phase) {
    if phase == Phase::Pair {
        room.drop_token();
        return;
    }
    room.brought_to(phase).await.terminate().await;
    if phase == Phase::Renew {
        // From the second renewal on, an older identity is removed.
        let agent = room.start().await;
        let before = agent.wait_for("the host to be well", is_settled).await;
        room.go(&agent, phase).await;
        agent.wait_for("a renewal", |now| is_settled(now) && has_renewed(&before, now)).await;
        agent.terminate().await;
    }
}

/// Runs a phase, with something that happens in it.
pub async fn run<'a>(room: &'a Room, phase: Phase, aim: Option<&Aim>, depth: Depth) -> Run<'a> {
    room.looks_on();
    let disk = power::replay(room.host());
    let (command, log) = command(room.host(), aim, depth);
    let mut agent = match tokio::time::timeout(STUCK, room.launch(command)).await {
        Ok(Ok(agent)) => agent,
        Ok(Err(status)) => return Run { came: Came::Never(status), log, disk },
        Err(_) => return Run { came: Came::Stuck, log, disk },
    };
    let came = if passes(room, &mut agent, phase).await { Came::On(Box::new(agent)) } else { Came::Ended };
    Run { came, log, disk }
}

/// Lets an agent go through a phase; whether it goes on after that, or is at it for long.
pub async fn passes(room: &Room, agent: &mut Agent<'_>, phase: Phase) -> bool {
    let mut before = None;
    // A phase begins where the one before is over. In that of pairing, there is nothing before.
    let begins = |status: &Status| {
        before = Some(status.clone());
        phase == Phase::Pair || is_settled(status)
    };
    if let Ok(true) = tokio::time::timeout(MOST, agent.ends_before(begins)).await {
        return false;
    }
    if phase != Phase::Pair {
        room.go(agent, phase).await;
    }
    // There is none where not even a status was had; then the time is up before anything differs from that.
    let Some(before) = before else { return true };
    let over = async {
        match phase {
            Phase::Pair => agent.ends_before(is_settled).await,
            Phase::Renew => agent.ends_before(|now| is_settled(now) && has_renewed(&before, now)).await,
            Phase::Fetch => agent.ends_before(|now| is_settled(now) && generation(now) > generation(&before)).await,
            Phase::Bind => {
                agent.ends_before(|now| now.broker.is_some_and(|it| it.bindings > 0 && it.under_way == 0)).await
            }
            Phase::Report => {
                let label = |state: &plane::State| {
                    let runtime = state.model.runtimes.get(&room.scene.runtime);
                    runtime.and_then(|runtime| runtime.labels.get(LABEL)) == Some(&room.label().into())
                };
                tokio::select! {
                    ended = agent.ends_before(|_| false) => ended,
                    () = room.plane().wait_until(label) => false,
                }
            }
        }
    };
    !tokio::time::timeout(MOST, over).await.unwrap_or(false)
}

fn generation(status: &Status) -> Option<u64> {
    Some(status.output.as_ref()?.generation.0.get())
}

fn has_renewed(before: &Status, now: &Status) -> bool {
    let fingerprint = |status: &Status| status.identity.as_ref().map(|identity| identity.fingerprint.clone());
    fingerprint(before) != fingerprint(now)
}

/// What an agent does in a phase to which nothing happens.
pub async fn undisturbed(phase: Phase) -> String {
    let room = Room::new(&crate::room::Variation::default()).await;
    prepared(&room, phase).await;
    let run = run(&room, phase, None, Depth::Calls).await;
    match run.came {
        Came::On(agent) => drop(agent.terminate().await),
        Came::Ended | Came::Stuck | Came::Never(_) => panic!("it ended by itself:\n{}", room.host().log()),
    }
    let log = run.log.ended().await;
    assert!(!traced::has_happened(&log, traced::Event::Error("")), "nothing was to happen");
    log
}
