//! Whatever comes over the broker's ways in, it is answered as the Open Service Broker API has it, and who has not shown that
//! they may learns and orders nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use runtime_agent::broker::http::{Desk, Door, Judge, router};
use runtime_agent::broker::{
    Bind, Bound, Broker, Catalog, GivenNames, LastOperation, Login, Made, Offer, Operation, OperationState, Order,
    Patience, Refusal, SecretText, SpecificationFiles, Unbound,
};
use runtime_agent::config::{self, Brokerage, LoopbackAddress};
use runtime_agent::output::Names;
use runtime_agent::peers::{Directory, Peer};
use runtime_agent::snapshot::{Application, Bundle};
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::http::{Heard, ask};
use super::{SECRET, planted, spells_the_secret};

/// The user that the agent runs as, and one that the host does not know.
const OWN: u32 = 990;
const STRANGER: u32 = 54_321;

/// The user and the password, and how they are said.
const LOGIN: &str = "u:p";
const SAID: &str = "dTpw";

/// What nobody but the one who asked for it may see.
const CREDENTIALS: &str = r#"{"credentials":{"password":"canary-of-a-binding"}}"#;

/// Takes `case` for what a client says, in each way that there is.
///
/// # Panics
/// When a promise is broken.
pub fn hold(case: &[u8]) {
    if spells_the_secret(case) {
        return;
    }
    let case = planted(case);
    let socket = || Door::Socket(Directory::default());
    let own = asked(&case, socket(), Peer::somebody(OWN, OWN, OWN));
    let again = asked(&case, socket(), Peer::somebody(OWN, OWN, OWN));
    assert_eq!(own.1, again.1, "the same request gives other orders");
    judged(&own);

    let stranger = asked(&case, socket(), Peer::somebody(STRANGER, STRANGER, OWN));
    judged(&stranger);
    learns_nothing(&stranger);

    let address: LoopbackAddress = "127.0.0.1:9465".parse().expect("it is an address");
    let logins = watch::Sender::new(Some(login().clone()));
    let at_address = asked(&case, Door::Address(address, logins.subscribe()), address.get());
    judged(&at_address);
    if !case.windows(SAID.len()).any(|bytes| bytes == SAID.as_bytes()) {
        learns_nothing(&at_address);
    }
}

type Asked = (Option<Heard>, Vec<String>);

/// What the specification says of answers, and what is promised of those of this broker.
fn judged((heard, ordered): &Asked) {
    assert!(ordered.len() <= 1, "one request gave several orders: {ordered:?}");
    let Some(heard) = heard else {
        assert!(ordered.is_empty(), "what was ordered has no answer: {ordered:?}");
        return;
    };
    let text = String::from_utf8_lossy(&heard.body);
    assert!(!text.contains(SECRET), "what a client said is said again: {heard:?}");
    let Some(cached) = heard.header("cache-control") else {
        // What the server itself answers to what is no HTTP.
        assert!(matches!(heard.status, 400 | 414 | 431) && heard.body.is_empty(), "{heard:?}");
        return;
    };
    match heard.status {
        304 => assert!(cached == "no-cache" && heard.body.is_empty(), "{heard:?}"),
        200..=202 => {
            // Where only the head was asked for, there is no more.
            if !heard.body.is_empty() {
                assert!(heard.json().is_object(), "{heard:?}");
            }
            assert!(heard.status != 202 || heard.body.windows(9).any(|bytes| bytes == b"operation"), "{heard:?}");
        }
        400 | 401 | 403 | 404 | 405 | 409 | 410 | 412 | 413 | 422 | 431 => {
            assert_eq!(cached, "no-store");
            assert!(heard.status != 405 || heard.header("allow").is_some(), "{heard:?}");
            assert_eq!(heard.status == 401, heard.header("www-authenticate").is_some(), "{heard:?}");
            if !heard.body.is_empty() {
                refused(&heard.json());
            }
        }
        _ => panic!("an answer that the specification does not have, or that nobody gave: {heard:?}"),
    }
}

/// A word for programs, and a sentence for people.
fn refused(body: &Value) {
    let fields = body.as_object().expect("it is an object");
    let [word, sentence] = ["error", "description"].map(|name| body[name].as_str().expect("it is a text"));
    assert!(fields.len() == 2 && word.bytes().all(|byte| byte.is_ascii_alphabetic()), "{body}");
    assert!(sentence.ends_with('.') && sentence.len() < 1_000 && !sentence.contains(char::is_control), "{body}");
}

fn learns_nothing((heard, ordered): &Asked) {
    assert!(ordered.is_empty(), "somebody ordered who may not: {ordered:?}");
    if let Some(heard) = heard {
        assert!(matches!(heard.status, 400 | 401 | 403 | 414 | 431), "somebody is answered who may not ask: {heard:?}");
        assert!(!String::from_utf8_lossy(&heard.body).contains("canary"), "{heard:?}");
    }
}

/// Where somebody comes from: a user at a socket, an address at an address.
trait From: Clone + Send + Sync + 'static {}

impl From for Peer {}
impl From for SocketAddr {}

