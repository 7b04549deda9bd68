//! What the Director's part of the agent promises, against a simulated plane over real TLS.

// Tests say what they expect by panicking.
#![allow(clippy::unwrap_used)]

mod instance_auths;
mod paired;

use std::collections::BTreeMap;
use std::time::Duration;

use paired::{LIMITS, Paired};
use plane::{Endpoint, Fault, Generate, ListChange, Options, RetryAfter, model};
use runtime_agent::director::{Dialect, FetchError, FetchOptions, Fetched, PageSize, ViewerKind};
use runtime_agent::snapshot::{Condition, Credential, Naming, Snapshot};
use runtime_agent::transport::{self, Limits, Retry, Source};
use secrecy::ExposeSecret as _;
use serde_json::json;

/// Five applications, each with more of everything than a small page holds.
const PLENTY: fn() -> Generate = || Generate { applications: 5, bundles: 3, apis: 4, events: 3, ..Generate::default() };

fn pages_of(size: u16) -> FetchOptions {
    FetchOptions { page_size: PageSize::new(size).unwrap(), ..FetchOptions::default() }
}

/// The ids of everything in a snapshot.
fn ids_of(snapshot: &Snapshot) -> Vec<String> {
    let mut ids = Vec::new();
    for application in snapshot.all().unwrap() {
        ids.push(application.id.to_string());
        for bundle in &application.bundles {
            ids.push(bundle.id.to_string());
            ids.extend(bundle.apis.iter().map(|api| api.id.to_string()));
            ids.extend(bundle.events.iter().map(|event| event.id.to_string()));
        }
    }
    ids
}

/// The ids of everything that the plane has.
fn ids_at(paired: &Paired) -> Vec<String> {
    let mut ids = Vec::new();
    for application in paired.plane.applications() {
        ids.push(application.id.clone());
        for bundle in &application.bundles {
            ids.push(bundle.id.clone());
            ids.extend(bundle.api_definitions.iter().map(|api| api.id.clone()));
            ids.extend(bundle.event_definitions.iter().map(|event| event.id.clone()));
        }
    }
    ids
}

fn at_applications() -> Fault {
    Fault::on(Endpoint::Director).operation("applicationsForRuntime")
}

async fn fetch(paired: &Paired, options: &FetchOptions) -> Result<Fetched, FetchError> {
    paired.director().fetch(&paired.runtime, options).await
}

/// A plane with some applications on which one fault shows, and what a fetch by small pages makes of it.
async fn fetch_with(fault: Fault) -> (Paired, Result<Fetched, FetchError>) {
    let paired = Paired::new().await;
    paired.plane.generate(PLENTY());
    paired.plane.fault(fault);
    let fetched = fetch(&paired, &pages_of(2)).await;
    (paired, fetched)
}

#[tokio::test]
async fn the_plane_tells_us_which_runtime_we_are() {
    let paired = Paired::new().await;
    let viewer = paired.director().viewer().await.unwrap();
    assert_eq!(viewer.kind, ViewerKind::Runtime);
    assert_eq!(viewer.id, paired.runtime.as_str());
    assert_eq!(paired.director().identify().await.unwrap(), paired.runtime);
}

#[tokio::test]
async fn the_tenant_is_named_where_one_was_handed_over() {
    let paired = Paired::with(Options { tenant_required: true, ..Options::default() }).await;
    let tenant = paired.plane.tenant().parse().unwrap();
    paired.director_with(LIMITS, Some(tenant)).viewer().await.unwrap();
    assert_eq!(paired.plane.requests().last().unwrap().tenant, Some(paired.plane.tenant()));
    let error = paired.director().viewer().await.unwrap_err();
    assert_eq!(error.fault.source(), Source::Identity);
}

