//! Requests over real HTTP, with somebody who decides by the ids alone at the other end of the orders.

mod listening;
mod order;
mod rows;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, watch};

use super::door::Door;
use super::judge::Judge;
use super::listening::{LIMITS, PLACES};
use super::routes::{Desk, router};
use crate::broker::login::Login;
use crate::broker::{
    Bind, Bound, Broker, Catalog, GivenNames, LastOperation, Made, Offer, Operation, OperationState, Order, Patience,
    Refusal, SecretText, SpecificationFiles, Unbound,
};
use crate::config::{self, Brokerage};
use crate::output::Names;
use crate::peers::{Directory, Gate};
use crate::serving;
use crate::snapshot::example::{application, bundle};

/// What nobody but the one who asked for it may see.
const CREDENTIALS: &str = r#"{"credentials":{"password":"canary"}}"#;

/// The one who decides, as far as anybody can see: an id says what becomes of it.
fn decide<T>(id: &str, granted: impl FnOnce() -> T) -> Result<T, Refusal> {
    let why = || format!("This is {id}.");
    Err(match id {
        "bad" => Refusal::BadRequest(why()),
        "other" => Refusal::Conflict(why()),
        "unknown" => Refusal::NotFound(why()),
        "gone" => Refusal::Gone(why()),
        "slow" => Refusal::AsyncRequired(why()),
        "busy" => Refusal::Concurrency(why()),
        "fixed" => Refusal::Unsupported(why()),
        "many" => Refusal::TooMany(why()),
        "away" => Refusal::Unavailable { why: why(), ask_again_in: Some(Duration::from_millis(29_500)) },
        "full" => Refusal::Store(why()),
        _ => return Ok(granted()),
    })
}

fn made(id: &str) -> Made {
    if id == "known" { Made::Before } else { Made::Now }
}

fn answer(order: Order) {
    let operation = || Operation("op-1".into());
    match order {
        Order::Provision(id, _, reply) => drop(reply.send(decide(id.as_str(), || made(id.as_str())))),
        Order::Instance(id, reply) => {
            let offer = || Offer { service: "s".parse().unwrap(), plan: "p".parse().unwrap() };
            drop(reply.send(decide(id.as_str(), offer)));
        }
        Order::Update(id, _, reply) => drop(reply.send(decide(id.as_str(), || ()))),
        Order::Deprovision(id, _, reply) => drop(reply.send(decide(id.as_str(), || ()))),
        Order::Bind(_, id, Bind { patience, .. }, reply) => {
            let bound = || match patience {
                Patience::LooksLater => Bound::UnderWay(operation()),
                Patience::Waits => Bound::Here { made: made(id.as_str()), body: SecretText::new(CREDENTIALS.into()) },
            };
            drop(reply.send(decide(id.as_str(), bound)));
        }
        Order::Binding(_, id, reply) => drop(reply.send(decide(id.as_str(), || SecretText::new(CREDENTIALS.into())))),
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
                ask_again_in: Some(Duration::from_secs(7)),
            };
            drop(reply.send(decide(id.as_str(), last)));
        }
        // It is not for HTTP.
        Order::Overview(_) => {}
    }
}

/// What was ordered, as it is written for developers.
type Ordered = Arc<Mutex<Vec<String>>>;

/// The way to the one who decides, and what was ordered.
fn decider() -> (Broker, Ordered) {
    let (sender, mut receiver) = mpsc::channel(8);
    let ordered = Ordered::default();
    let noted = Arc::clone(&ordered);
    tokio::spawn(async move {
        while let Some(order) = receiver.recv().await {
            noted.lock().unwrap().push(format!("{order:?}"));
            answer(order);
        }
    });
    (Broker::new(sender), ordered)
}

/// A catalog with one service, made of an application with this name.
fn offering(name: &str) -> Arc<Catalog> {
    let mut application = application("application", name);
    application.bundles = vec![bundle("bundle", "Orders")];
    let applications = [application];
    let files = SpecificationFiles { current: Path::new("/current"), names: &Names::default() };
    Arc::new(Catalog::new(&applications, &GivenNames::default(), &files))
}

