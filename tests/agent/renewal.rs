//! The certificate is renewed in time; and where that cannot be, the host says so, and a new token mends it.

use std::collections::BTreeSet;
use std::time::Duration;

use nix::sys::signal::Signal;
use plane::{Endpoint, Fault, Options, Refusal};
use runtime_agent::agent::status::{Area, State, Status};
use runtime_agent::config::{Seconds, Settings, Share};

use crate::credential::current_key;
use crate::following::{RECORD, application};
use crate::host::{Agent, names, said};
use crate::scene::{Scene, carried_out, is_settled, is_well, problem};

const SIGN: &str = "signCertificateSigningRequest";

fn at_renewal(operation: &str) -> Fault {
    Fault::on(Endpoint::SecuredConnector).operation(operation)
}

fn fingerprint(status: &Status) -> Option<&str> {
    status.identity.as_ref().map(|identity| &*identity.fingerprint)
}

/// A plane whose certificates live so long, and a host that renews them early enough for a busy machine.
async fn short_lived(lifetime: Duration) -> Scene {
    let early = |settings: &mut Settings| {
        settings.renewal.after = Share::new(0.25);
        settings.renewal.jitter = Share::new(0.05);
    };
    Scene::with(Options { certificate_lifetime: lifetime, ..Options::default() }, early).await
}

/// Waits for another certificate than this.
async fn renewed(agent: &Agent<'_>, before: &str) -> Status {
    agent
        .wait_for("another certificate", |status| {
            fingerprint(status).is_some_and(|now| now != before) && status.endeavour.is_none()
        })
        .await
}

#[tokio::test]
async fn short_certificates_are_renewed_again_and_again_with_a_new_key_each_time() {
    let scene = short_lived(Duration::from_secs(12)).await;
    scene.host.hook("record", RECORD);
    let agent = scene.paired().await;
    let mut keys = BTreeSet::from([current_key(&scene.host)]);
    let mut certificates = BTreeSet::from([fingerprint(&agent.status().await).unwrap().to_owned()]);
    while certificates.len() < 4 {
        agent
            .wait_for("the next certificate", |status| {
                assert!(matches!(status.state, State::Healthy), "{:?}", status.problems);
                // At every news: whoever reads now finds a key and its certificate.
                keys.insert(current_key(&scene.host));
                certificates.insert(fingerprint(status).unwrap().to_owned())
            })
            .await;
    }
    agent.terminate().await;
    keys.insert(current_key(&scene.host));
    assert!(keys.len() >= 4, "{} keys", keys.len());
    let identities = names(&scene.host.path("state/identity"));
    assert_eq!(identities.len(), 3, "the current one and the one before are kept: {identities:?}");
    let token_requests = scene.plane.requests().into_iter().filter(|request| request.endpoint == Endpoint::Connector);
    assert_eq!(token_requests.count(), 2, "no token is needed");
    assert!(scene.host.read("spool/runs").matches("renewed").count() >= 2);
}

#[tokio::test]
async fn a_remaining_time_counts_where_it_fits_the_certificate_and_a_share_where_not() {
    const DAY: i64 = 24 * 3600;
    for (lifetime, expected) in [(90, 55..61), (1, 0..1)] {
        let lifetime = Duration::from_secs(lifetime * DAY.unsigned_abs());
        let scene = Scene::with(Options { certificate_lifetime: lifetime, ..Options::default() }, |settings| {
            settings.renewal.after = Share::new(0.1);
            settings.renewal.jitter = Share::new(0.05);
        })
        .await;
        let agent = scene.paired().await;
        let planned = |status: &Status| {
            let identity = status.identity.as_ref().unwrap();
            identity.renewal_at.duration_since(identity.not_before)
        };
        let by_share = planned(&agent.status().await);
        scene.host.configure(|settings| settings.renewal.before = Some(Seconds::new(30 * DAY.unsigned_abs())));
        agent.signal(Signal::SIGHUP);
        // The other share is the default again.
        let status = agent.wait_for("the new plan", |status| planned(status) > by_share * 3).await;
        let day = planned(&status).as_secs() / DAY;
        assert!(expected.contains(&day), "on day {day}");
        assert_eq!(status.state, State::Healthy);
    }
}