#[tokio::test]
async fn every_query_fits_the_schema_of_its_dialect_and_nothing_is_lost_between_pages() {
    for (spoken, dialect) in [(plane::Dialect::Bundle, Dialect::Bundle), (plane::Dialect::Package, Dialect::Package)] {
        let paired = Paired::with(Options { dialect: spoken, ..Options::default() }).await;
        paired.plane.generate(PLENTY());
        let options = FetchOptions { dialect: Some(dialect), ..pages_of(2) };
        let fetched = fetch(&paired, &options).await.unwrap();
        assert_eq!(fetched.dialect, dialect);
        assert_eq!(ids_of(&fetched.snapshot), ids_at(&paired));
        let requests = paired.plane.requests();
        let asked: Vec<_> = requests.iter().filter(|request| request.endpoint == Endpoint::Director).collect();
        assert_eq!(asked.len(), usize::try_from(fetched.requests).unwrap());
        let bundles = if dialect == Dialect::Bundle { "Bundles" } else { "Packages" };
        for name in ["Applications", bundles, "ApiDefinitions", "EventDefinitions"] {
            assert!(asked.iter().any(|request| request.is(name)), "{name} was not asked for");
        }
        assert!(asked.iter().all(|request| request.request_id.is_some() && request.errors.is_empty()));
    }
}

#[tokio::test]
async fn the_runtimes_labels_come_with_the_applications_and_tell_how_these_are_named() {
    for dialect in [plane::Dialect::Bundle, plane::Dialect::Package] {
        let paired = Paired::with(Options { dialect, ..Options::default() }).await;
        paired.plane.generate(PLENTY());
        let runtime = paired.runtime.as_str();
        for (label, naming) in [
            (json!("true"), Naming::AsGiven),
            (json!(true), Naming::AsGiven),
            (json!("false"), Naming::Normalise),
            (json!(false), Naming::Normalise),
            (json!(null), Naming::Normalise),
        ] {
            paired.plane.set_runtime_label(runtime, "isNormalized", label.clone()).unwrap();
            let fetched = fetch(&paired, &pages_of(2)).await.unwrap();
            assert_eq!(fetched.snapshot.naming(), naming, "{label}");
            assert_eq!(ids_of(&fetched.snapshot), ids_at(&paired));
        }
    }
}

#[tokio::test]
async fn a_runtime_that_may_not_read_itself_gets_its_applications_all_the_same() {
    let paired = Paired::new().await;
    paired.plane.generate(PLENTY());
    let runtime = paired.runtime.as_str();
    let scopes: Vec<String> =
        paired.plane.inspect(|state| state.model.runtimes[runtime].scopes.iter().cloned().collect());
    let without: Vec<&str> = scopes.iter().map(String::as_str).filter(|scope| *scope != "runtime:read").collect();
    paired.plane.set_scopes(runtime, &without).unwrap();
    let fetched = fetch(&paired, &FetchOptions::default()).await.unwrap();
    assert_eq!((fetched.requests, fetched.snapshot.naming()), (2, Naming::Normalise));
    assert_eq!(ids_of(&fetched.snapshot), ids_at(&paired));
}

#[tokio::test]
async fn a_landscape_of_ordinary_size_takes_one_request() {
    let paired = Paired::new().await;
    paired.plane.generate(Generate { applications: 60, bundles: 3, apis: 4, events: 2, ..Generate::default() });
    let fetched = fetch(&paired, &FetchOptions::default()).await.unwrap();
    assert_eq!(fetched.requests, 1);
    assert_eq!(ids_of(&fetched.snapshot), ids_at(&paired));
}

#[tokio::test]
async fn what_lies_past_the_first_two_hundred_is_not_lost() {
    let paired = Paired::new().await;
    paired.plane.generate(Generate { applications: 450, ..Generate::default() });
    let one = Generate { applications: 1, bundles: 1, apis: 230, events: 210, seed: 7, ..Generate::default() };
    paired.plane.generate(one);
    let fetched = fetch(&paired, &pages_of(200)).await.unwrap();
    assert_eq!(fetched.snapshot.len(), 451);
    assert_eq!(ids_of(&fetched.snapshot), ids_at(&paired));
}

#[tokio::test]
async fn a_runtime_in_no_formation_has_no_applications_and_that_is_no_error() {
    let paired = Paired::new().await;
    paired.plane.generate(PLENTY());
    paired.plane.set_formation(paired.runtime.as_str(), Some(Default::default())).unwrap();
    assert!(fetch(&paired, &FetchOptions::default()).await.unwrap().snapshot.is_empty());
}

