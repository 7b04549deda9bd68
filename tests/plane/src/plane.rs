//! A running plane, and all that can be done to it from within the same process.

use std::{
    collections::{BTreeSet, HashSet},
    ops::Deref,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::task::JoinSet;

use crate::{
    Counters, Dialect, Error, Fault, Generate, KeyAlgorithm, Options, Refusal, Request, State, TokenForm,
    authority::{ClientAuthority, ServerCertificates},
    identity::canary,
    model::{Application, Auth, Condition, Credential, Model, RUNTIME_SCOPES, Runtime, Status},
    schema::Schemas,
    serve::{self, Listeners},
    state::Shared,
};

/// A running plane; dropping it ends it, with all its connections.
pub struct Plane {
    control: Control,
    _tasks: JoinSet<()>,
}

impl Plane {
    /// Starts a plane; its three endpoints and its administration listen when this returns.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let listeners = Listeners::bind(&options).await?;
        let (authority, servers) = blocking(|| Ok((ClientAuthority::new()?, ServerCertificates::new()?))).await?;
        let tenant = uuid::Uuid::new_v4().to_string();
        let mut state = State::new(options, Arc::new(authority))?;
        state.model.tenants.insert(tenant.clone());
        let admin_url = listeners.admin.local_addr().map(|address| format!("http://{address}"));
        let admin_url = admin_url.map_err(Error::io("A socket has no address"))?;
        let shared = Arc::new(Shared::new(state, servers, listeners.urls.clone()));
        let control = Control { shared: Arc::clone(&shared), tenant: tenant.into(), admin_url: admin_url.into() };
        let mut tasks = JoinSet::new();
        let _admin = serve::serve(&mut tasks, listeners, &shared, &Arc::new(Schemas::new()?))?;
        Ok(Self { control, _tasks: tasks })
    }

    /// What drives this plane; it can be cloned and does not keep it alive.
    pub fn control(&self) -> Control {
        self.control.clone()
    }
}

impl Deref for Plane {
    type Target = Control;

    fn deref(&self) -> &Control {
        &self.control
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Error::Certificates(error.to_string())),
    }
}

/// How an application answers a request for credentials.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// With credentials.
    Grant {
        /// The credentials.
        auth: Box<Auth>,
    },
    /// With a refusal.
    Refuse {
        /// Why.
        message: String,
    },
    /// By taking them back: the instance auth is gone.
    Remove,
}

/// What drives a plane.
#[derive(Clone)]
pub struct Control {
    shared: Arc<Shared>,
    tenant: Arc<str>,
    admin_url: Arc<str>,
}

impl Control {
    /// The Connector's URL for hosts with a token.
    pub fn connector_url(&self) -> String {
        self.shared.urls.connector.clone()
    }

    /// The Connector's URL for hosts with a certificate.
    pub fn secured_connector_url(&self) -> String {
        self.shared.urls.secured_connector.clone()
    }

    /// The Director's URL.
    pub fn director_url(&self) -> String {
        self.shared.urls.director.clone()
    }

    /// The URL of the administration.
    pub fn admin_url(&self) -> String {
        self.admin_url.to_string()
    }

    /// The authority of the servers' certificates, as PEM.
    pub fn server_ca_pem(&self) -> String {
        self.shared.server_certificates.ca_pem.clone()
    }

    /// The tenant to which runtimes belong unless it is said otherwise.
    pub fn tenant(&self) -> String {
        self.tenant.to_string()
    }

    /// Registers a runtime and tells its id.
    pub fn register_runtime(&self, name: &str) -> String {
        let id = uuid::Uuid::new_v4().to_string();
        let labels = serde_json::json!({ "isNormalized": "true", "scenarios": ["DEFAULT"] });
        let runtime = Runtime {
            id: id.clone(),
            name: name.to_owned(),
            description: None,
            tenant: self.tenant(),
            labels: labels.as_object().cloned().unwrap_or_default(),
            status: Status { condition: "INITIAL".to_owned(), timestamp: Timestamp::now().to_string() },
            scopes: RUNTIME_SCOPES.map(str::to_owned).into(),
            formation: None,
        };
        self.shared.change(|state| state.model.runtimes.insert(id.clone(), runtime));
        id
    }

    /// Removes a runtime; its certificates are then no longer recognised.
    pub fn remove_runtime(&self, runtime: &str) -> bool {
        self.shared.change(|state| state.model.runtimes.remove(runtime).is_some())
    }

    /// Gives a runtime a set of applications that it may see, instead of all.
    pub fn set_formation(&self, runtime: &str, applications: Option<BTreeSet<String>>) -> Result<(), Error> {
        self.with_runtime(runtime, |runtime| runtime.formation = applications)
    }

