//! What drives a plane: everything that can be done to it while it runs.

mod auths;
mod content;
mod listing;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde_json::{Map, Value};

pub use auths::{HeldAuth, Verdict};

use crate::{
    Clock, Counters, Dialect, Error, Fault, KeyAlgorithm, Options, Refusal, Request, State, TokenForm,
    authority::ClientAuthority,
    model::{RUNTIME_SCOPES, Runtime, Status},
    plane::blocking,
    state::Shared,
};

/// What drives a plane.
#[derive(Clone)]
pub struct Control {
    shared: Arc<Shared>,
    tenant: Arc<str>,
    admin_url: Arc<str>,
}

impl Control {
    pub(crate) fn new(shared: Arc<Shared>, tenant: &str, admin_url: &str) -> Self {
        Self { shared, tenant: tenant.into(), admin_url: admin_url.into() }
    }

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

    /// By what the plane tells the time.
    pub fn clock(&self) -> Clock {
        self.shared.read(|state| state.options.clock.clone())
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
            status: Status { condition: "INITIAL".to_owned(), timestamp: self.clock().now().to_string() },
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
        self.shared.note(|state| state.log.requests.clear());
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