#[tokio::test]
async fn the_dialect_is_found_out_and_found_out_anew_when_the_plane_changes() {
    let paired = Paired::new().await;
    paired.plane.generate(PLENTY());
    let director = paired.director();
    let mut options = FetchOptions::default();
    for (spoken, dialect, requests) in [
        (plane::Dialect::Package, Dialect::Package, 2),
        (plane::Dialect::Package, Dialect::Package, 1),
        (plane::Dialect::Bundle, Dialect::Bundle, 2),
        (plane::Dialect::Bundle, Dialect::Bundle, 1),
    ] {
        paired.plane.set_dialect(spoken);
        let fetched = director.fetch(&paired.runtime, &options).await.unwrap();
        assert_eq!((fetched.dialect, fetched.requests), (dialect, requests));
        assert_eq!(ids_of(&fetched.snapshot), ids_at(&paired));
        options.dialect = Some(fetched.dialect);
    }
}

#[tokio::test]
async fn a_list_that_changes_between_two_pages_is_read_again() {
    for change in [ListChange::Insert, ListChange::Delete] {
        let (paired, fetched) = fetch_with(at_applications().times(1).between_pages(change)).await;
        assert_eq!(ids_of(&fetched.unwrap().snapshot), ids_at(&paired), "{change:?}");
    }
}

#[tokio::test]
async fn a_list_that_never_rests_is_given_up_after_the_attempts() {
    for change in [ListChange::Insert, ListChange::Delete] {
        let paired = Paired::new().await;
        paired.plane.generate(Generate { applications: 30, ..Generate::default() });
        paired.plane.fault(at_applications().between_pages(change));
        let error = fetch(&paired, &pages_of(2)).await.unwrap_err();
        assert!(matches!(error, FetchError::Shifted { attempts: 3, .. }), "{error}");
        assert_eq!(error.retry(), Retry::Later(None));
    }
}

#[tokio::test]
async fn a_total_that_is_off_is_never_believed() {
    for delta in [-1, 1] {
        let (paired, fetched) = fetch_with(at_applications().times(1).total_count(delta)).await;
        assert_eq!(ids_of(&fetched.unwrap().snapshot), ids_at(&paired), "off by {delta} once");
        let (_paired, fetched) = fetch_with(at_applications().total_count(delta)).await;
        assert_eq!(fetched.unwrap_err().kind(), "shifted", "off by {delta} always");
    }
}

#[tokio::test]
async fn a_null_out_of_a_failed_resolver_is_not_an_empty_list() {
    for field in ["bundles", "apiDefinitions", "eventDefinitions", "instanceAuths", "labels"] {
        let (_paired, fetched) = fetch_with(at_applications().null_field_first(field, 1)).await;
        let error = fetched.unwrap_err();
        assert_eq!(error.kind(), "graphql", "{field}: {error}");
        assert!(error.to_string().contains(field), "{error}");
    }
}

#[tokio::test]
async fn an_answer_with_errors_beside_whole_data_is_not_applied() {
    let (_paired, fetched) = fetch_with(at_applications().errors_beside("half of it is missing")).await;
    let error = fetched.unwrap_err();
    assert!(error.to_string().contains("\u{201c}half of it is missing\u{201d}"), "{error}");
}

#[tokio::test]
async fn a_fault_at_any_of_the_continuations_fails_the_whole_read() {
    for name in ["Bundles", "ApiDefinitions", "EventDefinitions"] {
        let fault = Fault::on(Endpoint::Director).operation(name).status(503, "busy");
        let (_paired, fetched) = fetch_with(fault).await;
        let error = fetched.unwrap_err();
        assert_eq!(error.retry(), Retry::Later(None));
        assert!(error.to_string().starts_with(&format!("{name} at ")), "{error}");
    }
}

#[tokio::test]
async fn pages_shrink_for_a_gateway_that_refuses_large_answers() {
    let paired = Paired::new().await;
    paired.plane.generate(PLENTY());
    paired.plane.fault(at_applications().times(2).status(413, "<html>too large</html>"));
    let fetched = fetch(&paired, &FetchOptions::default()).await.unwrap();
    assert_eq!((fetched.page_size.get(), fetched.requests), (25, 3));
    assert_eq!(ids_of(&fetched.snapshot), ids_at(&paired));

    paired.plane.fault(at_applications().status(413, "<html>too large</html>"));
    let error = fetch(&paired, &FetchOptions::default()).await.unwrap_err();
    assert!(error.to_string().contains("HTTP status 413"), "{error}");
}