    /// Sets what a runtime may do.
    pub fn set_scopes(&self, runtime: &str, scopes: &[&str]) -> Result<(), Error> {
        self.with_runtime(runtime, |runtime| runtime.scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect())
    }

    /// Sets a label of a runtime.
    pub fn set_runtime_label(&self, runtime: &str, key: &str, value: Value) -> Result<(), Error> {
        self.with_runtime(runtime, |runtime| {
            runtime.labels.insert(key.to_owned(), value);
        })
    }

    fn with_runtime(&self, runtime: &str, change: impl FnOnce(&mut Runtime)) -> Result<(), Error> {
        self.shared.change(|state| {
            let found = state.model.runtimes.get_mut(runtime).ok_or_else(|| Error::unknown("runtime", runtime))?;
            change(found);
            Ok(())
        })
    }

    /// The labels of a runtime; empty if there is no such runtime.
    pub fn runtime_labels(&self, runtime: &str) -> Map<String, Value> {
        let labels = |state: &State| Some(state.model.runtimes.get(runtime)?.labels.clone());
        self.shared.read(labels).unwrap_or_default()
    }

    /// Makes a one-time token with the usual life: the content of the file that is handed to the host.
    ///
    /// # Panics
    ///
    /// If there is no such runtime: a mistake of the test that asks.
    pub fn mint_token(&self, runtime: &str, form: TokenForm) -> String {
        let lifetime = self.shared.read(|state| state.options.token_lifetime);
        self.mint_token_for(runtime, form, lifetime).expect("a token is only made for a registered runtime")
    }

    /// Makes a one-time token that lives so long.
    pub fn mint_token_for(&self, runtime: &str, form: TokenForm, lifetime: Duration) -> Result<String, Error> {
        let connector = self.connector_url();
        self.shared.change(|state| state.mint(runtime, form, lifetime, &connector))
    }

    /// Adds or replaces an application, and tells its id.
    pub fn put_application(&self, application: Application) -> String {
        self.shared.change(|state| {
            state.note_secrets(&application);
            state.model.put(application)
        })
    }

    /// Removes an application; whether there was one.
    pub fn delete_application(&self, id: &str) -> bool {
        self.shared.change(|state| state.model.applications.remove(id).is_some())
    }

    /// Adds generated applications, and tells their ids in the order of their making.
    pub fn generate(&self, plan: Generate) -> Vec<String> {
        let applications = plan.make();
        self.shared.change(|state| {
            let put = applications.into_iter().map(|application| {
                state.note_secrets(&application);
                state.model.put(application)
            });
            put.collect()
        })
    }

    /// All applications in order of their ids, as a snapshot that shares their content.
    pub fn applications(&self) -> Vec<Arc<Application>> {
        self.shared.read(|state| state.model.applications.values().cloned().collect())
    }

    /// Changes anything that the Director knows.
    pub fn edit<T>(&self, change: impl FnOnce(&mut Model) -> T) -> T {
        self.shared.change(|state| {
            // Holding on to what was there makes every changed application a new allocation.
            let before: Vec<Arc<Application>> = state.model.applications.values().cloned().collect();
            let known: HashSet<*const Application> = before.iter().map(Arc::as_ptr).collect();
            let result = change(&mut state.model);
            let changed = state.model.applications.values().filter(|now| !known.contains(&Arc::as_ptr(now)));
            let changed: Vec<Arc<Application>> = changed.cloned().collect();
            changed.iter().for_each(|application| state.note_secrets(application));
            result
        })
    }

    /// Gives every credential of an application a new secret; whether there is such an application.
    pub fn rotate_credentials(&self, id: &str) -> bool {
        self.shared.change(|state| {
            let Some(application) = state.model.application_mut(id) else { return false };
            for bundle in &mut application.bundles {
                let auths = bundle.instance_auths.iter_mut().filter_map(|auth| auth.auth.as_mut());
                for auth in auths.chain(&mut bundle.default_instance_auth) {
                    auth.credential.iter_mut().for_each(rotate);
                }
            }
            let application = application.clone();
            state.note_secrets(&application);
            true
        })
    }