/// A broker that is served, and a client of it.
struct Site {
    client: Client,
    base: String,
    settings: watch::Sender<config::Broker>,
    catalog: watch::Sender<Option<Arc<Catalog>>>,
    logins: watch::Sender<Option<Login>>,
    ordered: Ordered,
    _folder: TempDir,
}

fn open() -> config::Broker {
    config::Broker { enabled: Brokerage::Open, ..config::Broker::default() }
}

fn login(text: &str) -> Login {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap().join("password");
    crate::disk::write(&path, 0o600, text.as_bytes()).unwrap();
    Login::read(&config::Broker { password_file: Some(path), ..open() }).unwrap()
}

impl Site {
    /// At a socket, where this user is the agent's own.
    fn at_socket() -> Self {
        Self::new(|client, folder, site| {
            let path = folder.path().join("broker.sock");
            let listener = Gate::new(UnixListener::bind(&path).unwrap(), PLACES);
            let (desk, settings) = site;
            let judge = Judge::new(Door::Socket(Directory::default()), settings.subscribe());
            tokio::spawn(serving::serve(listener, router(desk, judge), LIMITS));
            (client.unix_socket(path), "http://broker".to_owned())
        })
    }

    /// At an address, with the password `p` of the user `u`.
    async fn at_address() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let (logins, receiver) = watch::channel(Some(login("u:p")));
        let site = Self::new(|client, _, (desk, settings)| {
            settings.send_modify(|settings| settings.listen = Some(address));
            let judge = Judge::new(Door::Address(address, receiver), settings.subscribe());
            tokio::spawn(serving::serve(listener, router(desk, judge), LIMITS));
            (client, base)
        });
        Self { logins, ..site }
    }

    fn new(
        serve: impl FnOnce(
            reqwest::ClientBuilder,
            &TempDir,
            (Desk, &watch::Sender<config::Broker>),
        ) -> (reqwest::ClientBuilder, String),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (orders, ordered) = decider();
        let (settings, _) = watch::channel(open());
        let (catalog, pages) = watch::channel(None);
        let client = Client::builder().tls_certs_only([]).no_proxy();
        let (client, base) = serve(client, &folder, (Desk { orders, catalog: pages }, &settings));
        let client = client.build().unwrap();
        let (logins, _) = watch::channel(None);
        Self { client, base, settings, catalog, logins, ordered, _folder: folder }
    }

    /// A request without anything that is always said.
    fn bare(&self, method: &str, path: &str) -> RequestBuilder {
        self.client.request(Method::from_bytes(method.as_bytes()).unwrap(), format!("{}{path}", self.base))
    }

    /// A request as a platform makes it.
    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.bare(method, path).header("X-Broker-API-Version", "2.17")
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let request = self.request(method, path);
        let request = match body {
            None => request,
            Some(body) => request.header("Content-Type", "application/json").body(body.to_string()),
        };
        Answer::of(request.send().await.unwrap()).await
    }

    fn orders(&self) -> Vec<String> {
        std::mem::take(&mut self.ordered.lock().unwrap())
    }
}

/// An answer, read to its end.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: String,
}

impl Answer {
    async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, body: response.text().await.unwrap() }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        serde_json::from_str(&self.body).unwrap()
    }

    /// The word for what is wrong, which comes with a sentence.
    fn error(&self) -> String {
        let body = self.json();
        let sentence = body["description"].as_str().unwrap();
        assert!(sentence.ends_with('.') && sentence.contains(' '), "{sentence}");
        assert_eq!(body.as_object().unwrap().len(), 2, "{body}");
        body["error"].as_str().unwrap().to_owned()
    }
}

fn provision() -> Value {
    json!({ "service_id": "s", "plan_id": "p", "organization_guid": "o", "space_guid": "r" })
}

fn bind() -> Value {
    json!({ "service_id": "s", "plan_id": "p", "parameters": { "n": 1 } })
}