/// What somebody hears, and what orders came of it.
fn asked(case: &[u8], door: Door, peer: impl From) -> Asked {
    let ordered = RefCell::new(Vec::new());
    let (orders, mut receiver) = mpsc::channel(1);
    let settings = config::Broker {
        enabled: Brokerage::Open,
        listen: Some("127.0.0.1:9465".parse().expect("it is an address")),
        ..config::Broker::default()
    };
    let settings = watch::Sender::new(settings);
    let pages = watch::Sender::new(Some(catalog()));
    let desk = Desk { orders: Broker::new(orders), catalog: pages.subscribe() };
    let judge = Judge::new(door, settings.subscribe());
    let behind = async {
        while let Some(order) = receiver.recv().await {
            let said = format!("{order:?}");
            // Parameters can hold secrets of the application.
            assert!(!format!("{:?}", without_names(&order)).contains(SECRET), "a secret is told: {said}");
            ordered.borrow_mut().push(said);
            answer(order);
        }
    };
    let heard = ask(|| router(desk, judge), peer, case, behind);
    (heard, ordered.into_inner())
}

/// What of an order is not a name that the client gave.
fn without_names(order: &Order) -> Option<(&Option<SecretText>, &Patience)> {
    match order {
        Order::Bind(_, _, Bind { parameters, patience, .. }, _) => Some((parameters, patience)),
        _ => None,
    }
}

/// Whoever decides, as far as anybody can see: an id says what becomes of it.
fn decide<T>(id: &str, granted: impl FnOnce() -> T) -> Result<T, Refusal> {
    let why = || "This is known.".to_owned();
    Err(match id {
        "bad" => Refusal::BadRequest(why()),
        "other" => Refusal::Conflict(why()),
        "unknown" => Refusal::NotFound(why()),
        "gone" => Refusal::Gone(why()),
        "slow" => Refusal::AsyncRequired(why()),
        "busy" => Refusal::Concurrency(why()),
        "fixed" => Refusal::Unsupported(why()),
        "many" => Refusal::TooMany(why()),
        _ => return Ok(granted()),
    })
}

fn answer(order: Order) {
    let operation = || Operation("op-1".into());
    let credentials = || SecretText::new(CREDENTIALS.into());
    // Whoever asked may have gone.
    match order {
        Order::Provision(id, _, reply) => drop(reply.send(decide(id.as_str(), || Made::Now))),
        Order::Instance(id, reply) => {
            let offer = || Offer { service: "s".parse().expect("an id"), plan: "p".parse().expect("an id") };
            drop(reply.send(decide(id.as_str(), offer)));
        }
        Order::Update(id, _, reply) | Order::Deprovision(id, _, reply) => drop(reply.send(decide(id.as_str(), || ()))),
        Order::Bind(_, id, Bind { patience, .. }, reply) => {
            let bound = || match patience {
                Patience::LooksLater => Bound::UnderWay(operation()),
                Patience::Waits => Bound::Here { made: Made::Before, body: credentials() },
            };
            drop(reply.send(decide(id.as_str(), bound)));
        }
        Order::Binding(_, id, reply) => drop(reply.send(decide(id.as_str(), credentials))),
        Order::Unbind(_, id, _, patience, reply) => {
            let unbound = || match patience {
                Patience::LooksLater => Unbound::UnderWay(operation()),
                Patience::Waits => Unbound::Gone,
            };
            drop(reply.send(decide(id.as_str(), unbound)));
        }
        Order::LastOperation(_, id, reply) => {
            let last = || LastOperation {
                state: OperationState::InProgress,
                description: "It is under way.".into(),
                ask_again_in: None,
            };
            drop(reply.send(decide(id.as_str(), last)));
        }
        Order::Overview(_) => unreachable!("it is not for HTTP"),
    }
}

/// The login of the address, read as the agent reads it.
fn login() -> &'static Login {
    static LOGIN_READ: OnceLock<Login> = OnceLock::new();
    LOGIN_READ.get_or_init(|| {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("there is room for a file");
        let path = folder.path().canonicalize().expect("it is there").join("password");
        std::fs::write(&path, LOGIN).expect("a file can be written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
        Login::read(&config::Broker { password_file: Some(path), ..config::Broker::default() }).expect("it is one")
    })
}

/// A catalog with one service.
fn catalog() -> Arc<Catalog> {
    static CATALOG: OnceLock<Arc<Catalog>> = OnceLock::new();
    let make = || {
        let bundle = Bundle {
            id: "p".parse().expect("an id"),
            name: "Orders".into(),
            description: None,
            request_schema: None,
            apis: Vec::new(),
            events: Vec::new(),
            documents: Vec::new(),
            default_auth: None,
            instance_auths: Vec::new(),
        };
        let application = Application {
            id: "s".parse().expect("an id"),
            name: "canary-of-the-catalog".into(),
            provider: None,
            description: None,
            base_url: None,
            system_number: None,
            local_tenant_id: None,
            health_check_url: None,
            labels: BTreeMap::new(),
            condition: None,
            events_url: None,
            system_status: None,
            error: None,
            deleted_at: None,
            bundles: vec![bundle],
        };
        let files = SpecificationFiles { current: Path::new("/current"), names: &Names::default() };
        Arc::new(Catalog::new(&[application], &GivenNames::default(), &files))
    };
    CATALOG.get_or_init(make).clone()
}
