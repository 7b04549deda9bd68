//! Reads against a scripted plane.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::script::*;
use super::*;

#[tokio::test]
async fn what_fits_a_page_takes_one_request() {
    let model = Model::of(20, 3, 10);
    let director = living(model.clone(), |_, _, _| {}).await;
    let fetched = director.fetch(&runtime(), &FetchOptions::default()).await.unwrap();
    assert_eq!(fetched.requests, 1);
    assert_eq!(ids(&fetched.snapshot), model.ids());
}

#[tokio::test]
async fn nothing_past_the_first_page_is_lost_at_any_of_the_four_levels() {
    for dialect in [Dialect::Bundle, Dialect::Package] {
        let model = Model::of(5, 4, 6);
        let answers = model.clone();
        let director =
            plane(move |operation, variables, _| Answer::Data(answers.answer(dialect, operation, variables))).await;
        let options = FetchOptions { dialect: Some(dialect), ..pages_of(2) };
        let fetched = director.fetch(&runtime(), &options).await.unwrap();
        assert_eq!(ids(&fetched.snapshot), model.ids());
        assert_eq!(fetched.dialect, dialect);
    }
}

#[tokio::test]
async fn a_runtime_without_applications_is_a_whole_answer() {
    let director = living(Model::default(), |_, _, _| {}).await;
    let fetched = director.fetch(&runtime(), &FetchOptions::default()).await.unwrap();
    assert!(fetched.snapshot.is_empty());
}

#[tokio::test]
async fn a_change_at_any_level_between_two_pages_makes_the_read_begin_again() {
    type Alteration = fn(&mut Model);
    let alterations: [(&str, Alteration); 7] = [
        ("Applications", |model| drop(model.applications.remove(0))),
        ("Applications", |model| model.applications.insert(0, ("a".into(), Vec::new()))),
        ("Bundles", |model| drop(model.applications[0].1.remove(0))),
        ("ApiDefinitions", |model| drop(model.applications[0].1[0].apis.remove(0))),
        ("EventDefinitions", |model| model.applications[0].1[0].events.insert(0, "a".into())),
        // The owner goes while its list is read.
        ("Bundles", |model| drop(model.applications.remove(0))),
        ("ApiDefinitions", |model| drop(model.applications[0].1.remove(0))),
    ];
    for (trigger, alter) in alterations {
        let mut changed = Model::of(4, 3, 6);
        alter(&mut changed);
        let mut seen = 0;
        let director = living(Model::of(4, 3, 6), move |model, operation, _| {
            // Before the second page of the list: for applications, the second request of that name.
            let wanted = if trigger == "Applications" { 2 } else { 1 };
            seen += u32::from(operation == trigger);
            if operation == trigger && seen == wanted {
                alter(model);
            }
        })
        .await;
        let fetched = director.fetch(&runtime(), &pages_of(2)).await.unwrap();
        assert_eq!(ids(&fetched.snapshot), changed.ids(), "a change before {trigger}");
    }
}

#[tokio::test]
async fn a_change_that_no_count_shows_is_found_by_a_second_look() {
    let swap = |model: &mut Model| {
        model.applications.remove(0);
        model.applications.push(("z".into(), Vec::new()));
    };
    let mut changed = Model::of(4, 0, 0);
    swap(&mut changed);
    let director = living(Model::of(4, 0, 0), move |model, _, number| {
        if number == 2 {
            swap(model);
        }
    })
    .await;
    let fetched = director.fetch(&runtime(), &pages_of(2)).await.unwrap();
    assert_eq!(ids(&fetched.snapshot), changed.ids());
    assert_eq!(fetched.requests, 3 + 3, "two reads of two pages, each looked at again in one request");
}

#[tokio::test]
async fn a_plane_that_never_rests_is_given_up_with_a_sentence() {
    let director = living(Model::of(4, 0, 0), |model, _, number| {
        model.applications.insert(0, (format!("a-{}", 1000 - number), Vec::new()));
    })
    .await;
    let error = director.fetch(&runtime(), &pages_of(2)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the applications of this runtime could not be read as they are at one instant: in the last of 3 attempts \
         the total changed from 9 to 10 between two pages; either they change all the time or the plane miscounts them"
    );
    assert_eq!(error.kind(), "shifted");
}

