//! SIGKILL at every call that changes something on disk or at the plane: while the host is paired, while its
//! certificate is renewed, and while the next start brings either to its end.

pub mod trace;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use futures_util::StreamExt as _;
use inotify::{Inotify, WatchMask};
use plane::{Endpoint, Fault, Options, Request, TokenForm};
use runtime_agent::agent::status::{Area, State, Status};
use runtime_agent::config::{ApplyMode, Settings};
use runtime_agent::pairing::Verdict;
use tokio::task::JoinHandle;

use self::trace::{Call, Traced, at_every_call, need_strace};
use crate::credential::key_in;
use crate::host::{Agent, Host, names};
use crate::modes::{assert_shared, share};
use crate::scene::{Scene, carried_out, is_well, problem, verdict};
use crate::tree::{Kind, everything};

const SIGN: &str = "signCertificateSigningRequest";

/// How every token of the simulated plane begins.
const TOKEN: &[u8] = b"canary-token-";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_call_of_pairing_takes_a_new_token_only_where_the_plane_has_spent_all() {
    let scene = scene().await;
    let (mut by_themselves, mut by_a_token) = (0, 0);
    let kills = at_every_call(async |kill| {
        let host = host(&scene);
        let runtime = scene.plane.register_runtime("host");
        let mint = || scene.plane.mint_token(&runtime, TokenForm::Json);
        let at = kill.map_or_else(|| "not killed".to_owned(), ToString::to_string);
        scene.plane.clear_requests();
        let reader = Reader::of(&host);
        let mut traced = Traced::start(&host, kill).await;
        host.drop_token(&mint());
        if let Some(agent) = &mut traced.agent {
            agent.ends_before(is_well).await;
        }
        let trace = traced.calls().await;
        look(&identities(&host));
        let second_token = host.path("state/pairing.json").exists();
        let certificate = !numbers(&host).is_empty();

        let agent = host.start().await;
        let status = agent.wait_for(&at, |status| is_well(status) || is_refused(status)).await;
        if is_well(&status) {
            by_themselves += 1;
        } else {
            by_a_token += 1;
            let requests = scene.plane.requests();
            let told = succeeded(&requests, "configuration") > 0 && !second_token;
            let signed = succeeded(&requests, SIGN) > 0 && !certificate;
            assert!(told || signed, "{at}: the plane would have gone on with what was on disk");
            assert_eq!(status.state, State::ActionNeeded, "{at}");
            assert!(status.headline.ends_with("Drop a new token."), "{at}: {}", status.headline);
            assert!(problem(&status, Area::Pairing).contains("was lost"), "{at}: {:?}", status.problems);
            assert!(!host.token().exists() && !host.path("state/pairing.json").exists(), "{at}");
            host.drop_token(&mint());
            agent.wait_for("the pairing by a new token", is_well).await;
        }
        reader.done().await;
        leaves_nothing_behind(&host, agent).await;
        trace
    })
    .await;
    let (before, after) = around_the_swap(&kills);
    assert!(before > 50 && after > 5, "the kills hit the pairing: {before} before and {after} after the swap");
    assert!(by_themselves > 40 && by_a_token > 20, "{by_themselves} went on, {by_a_token} took a new token");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_call_of_a_renewal_leaves_the_old_or_the_new_identity_and_costs_no_token() {
    let mut scene = scene().await;
    scene.host = host(&scene);
    let agent = scene.paired_without_hooks().await;
    // From the second renewal on, there is an older identity to be removed.
    renew(&agent).await;
    agent.terminate().await;
    let host = &scene.host;
    let (mut olds, mut news) = (0, 0);
    let kills = at_every_call(async |kill| {
        let at = kill.map_or_else(|| "not killed".to_owned(), ToString::to_string);
        let before = look(&identities(host));
        scene.plane.clear_requests();
        let reader = Reader::of(host);
        let mut traced = Traced::start(host, kill).await;
        // Taken from what the agent says of itself when it is well, for it may be killed before it is asked again.
        let mut old = None;
        let well = |status: &Status| {
            old = fingerprint(status).map(str::to_owned);
            is_well(status)
        };
        if let Some(agent) = &mut traced.agent
            && !agent.ends_before(well).await
        {
            agent.renew_if_alive().await;
            agent.ends_before(|status| is_well(status) && fingerprint(status) != old.as_deref()).await;
        }
        let trace = traced.calls().await;
        let (left, candidate) = (look(&identities(host)), has_candidate(host));
        assert!(left.is_some(), "{at}");

        let agent = host.start().await;
        let status = agent.wait_for(&at, is_well).await;
        assert!(agent.sync().await.done, "{at}");
        let polls = scene.requests("applicationsForRuntime");
        assert_eq!(polls.last().unwrap().fingerprint.as_deref(), fingerprint(&status), "{at}");
        let now = look(&identities(host));
        assert_eq!(now != left, candidate, "{at}: what was signed and is on disk is put to use, and nothing else");
        assert!(scene.plane.requests().iter().all(|request| !request.token_present), "{at}");
        *if now == before { &mut olds } else { &mut news } += 1;
        reader.done().await;
        leaves_nothing_behind(host, agent).await;
        trace
    })
    .await;
    let (before, after) = around_the_swap(&kills);
    assert!(before > 35 && after > 5, "the kills hit the renewal: {before} before and {after} after the swap");
    assert!(olds > 25 && news > 15, "{olds} with the old identity, {news} with the new one");
    let agent = host.start().await;
    agent.wait_for("a poll", is_well).await;
    renew(&agent).await;
    assert_eq!(numbers(host).len(), 2, "older ones that a kill kept from being removed go with the next renewal");
    leaves_nothing_behind(host, agent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_call_of_the_start_after_a_kill_costs_nothing_either() {
    for interrupt in [Interrupted::Pairing, Interrupted::Renewal] {
        let scene = scene().await;
        interrupt.leave(&scene).await;
        let untried = untried(&scene.host);
        let kills = at_every_call(async |kill| {
            let host = host(&scene);
            copy_state(&scene.host, &host);
            let reader = Reader::of(&host);
            let mut traced = Traced::start(&host, kill).await;
            if let Some(agent) = &mut traced.agent {
                agent.ends_before(is_well).await;
            }
            let trace = traced.calls().await;
            look(&identities(&host));
            let agent = host.start().await;
            agent.wait_for("the end of it", is_well).await;
            assert_eq!(look(&identities(&host)).as_ref(), Some(&untried));
            reader.done().await;
            leaves_nothing_behind(&host, agent).await;
            trace
        })
        .await;
        let (before, after) = around_the_swap(&kills);
        assert!(before > 10 && after > 1, "the kills hit {interrupt:?}: {before} before and {after} after the swap");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_call_while_an_identity_is_opened_to_a_group_leaves_it_whole() {
    let mut scene = scene().await;
    scene.host = host(&scene);
    scene.paired_without_hooks().await.terminate().await;
    let key = look(&identities(&scene.host));
    let kills = at_every_call(async |kill| {
        let at = kill.map_or_else(|| "not killed".to_owned(), ToString::to_string);
        let host = host(&scene);
        copy_state(&scene.host, &host);
        share(&identities(&host));
        let reader = Reader::of(&host);
        let mut traced = Traced::start(&host, kill).await;
        if let Some(agent) = &mut traced.agent {
            agent.ends_before(is_well).await;
        }
        let trace = traced.calls().await;
        assert_eq!(look(&identities(&host)), key, "{at}");

        let agent = host.start().await;
        agent.wait_for(&at, is_well).await;
        assert_eq!(look(&identities(&host)), key, "{at}");
        assert_shared(&identities(&host));
        reader.done().await;
        leaves_nothing_behind(&host, agent).await;
        trace
    })
    .await;
    let exchange = kills.iter().position(|call| call.puts("/state/identity/N")).unwrap();
    let (before, after) = (exchange + 1, kills.len() - exchange - 1);
    assert!(before > 20 && after > 5, "the kills hit the exchange: {before} before and {after} after it");
}

#[tokio::test]
async fn an_identity_that_was_not_tried_yet_mends_a_host_whose_identity_in_use_is_gone_or_damaged() {
    let damages: [fn(&Path); 5] = [
        |identities| fs::remove_file(identities.join("current")).unwrap(),
        |identities| fs::write(identities.join("current/key.pem"), "").unwrap(),
        |identities| fs::remove_dir_all(fs::canonicalize(identities.join("current")).unwrap()).unwrap(),
        |identities| {
            fs::remove_file(identities.join("current")).unwrap();
            fs::write(identities.join("current"), "").unwrap();
        },
        // Not even the one before is left.
        |identities| {
            fs::remove_dir_all(identities.join("0001")).unwrap();
            fs::write(identities.join("current/cert.pem"), "").unwrap();
        },
    ];
    let scene = Scene::with(Options::default(), without_hooks).await;
    Interrupted::Renewal.leave(&scene).await;
    let untried = untried(&scene.host);
    for damage in damages {
        let host = host(&scene);
        copy_state(&scene.host, &host);
        damage(&identities(&host));
        let agent = host.start().await;
        agent.wait_for("a poll", is_well).await;
        assert_eq!(look(&identities(&host)).as_ref(), Some(&untried));
        leaves_nothing_behind(&host, agent).await;
    }
}

async fn scene() -> Scene {
    need_strace();
    Scene::with(Options::default(), without_hooks).await
}

/// No other process is started: the kills are about identities.
fn without_hooks(settings: &mut Settings) {
    settings.apply.mode = ApplyMode::Off;
}

fn host(scene: &Scene) -> Host {
    Host::in_memory(&scene.plane, without_hooks)
}

fn identities(host: &Host) -> std::path::PathBuf {
    host.path("state/identity")
}

fn fingerprint(status: &Status) -> Option<&str> {
    status.identity.as_ref().map(|identity| &*identity.fingerprint)
}

/// Renews, and waits until that is done.
async fn renew(agent: &Agent<'_>) {
    let old = agent.status().await;
    assert!(agent.renew().await.done);
    agent.wait_for("a renewal", |status| is_well(status) && fingerprint(status) != fingerprint(&old)).await;
}

/// What a kill came upon, when a new identity was on disk and not tried yet.
#[derive(Debug, Clone, Copy)]
enum Interrupted {
    Pairing,
    Renewal,
}

impl Interrupted {
    /// Leaves the scene's host like that.
    async fn leave(self, scene: &Scene) {
        let never_answered = Fault::on(Endpoint::Director).operation("viewer").delay(Duration::from_secs(24 * 3600));
        let agent = match self {
            Self::Pairing => {
                scene.plane.fault(never_answered);
                let agent = scene.host.start().await;
                scene.host.drop_token(&scene.mint());
                agent
            }
            Self::Renewal => {
                let agent = scene.paired_without_hooks().await;
                renew(&agent).await;
                scene.plane.clear_requests();
                scene.plane.fault(never_answered);
                assert!(agent.renew().await.done);
                agent
            }
        };
        scene.asked("the trial", |all| carried_out(all, "viewer") == 1).await;
        agent.kill().await;
        scene.plane.clear_faults();
        assert!(has_candidate(&scene.host));
    }
}

/// The key of the identity that was not tried yet.
fn untried(host: &Host) -> String {
    let number = numbers(host).into_iter().max().unwrap();
    key_in(&identities(host).join(format!("{number:04}")))
}

fn copy_state(from: &Host, to: &Host) {
    let copied = Command::new("cp").arg("-a").arg(from.path("state")).arg(to.path("")).status().unwrap();
    assert!(copied.success());
}

/// Looks at what is current whenever something changes beside it: at every instant, a key has its certificate.
struct Reader(JoinHandle<()>);

impl Reader {
    fn of(host: &Host) -> Self {
        let folder = identities(host);
        fs::create_dir_all(&folder).unwrap();
        let inotify = Inotify::init().unwrap();
        inotify.watches().add(&folder, WatchMask::CREATE | WatchMask::MOVE | WatchMask::DELETE).unwrap();
        let mut events = inotify.into_event_stream([0; 4096]).unwrap();
        Self(tokio::spawn(async move {
            while let Some(event) = events.next().await {
                event.unwrap();
                look(&folder);
            }
        }))
    }

    async fn done(mut self) {
        self.0.abort();
        if let Err(error) = (&mut self.0).await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Checks what is current in a folder of identities, where anything is; answers its key.
fn look(identities: &Path) -> Option<String> {
    let current = identities.join("current");
    current.symlink_metadata().is_ok().then(|| key_in(&current))
}

/// The numbers of the identities.
fn numbers(host: &Host) -> Vec<u32> {
    names(&identities(host)).iter().filter_map(|name| name.parse().ok()).collect()
}

/// Whether the host has an identity that was not put to use yet.
fn has_candidate(host: &Host) -> bool {
    let current = fs::read_link(identities(host).join("current")).ok();
    numbers(host).into_iter().max() > current.map(|current| current.to_str().unwrap().parse().unwrap())
}

/// Whether the last token is of no use, and nothing is left to be tried.
fn is_refused(status: &Status) -> bool {
    verdict(status) == Some(Verdict::Refused) && status.endeavour.is_none()
}

/// How many requests of a name the plane carried out to their end.
fn succeeded(requests: &[Request], name: &str) -> usize {
    requests.iter().filter(|request| request.is(name) && request.processed && request.errors.is_empty()).count()
}

/// How many of the calls come before the swap of the link, this one included, and how many after it.
fn around_the_swap(calls: &[Call]) -> (usize, usize) {
    let swap = calls.iter().position(|call| call.puts("/state/identity/current")).unwrap();
    (swap + 1, calls.len() - swap - 1)
}

/// Ends an agent that is at rest, and checks what it leaves: a key with its certificate, and nothing more of either, of
/// tokens, or of what was never finished.
async fn leaves_nothing_behind(host: &Host, agent: Agent<'_>) {
    agent.terminate().await;
    assert!(look(&identities(host)).is_some() && !has_candidate(host), "{:?}", names(&identities(host)));
    assert_eq!(names(&host.path("pairing")), Vec::<String>::new());
    assert!(!host.path("state/pairing.json").exists());
    for (path, entry) in everything(&host.path("")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(!name.starts_with(".tmp-"), "{} was never finished", path.display());
        if let Kind::File(content) = entry.kind {
            assert!(!content.windows(TOKEN.len()).any(|part| part == TOKEN), "a token is in {}", path.display());
        }
    }
}