#[tokio::test]
async fn pages_shrink_when_an_answer_exceeds_the_cap_also_a_compressed_one() {
    let paired = Paired::new().await;
    paired.plane.generate(PLENTY());
    let director = paired.director_with(Limits { max_answer: 1 << 20, ..LIMITS }, None);
    let once = || at_applications().times(1);
    for fault in [once().huge(2 << 20), once().gzip_bomb(64 << 20), once().gzip_nothing(2 << 20)] {
        paired.plane.fault(fault);
        let fetched = director.fetch(&paired.runtime, &FetchOptions::default()).await.unwrap();
        assert_eq!(fetched.page_size.get(), 50);
        assert_eq!(ids_of(&fetched.snapshot), ids_at(&paired));
    }
}

#[tokio::test]
async fn pages_shrink_when_the_plane_takes_too_long() {
    let paired = Paired::new().await;
    paired.plane.generate(PLENTY());
    paired.plane.fault(at_applications().times(1).delay(Duration::from_secs(3600)));
    let director = paired.director_with(Limits { answer_timeout: Duration::from_secs(3), ..LIMITS }, None);
    let fetched = director.fetch(&paired.runtime, &FetchOptions::default()).await.unwrap();
    assert_eq!(fetched.page_size.get(), 25);
    assert_eq!(ids_of(&fetched.snapshot), ids_at(&paired));
}

#[tokio::test]
async fn an_answer_that_drips_without_end_is_given_up_however_steadily_it_does() {
    let paired = Paired::new().await;
    paired.plane.fault(Fault::on(Endpoint::Director).drip(1, Duration::from_millis(100)));
    let director = paired.director_with(Limits { whole_timeout: Duration::from_secs(1), ..LIMITS }, None);
    let error = director.viewer().await.unwrap_err();
    assert!(matches!(error.fault, transport::Fault::Timeout(limit) if limit.as_secs() == 1), "{error}");
}

#[tokio::test]
async fn a_short_answer_that_drips_is_given_up_sooner_than_a_page() {
    let paired = Paired::new().await;
    paired.plane.fault(Fault::on(Endpoint::Director).drip(1, Duration::from_millis(100)).times(2));
    let director = paired.director_with(LIMITS, None).with_brief_answers(Duration::from_secs(1));
    for error in [
        director.viewer().await.unwrap_err(),
        director.set_label(&paired.runtime, "site", &"fra-1".into()).await.unwrap_err(),
    ] {
        assert!(matches!(error.fault, transport::Fault::Timeout(limit) if limit.as_secs() == 1), "{error}");
    }
    paired.plane.fault(Fault::on(Endpoint::Director).drip(64, Duration::from_millis(50)));
    let fetched = director.fetch(&paired.runtime, &FetchOptions::default()).await.unwrap();
    assert_eq!(ids_of(&fetched.snapshot), ids_at(&paired), "a page has its time");
}

#[tokio::test]
async fn a_plane_with_smaller_pages_is_asked_for_smaller_ones() {
    let paired = Paired::with(Options { max_page: 100, ..Options::default() }).await;
    paired.plane.generate(Generate { applications: 150, ..Generate::default() });
    let fetched = fetch(&paired, &pages_of(200)).await.unwrap();
    assert_eq!(fetched.page_size.get(), 100);
    assert_eq!(ids_of(&fetched.snapshot), ids_at(&paired));
}

#[tokio::test]
async fn a_lost_or_broken_answer_is_an_error_and_nothing_else() {
    let fault = || at_applications().times(1);
    for (fault, kind) in [
        (fault().lost_answer(), "interrupted"),
        (fault().truncate(100), "interrupted"),
        (fault().body("<html>maintenance</html>"), "not_graphql"),
        (fault().body("{}"), "not_graphql"),
        (fault().failure(10, "oops"), "graphql"),
    ] {
        let (paired, fetched) = fetch_with(fault).await;
        let error = fetched.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(error.retry(), Retry::Later(None));
        let fetched = fetch(&paired, &pages_of(2)).await.unwrap();
        assert_eq!(ids_of(&fetched.snapshot), ids_at(&paired));
    }
}