/// A whole answer with one application, bent by `bend`.
async fn bent(bend: impl Fn(&mut Value) + Send + 'static) -> Result<Fetched, FetchError> {
    let director = plane(move |operation, variables, _| {
        let mut data = Model::of(1, 1, 1).answer(Dialect::Bundle, operation, variables);
        bend(&mut data);
        Answer::Data(data)
    })
    .await;
    director.fetch(&runtime(), &FetchOptions::default()).await
}

#[tokio::test]
async fn a_null_page_is_refused_by_its_path_and_not_taken_for_an_empty_one() {
    for (pointer, path) in [
        ("/applicationsForRuntime", "data.applicationsForRuntime"),
        ("/applicationsForRuntime/data", "data.applicationsForRuntime.data"),
        ("/applicationsForRuntime/pageInfo", "data.applicationsForRuntime.pageInfo"),
        ("/applicationsForRuntime/totalCount", "data.applicationsForRuntime.totalCount"),
        ("/applicationsForRuntime/data/0/bundles", "data.applicationsForRuntime.data[0].bundles"),
        (
            "/applicationsForRuntime/data/0/bundles/data/0/apiDefinitions",
            "data.applicationsForRuntime.data[0].bundles.data[0].apiDefinitions",
        ),
        (
            "/applicationsForRuntime/data/0/bundles/data/0/eventDefinitions",
            "data.applicationsForRuntime.data[0].bundles.data[0].eventDefinitions",
        ),
    ] {
        let error = bent(move |data| *data.pointer_mut(pointer).unwrap() = Value::Null).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&format!("(at {path}: invalid type: null, expected ")), "{text}");
        assert_eq!(error.kind(), "shape");
    }
}

#[tokio::test]
async fn an_id_that_could_break_a_log_line_is_refused_by_its_path() {
    let error = bent(|data| data["applicationsForRuntime"]["data"][0]["id"] = json!("a\nb")).await.unwrap_err();
    assert!(error.to_string().contains("data.applicationsForRuntime.data[0].id: it holds white space"), "{error}");
}

#[tokio::test]
async fn unknown_fields_are_ignored() {
    let fetched = bent(|data| data["applicationsForRuntime"]["data"][0]["novelty"] = json!({ "x": [1] })).await;
    assert_eq!(fetched.unwrap().snapshot.len(), 1);
}

#[tokio::test]
async fn a_plane_that_claims_too_much_is_refused_before_anything_more_is_read() {
    let error = bent(|data| data["applicationsForRuntime"]["totalCount"] = json!(4_000_000)).await.unwrap_err();
    assert_eq!(error.to_string(), "the applications of this runtime are 4000000 or more, and at most 200000 are taken");
    let error = bent(|data| data["applicationsForRuntime"]["totalCount"] = json!(-1)).await.unwrap_err();
    assert_eq!(error.kind(), "shape");
}

#[tokio::test]
async fn a_plane_whose_pages_never_end_is_left() {
    let endless = |bend: fn(&mut Value, u32)| async move {
        let director = plane(move |operation, variables, number| {
            let mut data = Model::of(1, 0, 0).answer(Dialect::Bundle, operation, variables);
            data["applicationsForRuntime"]["pageInfo"]["hasNextPage"] = json!(true);
            data["applicationsForRuntime"]["totalCount"] = json!(1000);
            data["applicationsForRuntime"]["data"] = json!([{ "id": format!("a-{number}") }]);
            for application in data["applicationsForRuntime"]["data"].as_array_mut().unwrap() {
                application["name"] = json!("x");
                application["status"] = json!({});
                application["bundles"] = page(&[], 1, None, |(): &()| Value::Null);
            }
            data["applicationsForRuntime"]["pageInfo"]["endCursor"] = json!("0");
            bend(&mut data, number);
            Answer::Data(data)
        })
        .await;
        let options = FetchOptions { max_requests: 50, ..FetchOptions::default() };
        director.fetch(&runtime(), &options).await.unwrap_err().to_string()
    };
    let stuck = endless(|_, _| {}).await;
    assert!(stuck.contains("a page led back to one before it"), "{stuck}");
    let no_cursor = endless(|data, _| data["applicationsForRuntime"]["pageInfo"]["endCursor"] = json!("")).await;
    assert!(no_cursor.contains("another page was announced without a cursor to it"), "{no_cursor}");
    let empty = endless(|data, _| data["applicationsForRuntime"]["data"] = json!([])).await;
    assert!(empty.contains("a page was empty although another one was announced"), "{empty}");
    let slow =
        endless(|data, number| data["applicationsForRuntime"]["pageInfo"]["endCursor"] = json!(number.to_string()));
    assert_eq!(slow.await, "requests for one read are 50 or more, and at most 50 are taken");
}