#[tokio::test]
async fn renew_brings_a_new_certificate_that_is_shown_from_then_on() {
    let scene = Scene::new().await;
    let agent = scene.host.start().await;
    let output = scene.host.run(&["renew"], "").await;
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("there is no certificate to renew; drop a token to pair"), "{}", said(&output));
    agent.terminate().await;

    let agent = scene.paired().await;
    let (before, key) = (agent.status().await, current_key(&scene.host));
    let output = scene.host.run(&["renew"], "").await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let after = renewed(&agent, fingerprint(&before).unwrap()).await;
    assert_ne!(current_key(&scene.host), key);
    assert_eq!(after.identity.as_ref().unwrap().runtime, before.identity.as_ref().unwrap().runtime);
    assert!(agent.sync().await.done);
    let shown = scene.requests("applicationsForRuntime").pop().unwrap().fingerprint;
    assert_eq!(shown.as_deref(), fingerprint(&after));
    assert_eq!(agent.status().await.output, before.output, "the files are none of this");
}

#[tokio::test]
async fn a_kill_during_renewal_leaves_a_key_and_its_certificate_and_costs_no_token() {
    for fault in [at_renewal("configuration"), at_renewal(SIGN), Fault::on(Endpoint::Director).operation("viewer")] {
        let operation = fault.operation.clone().unwrap();
        let scene = Scene::new().await;
        let agent = scene.paired().await;
        let before = agent.status().await;
        scene.plane.clear_requests();
        scene.plane.fault(fault.delay(Duration::from_secs(24 * 3600)));
        assert!(agent.renew().await.done);
        scene.asked(&operation, |all| carried_out(all, &operation) == 1).await;
        agent.kill().await;
        let key = current_key(&scene.host);
        scene.plane.clear_faults();
        let agent = scene.host.start().await;
        // With the old identity, or with the new one where that had been signed.
        let status = agent.wait_for("a poll after the restart", is_well).await;
        if operation == "viewer" {
            renewed(&agent, fingerprint(&before).unwrap()).await;
            assert_ne!(current_key(&scene.host), key);
        } else {
            assert_eq!(fingerprint(&status), fingerprint(&before), "{operation}");
            assert_eq!(current_key(&scene.host), key, "{operation}");
            assert!(agent.renew().await.done);
            renewed(&agent, fingerprint(&before).unwrap()).await;
        }
        assert!(scene.plane.requests().iter().all(|request| !request.token_present), "{operation}");
    }
}

#[tokio::test]
async fn a_renewal_that_fails_stops_no_polls_and_is_tried_again() {
    let scene = short_lived(Duration::from_secs(40)).await;
    let agent = scene.paired().await;
    let before = agent.status().await;
    scene.plane.fault(at_renewal("configuration").status(503, "busy"));
    assert!(agent.renew().await.done);
    let status = agent.wait_for("the complaint", |status| !problem(status, Area::Renewal).is_empty()).await;
    assert_eq!(status.state, State::Degraded);
    let what = problem(&status, Area::Renewal);
    assert!(what.contains("cannot be renewed: configuration at 127.0.0.1:") && what.contains("503"), "{what}");
    scene.plane.put_application(application("New", "canary-new"));
    assert!(agent.sync().await.message.starts_with("Generation 2: 4 applications"));
    assert_eq!(fingerprint(&agent.status().await), fingerprint(&before), "the old one is in use");
    scene.plane.clear_faults();
    let status = renewed(&agent, fingerprint(&before).unwrap()).await;
    assert_eq!(problem(&status, Area::Renewal), "");
}

#[tokio::test]
async fn a_renewed_certificate_is_not_put_to_use_before_the_director_takes_it() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    let (before, key) = (agent.status().await, current_key(&scene.host));
    scene.plane.fault(Fault::on(Endpoint::Director).operation("viewer").failure(26, "unauthorized"));
    assert!(agent.renew().await.done);
    let complaint =
        |status: &Status| problem(status, Area::Renewal).starts_with("The new certificate waits to be tried");
    let status = agent.wait_for("the complaint", complaint).await;
    assert_eq!((fingerprint(&status), current_key(&scene.host)), (fingerprint(&before), key));
    assert!(agent.sync().await.done);
    scene.plane.clear_faults();
    let status = renewed(&agent, fingerprint(&before).unwrap()).await;
    assert_eq!(status.state, State::Healthy);
    current_key(&scene.host);
}

/// Checks that the status says `sentence`, that the files are as they were, and that a new token mends it.
async fn a_new_token_mends_it(scene: &Scene, agent: Agent<'_>, state: State, sentence: &str) {
    let files = crate::tree::everything(&scene.host.path("state/config"));
    let area = Area::Certificate;
    let needed = |status: &Status| problem(status, area).contains(sentence) && status.state == state;
    let status = agent.wait_for(sentence, needed).await;
    assert!(status.headline.contains("rop a new token"), "{}", status.headline);
    assert!(scene.host.log().contains(sentence));
    let page = scene.host.run(&["status"], "").await;
    assert_eq!(page.status.code(), Some(5));
    assert!(said(&page).contains(problem(&status, area)), "{}", said(&page));
    assert_eq!(crate::tree::everything(&scene.host.path("state/config")), files, "the last good files stay");
    scene.host.drop_token(&scene.mint());
    let mended = |now: &Status| {
        let asked_since = now.sync.last_success > status.sync.last_success;
        fingerprint(now) != fingerprint(&status) && now.state == State::Healthy && asked_since
    };
    let after = agent.wait_for("the pairing by a new token", mended).await;
    assert_eq!(after.agent.pid, status.agent.pid, "without a restart");
    assert!(agent.sync().await.done);
}