#[tokio::test]
async fn a_rate_limit_says_when_to_come_back() {
    let (_paired, fetched) = fetch_with(at_applications().rate_limited(Some(RetryAfter::Seconds(7)))).await;
    assert_eq!(fetched.unwrap_err().retry(), Retry::Later(Some(Duration::from_secs(7))));
}

#[tokio::test]
async fn an_unknown_runtime_is_called_so() {
    let paired = Paired::new().await;
    let stranger = "0b1f7c1e-8e3f-4c5e-9d3b-1f1e0c6f7a11".parse().unwrap();
    let error = paired.director().fetch(&stranger, &FetchOptions::default()).await.unwrap_err();
    assert!(matches!(&error, FetchError::UnknownRuntime(id) if *id == stranger), "{error}");
    let error = paired.director().runtime(&stranger).await.unwrap_err();
    assert!(matches!(&error.fault, transport::Fault::UnknownRuntime(_)), "{error}");
}

#[tokio::test]
async fn a_revoked_certificate_is_told_from_a_fault_of_the_plane() {
    let paired = Paired::new().await;
    paired.plane.revoke(paired.runtime.as_str());
    let error = fetch(&paired, &FetchOptions::default()).await.unwrap_err();
    assert_eq!((error.source(), error.retry()), (Source::Identity, Retry::Never), "{error}");
}

#[tokio::test]
async fn labels_are_read_and_set() {
    let paired = Paired::new().await;
    let director = paired.director();
    director.set_label(&paired.runtime, "runtime_consoleUrl", &json!("https://host.example/\"")).await.unwrap();
    let runtime = director.runtime(&paired.runtime).await.unwrap();
    assert_eq!(&*runtime.name, "host");
    assert_eq!(runtime.labels["runtime_consoleUrl"], json!("https://host.example/\""));
    assert_eq!(runtime.labels["isNormalized"], json!("true"));
    let error = director.set_label(&paired.runtime, "no such key!", &json!(1)).await.unwrap_err();
    assert_eq!(error.fault.retry(), Retry::Never);
}

#[tokio::test]
async fn every_kind_of_credential_arrives_and_none_is_printed() {
    let paired = Paired::new().await;
    paired.plane.generate(Generate { applications: 20, bundles: 2, ..Generate::default() });
    let fetched = fetch(&paired, &FetchOptions::default()).await.unwrap();
    let mut kinds = BTreeMap::<&str, usize>::new();
    for (ours, theirs) in fetched.snapshot.all().unwrap().iter().zip(paired.plane.applications()) {
        for (ours, theirs) in ours.bundles.iter().zip(&theirs.bundles) {
            let (Some(ours), Some(theirs)) = (&ours.default_auth, &theirs.default_instance_auth) else {
                assert_eq!(ours.default_auth.is_none(), theirs.default_instance_auth.is_none());
                *kinds.entry("absent").or_default() += 1;
                continue;
            };
            let kind = match (&ours.credential, &theirs.credential) {
                (Credential::None, None) => "none",
                (
                    Credential::Basic { username, password },
                    Some(model::Credential::Basic { username: u, password: p }),
                ) => {
                    assert_eq!((&**username, password.expose_secret()), (&**u, &**p));
                    "basic"
                }
                (
                    Credential::OAuth { client_id, client_secret, url },
                    Some(model::Credential::Oauth { client_id: c, client_secret: s, url: u }),
                ) => {
                    assert_eq!((&**client_id, client_secret.expose_secret(), &**url), (&**c, &**s, &**u));
                    "oauth"
                }
                (
                    Credential::CertificateOAuth { client_id, certificate, url },
                    Some(model::Credential::CertificateOauth { client_id: c, certificate: x, url: u }),
                ) => {
                    assert_eq!((&**client_id, certificate.expose_secret(), &**url), (&**c, &**x, &**u));
                    "certificate"
                }
                (ours, _) => panic!("the plane sent something else than {ours:?}"),
            };
            *kinds.entry(kind).or_default() += 1;
            let headers: BTreeMap<_, Vec<_>> = (ours.headers.iter())
                .map(|(name, values)| (name.to_string(), values.iter().map(|v| v.expose_secret().to_owned()).collect()))
                .collect();
            assert_eq!(headers, theirs.additional_headers.clone().unwrap_or_default());
            assert_eq!(ours.csrf.is_some(), theirs.request_auth.is_some());
        }
    }
    assert_eq!(kinds.len(), 5, "{kinds:?}");
    let printed = format!("{fetched:?}");
    let canaries = paired.plane.canaries();
    assert!(!canaries.is_empty());
    assert!(canaries.iter().all(|canary| !printed.contains(canary.as_str())));
}

