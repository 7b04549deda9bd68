//! Lives of which every instant is looked at: a whole one, and the second one after a kill at the start of the first.

use runtime_agent::agent::status::Status;
use runtime_agent::pairing::Verdict;

use super::aims::{Calls, by_turns};
use super::life::{MOST, passes};
use super::power::{differences, replay};
use super::replay::Replay;
use super::sweep::Watch;
use super::traced::{Aim, Depth, Event, command, has_happened, why_not};
use crate::campaign::{family, missed, seed, skipped};
use crate::oracle::{Breach, Promise};
use crate::phases::Phase;
use crate::room::{Room, Variation};
use crate::scene::{is_settled, verdict};

/// The phases of a whole life, in their order. From the second renewal on, an older identity is removed.
const LIFE: [Phase; 6] = [Phase::Pair, Phase::Fetch, Phase::Bind, Phase::Report, Phase::Renew, Phase::Renew];

/// The calls at which a first life ends: they make or take names, or make them durable.
const NAMING: [&str; 8] = ["mkdir", "fsync", "rename", "unlink", "symlink", "linkat", "syncfs", "renameat2"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_lost_at_every_instant_of_a_life() {
    if let Some(why) = why_not() {
        return skipped("instants", &why);
    }
    family("instants")
        .of(["a life".to_owned()])
        .run(async |_| {
            let room = Room::new(&Variation::default()).await;
            room.drop_token();
            room.looks_on();
            let mut disk = replay(room.host());
            let (command, log) = command(room.host(), None, Depth::Content);
            let mut agent = room.start_command(command).await;
            for phase in LIFE {
                if phase != Phase::Pair {
                    room.prepared(&agent, phase).await;
                }
                assert!(passes(&room, &mut agent, phase).await, "nothing happened that could have ended it");
            }
            agent.terminate().await;
            let mut watch = Watch::of(room.host(), disk.disk());
            disk.all(&log.ended().await, |call, disk| watch.after(call, disk)).unwrap();
            println!("faults: {} instants of a life were looked at", watch.instants);
            looked_at(&room, &disk, watch, 300)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_lost_at_every_instant_after_a_kill_and_another_start() {
    if let Some(why) = why_not() {
        return skipped("second lives", &why);
    }
    let room = Room::new(&Variation::default()).await;
    room.drop_token();
    let whole = lived(&room, None, Depth::Calls).await;
    // Once the plane has been asked, the first life has got further than its start.
    let start = whole.find("sa_family=AF_INET").map_or(&*whole, |asked| &whole[..asked]);
    let start = Calls::of(start).kills();
    let kills = Calls::of(&whole).kills().into_iter().filter(|aim| NAMING.contains(&&*aim.call)).collect();
    let turn = |aim: &Aim| (aim.call.clone(), start.contains(aim));
    let first = by_turns(kills, turn, ToString::to_string, seed());
    family("second lives")
        .in_order(first.iter().map(ToString::to_string).collect())
        .short(10)
        .run(async |case| {
            let aim = first.iter().find(|aim| aim.to_string() == case.name).unwrap();
            let room = Room::new(&Variation::default()).await;
            room.drop_token();
            // It is elsewhere than the state on most hosts, where a sync of what is around it does nothing for that.
            std::fs::create_dir(room.host().path("run")).unwrap();
            let mut disk = replay(room.host());
            let mut watch = Watch::of(room.host(), disk.disk());
            let first = lived(&room, Some(aim), Depth::Content).await;
            if !has_happened(&first, Event::Kill) {
                missed(&case);
            }
            let second = lived(&room, None, Depth::Content).await;
            disk.all(&first, |call, disk| watch.after(call, disk)).unwrap();
            // Where the plane had spent what the kill cost, a person is asked to help, as it is promised.
            watch.may_need_a_person = is_refused(&room);
            disk.all(&second, |call, disk| watch.after(call, disk)).unwrap();
            looked_at(&room, &disk, watch, 10)
        })
        .await;
}

/// Whether nothing is left with which a host could go on by itself.
fn is_refused(room: &Room) -> bool {
    let host = room.host();
    !host.token().exists() && !host.path("state/pairing.json").exists() && !host.path("state/identity/current").exists()
}

/// Runs an agent on a host that nobody else looks at, until all is well or it has ended, or somebody ends it.
async fn lived(room: &Room, aim: Option<&Aim>, depth: Depth) -> String {
    let (command, log) = command(room.host(), aim, depth);
    if let Ok(mut agent) = room.host().launch(command).await {
        let is_refused = |status: &Status| verdict(status) == Some(Verdict::Refused) && status.endeavour.is_none();
        let done = |status: &Status| is_settled(status) || is_refused(status);
        // Where each applier is killed at the same call, it is never done.
        if !tokio::time::timeout(MOST, agent.ends_before(done)).await.unwrap_or(false) {
            agent.kill().await;
        }
    }
    log.ended().await
}

fn looked_at(room: &Room, disk: &Replay, watch: Watch<'_>, least: usize) -> Vec<Breach> {
    let differences = differences(room.host(), disk.disk());
    assert!(differences.is_empty(), "the disk is not as it was thought to be: {differences:?}");
    assert!(watch.instants >= least, "only {} instants were looked at", watch.instants);
    // One of many instants tells enough.
    watch.wrong.into_iter().take(5).map(|what| Breach::of(Promise::Kills, what)).collect()
}
