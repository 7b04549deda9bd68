//! Something happens at one call: a kill, a loss of power, or a failure.

use std::path::Path;

use futures_util::future::join_all;

use super::aims::{Calls, by_turns};
use super::disk::Loss;
use super::life::{Came, Run, prepared, run, undisturbed};
use super::power::{differences, left, put_in_place};
use super::traced::{Aim, Depth, Event, ended_in_good_order, has_happened, is_impossible, until_killed, why_not};
use crate::campaign::{Case, family, missed, seed, skipped};
use crate::oracle::{Breach, Promise};
use crate::phases::Phase;
use crate::room::{Room, Variation};
use crate::tree::everything;

/// What becomes of the disk when the agent, or what it has started, is killed.
const LOSSES: [Loss; 4] = [Loss::Nothing, Loss::All, Loss::Content, Loss::Some(0)];

/// What is tried in one case.
struct Trial {
    phase: Phase,
    aim: Aim,
    loss: Loss,
}

impl Trial {
    fn name(&self) -> String {
        match self.aim.event {
            Event::Kill => format!("{}: {}, {}", self.phase.name(), self.aim, self.loss),
            Event::Error(_) => format!("{}: {}", self.phase.name(), self.aim),
        }
    }
}

/// The calls of each phase.
async fn recorded() -> Vec<(Phase, Calls)> {
    let calls = Phase::ALL.map(async |phase| (phase, Calls::of(&undisturbed(phase).await)));
    join_all(calls).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_and_lost_power() {
    let trials = async || {
        let mut trials = Vec::new();
        for (phase, calls) in recorded().await {
            println!("faults kills: {} calls of {}", calls.count(), phase.name());
            for aim in calls.kills() {
                trials.extend(LOSSES.map(|loss| Trial { phase, aim: aim.clone(), loss }));
            }
        }
        trials
    };
    all("kills", trials, |trial| (trial.phase, trial.loss.to_string()), 14).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_calls() {
    let trials = async || {
        let mut trials = Vec::new();
        for (phase, calls) in recorded().await {
            let failures = calls.failures().into_iter();
            trials.extend(failures.map(|aim| Trial { phase, aim, loss: Loss::Nothing }));
        }
        trials
    };
    all("failures", trials, |trial| (trial.aim.event, trial.aim.call.clone()), 14).await;
}

/// Runs trials, one of each group first.
async fn all<G: Ord>(
    name: &'static str,
    trials: impl AsyncFnOnce() -> Vec<Trial>,
    group: impl Fn(&Trial) -> G,
    short: usize,
) {
    if let Some(why) = why_not() {
        return skipped(name, &why);
    }
    let trials = by_turns(trials().await, group, Trial::name, seed());
    let names = trials.iter().map(Trial::name).collect();
    family(name)
        .in_order(names)
        .short(short)
        .run(async |case| {
            let trial = trials.iter().find(|trial| trial.name() == case.name).unwrap();
            one(&case, trial).await
        })
        .await;
}

async fn one(case: &Case, trial: &Trial) -> Vec<Breach> {
    let room = Room::new(&Variation::default()).await;
    prepared(&room, trial.phase).await;
    let depth = if trial.aim.event == Event::Kill { Depth::Content } else { Depth::Calls };
    let run = run(&room, trial.phase, Some(&trial.aim), depth).await;
    match trial.aim.event {
        Event::Kill => killed(case, &room, trial, run).await,
        Event::Error(error) => failed(case, &room, trial.phase, error, run).await,
    }
}

/// What happens after a kill: power may be gone as well, and then the next start is on.
async fn killed(case: &Case, room: &Room, trial: &Trial, run: Run<'_>) -> Vec<Breach> {
    let (log, agent) = match run.came {
        // It was what the agent had started that was killed. The agent sees to that.
        Came::On(agent) if trial.loss == Loss::Nothing => (run.log.released(&agent).await, Some(*agent)),
        Came::On(agent) => {
            agent.kill().await;
            (run.log.ended().await, None)
        }
        Came::Never(_) | Came::Stuck | Came::Ended => (run.log.ended().await, None),
    };
    if !has_happened(&log, Event::Kill) {
        missed(case);
    }
    if trial.loss != Loss::Nothing {
        room.looks_away();
        let (mut whole, mut cut) = (run.disk.clone(), run.disk);
        whole.all(&log, |_, _| {}).unwrap();
        let differences = differences(room.host(), whole.disk());
        assert!(differences.is_empty(), "the disk is not as it was thought to be: {differences:?}");
        cut.all(until_killed(&log), |_, _| {}).unwrap();
        let loss = if let Loss::Some(_) = trial.loss { Loss::Some(case.seed) } else { trial.loss };
        put_in_place(room.host(), &left(room.host(), cut.disk(), loss), whole.disk());
        room.forgets();
    }
    room.ends_well(agent, &case.name).await
}

/// What happens after a failure: whoever ended has said why, and whoever did not gets over it.
async fn failed(case: &Case, room: &Room, phase: Phase, error: &str, run: Run<'_>) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let (log, agent) = match run.came {
        Came::On(agent) => (run.log.released(&agent).await, Some(*agent)),
        Came::Ended => {
            breaches.push(Breach::of(Promise::Kills, "a call that fails once ended an agent that was ready"));
            (run.log.ended().await, None)
        }
        Came::Stuck => {
            breaches.push(Breach::of(Promise::Kills, "a call that fails once kept an agent from being ready"));
            (run.log.ended().await, None)
        }
        Came::Never(status) => {
            let words = room.host().log();
            let last = words.lines().last().unwrap_or_default();
            if !ended_in_good_order(status) || !says_why(last, error) {
                let what = format!("the agent ended at its start with {status} and these words: {last:?}");
                breaches.push(Breach::of(Promise::Sentences, what));
            }
            (run.log.ended().await, None)
        }
    };
    if is_impossible(&log) {
        missed(case);
        return Vec::new();
    }
    if !has_happened(&log, Event::Error("")) {
        missed(case);
    }
    if let Some(agent) = agent.as_ref().filter(|_| phase == Phase::Renew) {
        // By itself it would try again in a few hours.
        room.ordered();
        agent.renew_if_alive().await;
    }
    breaches.extend(room.ends_well(agent, &case.name).await);
    if breaches.iter().any(is_left_over) {
        // What could not be removed goes at the next start.
        room.host().start().await.terminate().await;
        let unfinished = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".tmp-"));
        if !everything(&room.host().path("")).keys().any(|path| unfinished(path)) {
            breaches.retain(|breach| !is_left_over(breach));
        }
    }
    breaches
}

/// Whether it is that something unfinished lies there.
fn is_left_over(breach: &Breach) -> bool {
    breach.what.contains("was never finished, and stays")
}

/// Whether the last words of an agent tell of such an error, as the system words it.
fn says_why(last: &str, error: &str) -> bool {
    let words = match error {
        "ENOSPC" => "No space left on device",
        "EDQUOT" => "quota exceeded",
        "EROFS" => "Read-only file system",
        "EIO" => "put/output error",
        "EMFILE" => "Too many open files",
        "ENFILE" => "Too many open files in system",
        _ => "ermission denied",
    };
    last.contains(words)
}
