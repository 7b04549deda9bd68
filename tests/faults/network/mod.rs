//! The network between the agent and the plane fails in every way that packets can, and that names can.

mod relay;
mod spaces;
mod troubles;
mod weather;

use plane::Plane;
use url::Url;

use crate::campaign::{Case, family, skipped};
use crate::moments::{Moment, crossed, parted, variation};
use crate::oracle::Breach;
use crate::room::Room;
use spaces::{PLANE, Spaces};
use troubles::TROUBLES;

/// How many packets pass at most before bad weather sets in amid a phase: about as many as a handshake, a request and
/// its answer take.
const AMID: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_promise_is_broken_whatever_the_network_does() {
    if let Err(why) = Spaces::between(&[], 0) {
        return skipped("network", &why);
    }
    let cases = crossed(TROUBLES.map(|(name, _)| name));
    family("network").in_order(cases).short(8).at_once(4).run(spoilt).await;
}

/// Runs a case.
async fn spoilt(case: Case) -> Vec<Breach> {
    let (name, moment, phase) = parted(&case.name);
    let (_, trouble) = TROUBLES.into_iter().find(|(known, _)| *known == name).unwrap();
    let mut dice = case.dice();
    let packets = match moment {
        Moment::Before => 0,
        Moment::Amid => dice.usize(1..AMID),
    };

    let mut variation = variation(phase);
    variation.options.host = PLANE.to_owned();
    let room = Room::new(&variation).await;
    let spaces = Spaces::between(&ports(room.plane()), dice.u64(..)).unwrap();
    let agent = room.start_command(inside(&spaces, &room)).await;
    room.prepared(&agent, phase).await;

    trouble.begin(&spaces, packets);
    let before = room.plane().requests().len();
    room.go(&agent, phase).await;
    room.feels(phase, before).await;
    trouble.end(&spaces);
    room.ends_well(Some(agent), &case.name).await
}

/// The agent's command, on its side of the network.
fn inside(spaces: &Spaces, room: &Room) -> tokio::process::Command {
    let mut command: tokio::process::Command = spaces.command(room.host().command(&["run"]).as_std()).into();
    command.kill_on_drop(true);
    command
}

/// The ports at which the plane is met.
fn ports(plane: &Plane) -> Vec<u16> {
    let port = |url: String| url.parse::<Url>().unwrap().port().unwrap();
    [plane.connector_url(), plane.secured_connector_url(), plane.director_url()].map(port).to_vec()
}