fn refused() -> Answer {
    let message = r#"Cannot query field "bundles" on type "Application"."#;
    Answer::Error(422, json!({ "message": message, "extensions": { "code": "GRAPHQL_VALIDATION_FAILED" } }))
}

#[tokio::test]
async fn the_dialect_is_found_out_from_the_planes_answer() {
    for remembered in [None, Some(Dialect::Bundle), Some(Dialect::Package)] {
        let model = Model::of(3, 2, 1);
        let answers = model.clone();
        let director = plane(move |operation, variables, number| {
            let right = remembered == Some(Dialect::Package) || number > 1;
            if right { Answer::Data(answers.answer(Dialect::Package, operation, variables)) } else { refused() }
        })
        .await;
        let options = FetchOptions { dialect: remembered, ..FetchOptions::default() };
        let fetched = director.fetch(&runtime(), &options).await.unwrap();
        assert_eq!(fetched.dialect, Dialect::Package);
        assert_eq!(ids(&fetched.snapshot), model.ids());
        assert_eq!(fetched.requests, if remembered == Some(Dialect::Package) { 1 } else { 2 });
    }
}

#[tokio::test]
async fn a_plane_that_refuses_both_dialects_is_quoted_on_the_first() {
    let director = plane(|_, _, number| {
        let extensions = json!({ "code": "GRAPHQL_VALIDATION_FAILED" });
        Answer::Error(422, json!({ "message": format!("refusal {number}"), "extensions": extensions }))
    })
    .await;
    let error = director.fetch(&runtime(), &FetchOptions::default()).await.unwrap_err();
    assert!(error.to_string().contains("refusal 1"), "{error}");
}

#[tokio::test]
async fn pages_shrink_until_the_gateway_takes_them_and_the_size_that_worked_is_told() {
    let model = Model::of(60, 1, 1);
    let answers = model.clone();
    let director = plane(move |operation, variables, _| {
        let whole = variables["idsOnly"] == json!(false);
        if whole && variables["first"].as_u64() > Some(30) {
            return Answer::Status(413);
        }
        Answer::Data(answers.answer(Dialect::Bundle, operation, variables))
    })
    .await;
    let fetched = director.fetch(&runtime(), &FetchOptions::default()).await.unwrap();
    assert_eq!(fetched.page_size.get(), 25);
    assert_eq!(ids(&fetched.snapshot), model.ids());
    assert_eq!(fetched.requests, 2 + 3 + 1);
}

#[tokio::test]
async fn an_answer_above_the_cap_is_asked_for_in_smaller_pages() {
    let model = Model::of(100, 2, 15);
    let director = living(model.clone(), |_, _, _| {}).await;
    let fetched = director.fetch(&runtime(), &FetchOptions::default()).await.unwrap();
    assert!(fetched.page_size < PageSize::default());
    assert_eq!(ids(&fetched.snapshot), model.ids());
}

#[tokio::test]
async fn a_slow_plane_is_asked_for_less_and_a_dead_one_is_not_asked_forever() {
    let model = Model::of(10, 1, 1);
    let answers = model.clone();
    let director = plane_with_time(Duration::from_secs(1), move |operation, variables, _| {
        if variables["first"].as_u64() == Some(100) {
            return Answer::Never;
        }
        Answer::Data(answers.answer(Dialect::Bundle, operation, variables))
    })
    .await;
    let fetched = director.fetch(&runtime(), &FetchOptions::default()).await.unwrap();
    assert_eq!((fetched.page_size.get(), fetched.requests), (25, 2));

    let asked = Arc::new(Mutex::new(0));
    let counter = Arc::clone(&asked);
    let director = plane_with_time(Duration::from_millis(100), move |_, _, number| {
        *counter.lock().unwrap() = number;
        Answer::Never
    })
    .await;
    let error = director.fetch(&runtime(), &FetchOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), "timeout");
    assert_eq!(*asked.lock().unwrap(), 3);
}

