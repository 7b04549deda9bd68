//! A first look at every phase: nothing goes wrong, and all promises are kept.

use crate::campaign::family;
use crate::phases::Phase;
use crate::room::{Room, Variation};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn undisturbed() {
    let names = Phase::ALL.map(|phase| phase.name().to_owned());
    family("undisturbed")
        .of(names)
        .run(async |case| {
            let phase = Phase::ALL.into_iter().find(|phase| phase.name() == case.name).unwrap();
            let room = Room::new(&Variation::default()).await;
            let agent = room.brought_to(phase).await;
            room.go(&agent, phase).await;
            room.ends_well(Some(agent), phase.name()).await
        })
        .await;
}
