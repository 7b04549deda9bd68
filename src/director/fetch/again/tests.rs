//! Reads that know the one before them.

use std::sync::{Arc, Mutex};

use super::super::super::Director;
use super::super::script::*;
use super::*;
use crate::snapshot::example;

/// A plane that answers from a model that the test changes.
async fn shared(model: &Arc<Mutex<Model>>) -> Director {
    let model = Arc::clone(model);
    plane(move |operation, variables, _| {
        Answer::Data(model.lock().unwrap().answer(Dialect::Bundle, operation, variables))
    })
    .await
}

/// Something happens at the plane, or nothing.
fn change(model: &mut Model, dice: &mut fastrand::Rng, step: u32) {
    let at = dice.usize(0..model.applications.len());
    match dice.u8(0..6) {
        0 => model.applications.insert(at, (format!("new-{step}"), Vec::new())),
        1 if model.applications.len() > 3 => drop(model.applications.remove(at)),
        // More than a page has of them, now and then.
        2 => model.applications[at].1.iter_mut().for_each(|bundle| bundle.apis.push(format!("api-{step}"))),
        3 => model.applications[at].1.iter_mut().for_each(|bundle| bundle.events.clear()),
        _ => {}
    }
}

#[tokio::test]
async fn a_read_that_knows_the_one_before_it_brings_what_one_brings_that_knows_nothing() {
    let model = Arc::new(Mutex::new(Model::of(7, 2, 1)));
    let director = shared(&model).await;
    let mut dice = fastrand::Rng::with_seed(1);
    let mut before: Option<(Arc<Snapshot>, ReadPages)> = None;
    for step in 0..80 {
        change(&mut model.lock().unwrap(), &mut dice, step);
        let options = pages_of(dice.choice([3, 3, 3, 20]).unwrap());
        let (kept, pages) = before.as_ref().map(|(kept, pages)| (kept, pages)).unzip();
        let beginning = Beginning { folder: None, kept, pages };
        let again = director.fetch_from(&runtime(), &options, beginning).await.unwrap();
        let anew = director.fetch(&runtime(), &options).await.unwrap();
        assert_eq!(ids(&again.snapshot), ids(&anew.snapshot), "step {step}");
        assert_eq!(again.snapshot.sum(), anew.snapshot.sum(), "step {step}");
        assert_eq!(again.requests, anew.requests, "step {step}");
        before = Some((Arc::new(again.snapshot), again.pages));
    }
}

#[tokio::test]
async fn pages_that_come_again_are_not_looked_into_and_one_that_took_more_requests_is() {
    // The second page has an application with more APIs than come with it.
    let model = Arc::new(Mutex::new(Model::of(4, 1, 1)));
    model.lock().unwrap().applications[3].1[0].apis = (0..9).map(|number| format!("api-{number}")).collect();
    let director = shared(&model).await;
    let first = director.fetch(&runtime(), &pages_of(2)).await.unwrap();
    assert_eq!(first.pages.len(), 1);
    // What is kept tells whether it was taken: its names are others.
    let kept = (0..4).map(|number| example::application(&format!("application-{number:03}"), "kept")).collect();
    let kept = Arc::new(Snapshot::new(runtime(), kept).unwrap());
    let read = async |pages| {
        let beginning = Beginning { folder: None, kept: Some(&kept), pages };
        let read = director.fetch_from(&runtime(), &pages_of(2), beginning).await.unwrap();
        let names = read.snapshot.places().iter().map(|place| place.name().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(read(Some(&first.pages)).await, ["kept", "kept", "application-002", "application-003"]);
    assert_eq!(read(None).await, ["application-000", "application-001", "application-002", "application-003"]);
    // One byte more, and the page is another.
    model.lock().unwrap().applications[0].1[0].apis.push("more".into());
    assert_eq!(read(Some(&first.pages)).await[..2], ["application-000", "application-001"]);
}