    /// Answers for an application that was asked for credentials.
    pub fn answer_instance_auth(&self, id: &str, verdict: Verdict) -> Result<(), Error> {
        self.shared.change(|state| {
            let unknown = || Error::unknown("instance auth", id);
            let bundle = state.model.bundle_of_auth_mut(id).ok_or_else(unknown)?;
            let place = bundle.instance_auths.iter().position(|auth| auth.id == id).ok_or_else(unknown)?;
            let auth = &mut bundle.instance_auths[place];
            auth.timestamp = Timestamp::now().to_string();
            match verdict {
                Verdict::Grant { auth: granted } => {
                    auth.auth = Some(*granted);
                    auth.condition = Condition::Succeeded;
                    auth.reason = "CredentialsProvided".to_owned();
                    auth.message = "Credentials were provided.".to_owned();
                }
                Verdict::Refuse { message } => {
                    auth.auth = None;
                    auth.condition = Condition::Failed;
                    auth.reason = "CredentialsNotProvided".to_owned();
                    auth.message = message;
                }
                Verdict::Remove => {
                    bundle.instance_auths.remove(place);
                    return Ok(());
                }
            }
            let application = state.model.instance_auth(id).map(|(application, ..)| Arc::clone(application));
            application.iter().for_each(|application| state.note_secrets(application));
            Ok(())
        })
    }

    /// Lets something go wrong.
    pub fn fault(&self, fault: Fault) {
        self.shared.change(|state| state.faults.add(fault));
    }

    /// Lets nothing go wrong any more.
    pub fn clear_faults(&self) {
        self.shared.change(|state| state.faults.clear());
    }

    /// The requests that are remembered, oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.read(|state| state.requests().to_vec())
    }

    /// Forgets the requests; counters go on.
    pub fn clear_requests(&self) {
        self.shared.change(|state| state.log.requests.clear());
    }

    /// What was counted since the start.
    pub fn counters(&self) -> Counters {
        self.shared.read(|state| state.counters().clone())
    }

    /// Waits until the state is as it should be; it is looked at after every change.
    pub async fn wait_until(&self, holds: impl FnMut(&State) -> bool) {
        self.shared.wait_until(holds).await;
    }

    /// Waits until the requests are as they should be.
    pub async fn wait_for(&self, mut holds: impl FnMut(&[Request]) -> bool) {
        self.shared.wait_until(|state| holds(state.requests())).await;
    }

    /// Looks at the whole state.
    pub fn inspect<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        self.shared.read(look)
    }

    /// Revokes all certificates of a runtime, and tells how many.
    pub fn revoke(&self, runtime: &str) -> usize {
        self.shared.change(|state| state.revoke_runtime(runtime))
    }

    /// Lets all tokens of a runtime expire, and tells how many.
    pub fn expire_tokens(&self, runtime: &str) -> usize {
        self.shared.change(|state| state.expire_tokens(runtime))
    }

    /// Changes the options; what concerns sockets and TLS sessions stays as it was at the start.
    pub fn configure(&self, change: impl FnOnce(&mut Options)) {
        self.shared.change(|state| change(&mut state.options));
    }

    /// Sets the life of the certificates that are issued from now on.
    pub fn set_certificate_lifetime(&self, lifetime: Duration) {
        self.configure(|options| options.certificate_lifetime = lifetime);
    }

    /// Sets the life of the tokens that are made from now on.
    pub fn set_token_lifetimes(&self, first: Duration, follow_up: Duration) {
        self.configure(|options| {
            options.token_lifetime = first;
            options.follow_up_lifetime = follow_up;
        });
    }

    /// Sets the key algorithm that is announced and accepted.
    pub fn set_key_algorithm(&self, algorithm: KeyAlgorithm) {
        self.configure(|options| options.key_algorithm = algorithm);
    }

    /// Sets the words in which the Director speaks.
    pub fn set_dialect(&self, dialect: Dialect) {
        self.configure(|options| options.dialect = dialect);
    }

    /// Sets how certificates are turned away.
    pub fn set_refusals(&self, untrusted: Refusal, revoked: Refusal) {
        self.configure(|options| {
            options.untrusted = untrusted;
            options.revoked = revoked;
        });
    }

    /// Issues from a new authority from now on; certificates of the former ones stay trusted.
    pub async fn rotate_client_ca(&self) -> Result<(), Error> {
        let authority = blocking(ClientAuthority::new).await?;
        self.shared.change(|state| state.rotate(Arc::new(authority)))
    }

    /// Trusts only certificates of the present authority.
    pub fn distrust_former_client_cas(&self) -> Result<(), Error> {
        self.shared.change(State::distrust_former)
    }

    /// Every secret value that was ever handed out, or could have been: tokens, passwords, client secrets, header secrets.
    pub fn canaries(&self) -> Vec<String> {
        self.shared.read(|state| state.secrets.iter().cloned().collect())
    }
}

fn rotate(credential: &mut Credential) {
    match credential {
        Credential::Basic { password, .. } => *password = canary("password"),
        Credential::Oauth { client_secret, .. } => *client_secret = canary("client-secret"),
        Credential::CertificateOauth { client_id, .. } => *client_id = uuid::Uuid::new_v4().to_string(),
    }
}