#[tokio::test]
async fn only_this_runtimes_instance_auths_are_kept_in_order() {
    let paired = Paired::new().await;
    let auth = |id: &str, owner: Option<&str>, condition| model::InstanceAuth {
        id: id.into(),
        runtime_id: owner.map(Into::into),
        condition,
        timestamp: "2026-01-01T00:00:00Z".into(),
        ..Default::default()
    };
    let own = Some(paired.runtime.as_str());
    let named = model::InstanceAuth {
        context: Some(json!({ "binding_id": "x", "runtime_id": paired.runtime.as_str() }).to_string()),
        ..auth("d", None, model::Condition::Failed)
    };
    let bundle = model::Bundle {
        name: "bundle".into(),
        instance_auths: vec![
            auth("c", own, model::Condition::Pending),
            auth("b", Some("another"), model::Condition::Succeeded),
            auth("a", own, model::Condition::Unused),
            named,
            auth("e", None, model::Condition::Succeeded),
        ],
        ..Default::default()
    };
    paired.plane.put_application(model::Application {
        name: "application".into(),
        bundles: vec![bundle],
        ..Default::default()
    });
    let fetched = fetch(&paired, &FetchOptions::default()).await.unwrap();
    let listed = fetched.snapshot.all().unwrap();
    let kept: Vec<_> =
        (listed[0].bundles[0].instance_auths.iter()).map(|auth| (auth.id.as_str(), auth.condition.clone())).collect();
    assert_eq!(kept, [("a", Condition::Unused), ("c", Condition::Pending), ("d", Condition::Failed)]);

    paired.plane.set_dialect(plane::Dialect::Package);
    let fetched = fetch(&paired, &FetchOptions::default()).await.unwrap();
    let listed = fetched.snapshot.all().unwrap();
    let kept: Vec<_> = (listed[0].bundles[0].instance_auths.iter()).map(|auth| auth.id.as_str()).collect();
    assert_eq!(kept, ["d"], "the older dialect does not name the owner; the context does");
}

#[tokio::test]
async fn what_is_marked_as_deleted_or_failed_is_still_listed_and_says_so() {
    let paired = Paired::new().await;
    paired.plane.put_application(model::Application {
        name: "leaving".into(),
        deleted_at: Some("2026-01-01T00:00:00Z".into()),
        error: Some("oops".into()),
        system_status: Some("UNREACHABLE".into()),
        ..Default::default()
    });
    let fetched = fetch(&paired, &FetchOptions::default()).await.unwrap();
    let application = &fetched.snapshot.all().unwrap()[0];
    assert_eq!(application.deleted_at.as_deref(), Some("2026-01-01T00:00:00Z"));
    assert_eq!(
        (application.error.as_deref(), application.system_status.as_deref()),
        (Some("oops"), Some("UNREACHABLE"))
    );
}

#[tokio::test]
async fn a_label_counts_as_set_only_where_the_plane_says_so() {
    let paired = Paired::new().await;
    let director = paired.director();
    let nested = format!("{{\"data\":{}{}}}", "[".repeat(100), "]".repeat(100));
    for body in [
        &*nested,
        r#"{"data":[[["key"]]]}"#,
        r#"{"data":{"setRuntimeLabel":["key"]}}"#,
        r#"{"data":{"setRuntimeLabel":{}}}"#,
    ] {
        paired.plane.fault(Fault::on(Endpoint::Director).operation("setRuntimeLabel").times(1).body(body));
        director.set_label(&paired.runtime, "key", &"value".into()).await.unwrap_err();
    }
    director.set_label(&paired.runtime, "key", &"value".into()).await.unwrap();
}
