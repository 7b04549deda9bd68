//! A plane with two applications, one of which gives credentials at once and the other when it is asked, and a host whose
//! broker is on.

use plane::model::{ApiDefinition, Application, Auth, Bundle, Condition, Credential};
use plane::{HeldAuth, Options, Verdict};
use runtime_agent::agent::status::{BrokerStatus, Status};
use runtime_agent::config::{Brokerage, Settings};
use serde_json::Value;

use super::platform::{Offer, Platform, instance};
use crate::host::{Agent, Host, said};
use crate::scene::Scene;

/// The password of the bundle that has credentials for everybody.
pub const PASSWORD: &str = "canary-till-0123456789abcdef";

/// The request that asks for credentials, by a field of it that only it has.
pub const CREATION: [&str; 2] = ["requestBundleInstanceAuthCreation", "requestPackageInstanceAuthCreation"];

/// The request that gives them back.
pub const DELETION: [&str; 2] = ["requestBundleInstanceAuthDeletion", "requestPackageInstanceAuthDeletion"];

/// The scene, and what is offered there.
pub struct Shop {
    pub scene: Scene,
    /// A plan whose credentials are there at once.
    pub at_once: Offer,
    /// A plan whose application is asked for them.
    pub on_request: Offer,
}

/// Turns the broker on.
pub fn open(settings: &mut Settings) {
    settings.broker.enabled = Brokerage::Open;
}

impl Shop {
    /// With the broker on.
    pub async fn open() -> Self {
        Self::with(Options::default(), open).await
    }

    /// With other options and settings.
    pub async fn with(options: Options, change: impl FnOnce(&mut Settings)) -> Self {
        Self::of(Scene::with(options, change).await)
    }

    /// The shop at a plane that is there.
    pub fn of(scene: Scene) -> Self {
        let put = |name: &str, credential: Option<Credential>| {
            let id = scene.plane.put_application(application(name, credential));
            let found = scene.plane.applications().into_iter().find(|found| found.id == id).unwrap();
            Offer { plan: found.bundles[0].id.clone(), service: id }
        };
        let (at_once, on_request) = (put("Till", Some(basic(PASSWORD))), put("Warehouse", None));
        Self { scene, at_once, on_request }
    }

    pub fn host(&self) -> &Host {
        &self.scene.host
    }

    pub fn platform(&self) -> Platform {
        Platform::at(&self.scene.host)
    }

    /// A host that is paired, and offers what the plane has.
    pub async fn paired(&self) -> (Agent<'_>, Platform) {
        let agent = self.scene.paired().await;
        let platform = self.platform();
        platform.offers(&self.on_request).await;
        (agent, platform)
    }

    /// The same, with an instance `i` of a plan.
    pub async fn with_instance(&self, of: &Offer) -> (Agent<'_>, Platform) {
        let (agent, platform) = self.paired().await;
        assert_eq!(platform.put(&instance("i"), &of.instance()).await.status, 201);
        (agent, platform)
    }

    /// What this runtime has at the plane.
    pub fn held(&self) -> Vec<HeldAuth> {
        self.scene.plane.instance_auths(&self.scene.runtime)
    }

    /// The only one that it has there.
    pub fn only(&self) -> HeldAuth {
        let mut held = self.held();
        assert_eq!(held.len(), 1, "{held:?}");
        held.remove(0)
    }

    /// The application answers what it was asked.
    pub fn grants(&self, auth: &HeldAuth, password: &str) {
        let granted = Auth { credential: Some(basic(password)), ..Auth::default() };
        self.scene.plane.answer_instance_auth(&auth.id, Verdict::Grant { auth: Box::new(granted) }).unwrap();
    }

    /// How often the plane was asked so, whatever came of it.
    pub fn times(&self, names: [&str; 2]) -> usize {
        names.iter().map(|name| self.scene.requests(name).len()).sum()
    }

    /// What the host has, as programs see it.
    pub async fn bindings(&self) -> Value {
        bindings(&self.scene.host).await
    }
}

/// What a host has, as programs see it.
pub async fn bindings(host: &Host) -> Value {
    let output = host.run(&["broker", "bindings", "--json"], "").await;
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The bindings of a host, each with its phase and what it has at the plane, and what the plane has: they are to be equal.
pub async fn agree(host: &Host, held: &[HeldAuth]) {
    let shown = bindings(host).await;
    let texts = |list: &str, key: &str| -> Vec<String> {
        let rows = shown[list].as_array().unwrap().iter();
        let mut texts: Vec<_> = rows.map(|row| row[key].as_str().unwrap_or("none").to_owned()).collect();
        texts.sort();
        texts
    };
    let mut at_the_plane: Vec<_> = held.iter().map(|auth| auth.id.clone()).collect();
    at_the_plane.sort();
    assert_eq!(texts("bindings", "auth"), at_the_plane, "{shown:#}");
    assert_eq!(texts("orphans", "auth"), [""; 0], "{shown:#}");
    let ready = held.iter().all(|auth| auth.condition == Condition::Succeeded);
    assert!(ready && texts("bindings", "phase").iter().all(|phase| phase == "ready"), "{held:?} {shown:#}");
}

/// An application with one API.
pub fn application(name: &str, credential: Option<Credential>) -> Application {
    let api = ApiDefinition {
        name: "Orders API".into(),
        target_url: Some(format!("https://{}.example.com/orders", name.to_lowercase())),
        ..ApiDefinition::default()
    };
    let bundle = Bundle {
        name: "Orders".into(),
        api_definitions: vec![api],
        default_instance_auth: credential.map(|credential| Auth { credential: Some(credential), ..Auth::default() }),
        ..Bundle::default()
    };
    Application { name: name.into(), bundles: vec![bundle], ..Application::default() }
}

/// Credentials with this password.
pub fn basic(password: &str) -> Credential {
    Credential::Basic { username: "user".into(), password: password.into() }
}

/// What the board says of the broker.
pub fn counts(status: &Status) -> BrokerStatus {
    status.broker.unwrap_or_default()
}

/// Whether that many bindings have their credentials, and nothing is under way.
pub fn has_ready(status: &Status, bindings: usize) -> bool {
    status.broker.is_some_and(|broker| broker.bindings == bindings && broker.under_way == 0)
}