#[tokio::test]
async fn an_expired_certificate_is_told_and_a_new_token_mends_it() {
    let scene = short_lived(Duration::from_secs(10)).await;
    scene.host.hook("record", RECORD);
    scene.plane.fault(Fault::on(Endpoint::SecuredConnector).status(503, "away"));
    let agent = scene.paired().await;
    let over = |status: &Status| problem(status, Area::Certificate).starts_with("The certificate expired on ");
    agent.wait_for("the certificate's end", over).await;
    let tries = scene.requests("configuration").len() - 1;
    assert!((1..=6).contains(&tries), "it was tried {tries} times, until it was too late");
    let output = scene.host.run(&["renew"], "").await;
    assert!(said(&output).contains("the certificate has expired and cannot be renewed"), "{}", said(&output));
    // It is not forgotten at a restart.
    agent.terminate().await;
    let agent = scene.host.start().await;
    agent.wait_for("the certificate's end", over).await;
    let so_far = scene.plane.requests().len();
    assert!(!agent.sync().await.done);
    assert_eq!(scene.plane.requests().len(), so_far, "nobody is asked in vain");
    scene.plane.clear_faults();
    scene.plane.set_certificate_lifetime(Duration::from_secs(3600));
    a_new_token_mends_it(&scene, agent, State::Expired, "the plane no longer knows this host").await;
    assert!(scene.host.read("spool/runs").contains("expired"));
}

/// So often that the second refusal, which confirms the first, comes soon.
fn often(settings: &mut Settings) {
    settings.sync.interval = Seconds::new(5);
}

#[tokio::test]
async fn a_revoked_certificate_is_told_and_a_new_token_mends_it() {
    let refusals = [
        (Refusal::Gateway, "HTTP status 401"),
        (Refusal::Graphql, "Unauthorized"),
        (Refusal::TlsAlert, "the server refused our certificate (TLS alert CertificateRevoked)"),
    ];
    for (refusal, sentence) in refusals {
        let scene = Scene::with(Options { revoked: refusal, ..Options::default() }, often).await;
        scene.host.hook("record", RECORD);
        let agent = scene.paired().await;
        assert_eq!(scene.plane.revoke(&scene.runtime), 1);
        // A connection that stands is not looked at again, so another one is needed to see an alert.
        scene.plane.fault(Fault::on(Endpoint::Director).reset().times(1));
        assert!(!agent.sync().await.done);
        assert!(!agent.sync().await.done);
        assert_eq!(agent.status().await.state, State::Degraded, "two refusals in one moment are one");
        a_new_token_mends_it(&scene, agent, State::Rejected, sentence).await;
        assert_eq!(scene.host.read("spool/runs").matches("rejected").count(), 1);
    }
}

#[tokio::test]
async fn a_runtime_that_the_plane_removed_is_told_and_a_token_for_another_mends_it() {
    let Scene { plane, runtime, host } = Scene::with(Options::default(), often).await;
    let scene = Scene { runtime: plane.register_runtime("another"), plane, host };
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.plane.mint_token(&runtime, plane::TokenForm::Json));
    agent.wait_for("the pairing", is_settled).await;
    assert!(scene.plane.remove_runtime(&runtime));
    assert!(!agent.sync().await.done);
    let rejected = |status: &Status| {
        let sentence = problem(status, Area::Certificate);
        status.state == State::Rejected && sentence.contains("the runtime was removed there")
    };
    agent.wait_for("the rejection", rejected).await;
    scene.host.drop_token(&scene.mint());
    let other = |status: &Status| {
        let known = status.identity.as_ref().and_then(|identity| identity.runtime.as_ref());
        known.is_some_and(|known| known.as_str() == scene.runtime) && is_settled(status)
    };
    agent.wait_for("the pairing as another runtime", other).await;
}

#[tokio::test]
async fn a_plane_that_changes_its_authority_is_followed() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    scene.plane.rotate_client_ca().await.unwrap();
    let before = agent.status().await;
    assert!(agent.renew().await.done);
    renewed(&agent, fingerprint(&before).unwrap()).await;
    scene.plane.distrust_former_client_cas().unwrap();
    assert!(agent.sync().await.done);
    current_key(&scene.host);
}