#[tokio::test]
async fn an_unknown_runtime_is_told_from_a_page_size_that_the_plane_does_not_take() {
    let invalid = || Answer::Error(200, json!({ "message": "Invalid data", "extensions": { "error_code": 22 } }));
    let director = plane(move |operation, _, _| match operation {
        "Runtime" => Answer::Data(json!({ "runtime": null })),
        _ => invalid(),
    })
    .await;
    let error = director.fetch(&runtime(), &FetchOptions::default()).await.unwrap_err();
    assert!(matches!(error, FetchError::UnknownRuntime(_)), "{error}");

    let model = Model::of(3, 0, 0);
    let answers = model.clone();
    let director = plane(move |operation, variables, _| match operation {
        "Runtime" => Answer::Data(json!({ "runtime": { "id": "runtime-1", "name": "host" } })),
        _ if variables["first"].as_u64() > Some(100) => invalid(),
        _ => Answer::Data(answers.answer(Dialect::Bundle, operation, variables)),
    })
    .await;
    let fetched = director.fetch(&runtime(), &pages_of(200)).await.unwrap();
    assert_eq!(fetched.page_size.get(), 100);
    assert_eq!(ids(&fetched.snapshot), model.ids());
}

#[tokio::test]
async fn an_owner_or_a_cursor_that_the_plane_no_longer_knows_makes_the_read_begin_again() {
    for (trigger, code) in [("Bundles", 20), ("ApiDefinitions", 20), ("Applications", 22), ("EventDefinitions", 22)] {
        let model = Model::of(4, 3, 6);
        let answers = model.clone();
        let mut refused = false;
        let director = plane(move |operation, variables, _| {
            if !refused && operation == trigger && variables["after"].is_string() {
                refused = true;
                return Answer::Error(200, json!({ "message": "no", "extensions": { "error_code": code } }));
            }
            Answer::Data(answers.answer(Dialect::Bundle, operation, variables))
        })
        .await;
        let fetched = director.fetch(&runtime(), &pages_of(2)).await.unwrap();
        assert_eq!(ids(&fetched.snapshot), model.ids(), "code {code} for {trigger}");
    }
}

#[tokio::test]
async fn the_number_of_things_of_all_kinds_is_bounded() {
    let director = living(Model::of(10, 2, 10), |_, _, _| {}).await;
    let options = FetchOptions { max_items: 100, ..FetchOptions::default() };
    let error = director.fetch(&runtime(), &options).await.unwrap_err();
    assert_eq!(error.kind(), "too_many");
    assert!(error.to_string().starts_with("applications, bundles and definitions together are 1"), "{error}");
}

#[tokio::test]
async fn what_comes_is_bounded_in_bytes_whether_it_is_new_or_known() {
    let director = living(Model::of(10, 2, 2), |_, _, _| {}).await;
    let fetched = director.fetch(&runtime(), &FetchOptions::default()).await.unwrap();
    let (kept, pages) = (Arc::new(fetched.snapshot), fetched.pages);
    let length = kept.places().iter().map(snapshot::Place::length).sum::<u64>();
    let exact = FetchOptions { max_bytes: u32::try_from(length).unwrap(), ..FetchOptions::default() };
    director.fetch(&runtime(), &exact).await.unwrap();
    let options = FetchOptions { max_bytes: exact.max_bytes - 1, ..exact };
    for pages in [None, Some(&pages)] {
        let beginning = Beginning { folder: None, kept: Some(&kept), pages };
        let error = director.fetch_from(&runtime(), &options, beginning).await.unwrap_err();
        assert_eq!(error.kind(), "too_many");
        assert_eq!(
            error.to_string(),
            format!("bytes of applications are {length} or more, and at most {} are taken", length - 1)
        );
    }
}
