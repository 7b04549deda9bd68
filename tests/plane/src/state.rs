//! The plane's whole state behind one lock, and the signal that it changed.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustls::server::danger::ClientCertVerifier;
use tokio::sync::watch;

use crate::{
    Error, Options,
    authority::{ClientAuthority, ServerCertificates},
    fault::Faults,
    identity::Identities,
    model::{Application, Auth, Credential, Model, Parameters},
    record::{Counters, Log, Request},
    serve::{Urls, kept::Answers, verifier},
};

/// Everything that changes while a plane runs.
pub struct State {
    /// What the Director knows.
    pub model: Model,
    /// What was chosen, and can be chosen anew.
    pub options: Options,
    /// How often anything changed that answers depend on.
    pub(crate) revision: u64,
    pub(crate) faults: Faults,
    pub(crate) log: Log,
    pub(crate) identities: Identities,
    pub(crate) secrets: BTreeSet<String>,
    pub(crate) authority: Arc<ClientAuthority>,
    pub(crate) former_authorities: Vec<Arc<ClientAuthority>>,
    pub(crate) verifier: Arc<dyn ClientCertVerifier>,
}

impl State {
    pub(crate) fn new(options: Options, authority: Arc<ClientAuthority>) -> Result<Self, Error> {
        Ok(Self {
            model: Model::default(),
            options,
            revision: 0,
            faults: Faults::default(),
            log: Log::default(),
            identities: Identities::default(),
            secrets: BTreeSet::new(),
            verifier: verifier::trusting(&[Arc::clone(&authority)])?,
            authority,
            former_authorities: Vec::new(),
        })
    }

    /// The requests that are remembered, oldest first.
    pub fn requests(&self) -> &[Request] {
        self.log.requests.as_slices().0
    }

    /// What was counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.log.counters
    }

    /// The faults that still wait.
    pub fn faults(&self) -> &[crate::Fault] {
        self.faults.list()
    }

    /// Remembers a request to which the answer is ready.
    pub(crate) fn note_answer(&mut self, request: Request, bound: usize) {
        let answered = self.options.clock.now().to_string();
        self.log.add(Request { answered, ..request }, bound);
    }

    /// Takes over a new issuing authority; the former one stays trusted.
    pub(crate) fn rotate(&mut self, authority: Arc<ClientAuthority>) -> Result<(), Error> {
        let former = std::mem::replace(&mut self.authority, authority);
        self.former_authorities.push(former);
        self.rebuild_verifier()
    }

    /// Trusts only the present authority.
    pub(crate) fn distrust_former(&mut self) -> Result<(), Error> {
        self.former_authorities.clear();
        self.rebuild_verifier()
    }

    fn rebuild_verifier(&mut self) -> Result<(), Error> {
        let mut trusted = vec![Arc::clone(&self.authority)];
        trusted.extend(self.former_authorities.iter().cloned());
        self.verifier = verifier::trusting(&trusted)?;
        Ok(())
    }

    /// Remembers the secrets in an application before they are handed out.
    pub(crate) fn note_secrets(&mut self, application: &Application) {
        for bundle in &application.bundles {
            let auths = bundle.instance_auths.iter().filter_map(|auth| auth.auth.as_ref());
            for auth in auths.chain(&bundle.default_instance_auth) {
                note_auth(&mut self.secrets, auth);
            }
        }
    }
}

fn note_auth(secrets: &mut BTreeSet<String>, auth: &Auth) {
    note_credential(secrets, auth.credential.as_ref());
    note_parameters(secrets, auth.additional_headers.as_ref());
    note_parameters(secrets, auth.additional_query_params.as_ref());
    if let Some(csrf) = auth.request_auth.as_ref().and_then(|request| request.csrf.as_ref()) {
        note_credential(secrets, csrf.credential.as_ref());
        note_parameters(secrets, csrf.additional_headers.as_ref());
        note_parameters(secrets, csrf.additional_query_params.as_ref());
    }
}

fn note_credential(secrets: &mut BTreeSet<String>, credential: Option<&Credential>) {
    match credential {
        Some(Credential::Basic { password, .. }) => secrets.insert(password.clone()),
        Some(Credential::Oauth { client_secret, .. }) => secrets.insert(client_secret.clone()),
        Some(Credential::CertificateOauth { .. }) | None => false,
    };
}

/// Header and query values can be anything; only those that say so are secrets.
fn note_parameters(secrets: &mut BTreeSet<String>, parameters: Option<&Parameters>) {
    let values = parameters.into_iter().flat_map(|parameters| parameters.values().flatten());
    secrets.extend(values.filter(|value| value.contains("canary-")).cloned());
}

/// What all parts of a plane share.
pub(crate) struct Shared {
    state: Mutex<State>,
    changes: watch::Sender<u64>,
    pub(crate) answers: Answers,
    pub(crate) server_certificates: ServerCertificates,
    pub(crate) urls: Urls,
}

impl Shared {
    pub(crate) fn new(state: State, server_certificates: ServerCertificates, urls: Urls) -> Self {
        Self {
            state: Mutex::new(state),
            changes: watch::Sender::new(0),
            answers: Answers::default(),
            server_certificates,
            urls,
        }
    }

    /// Looks at the state.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    /// Changes the state, and wakes all who wait for a change.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        self.note(|state| {
            state.revision += 1;
            change(state)
        })
    }

    /// Notes in the state what changes no answer, and wakes all who wait for a change.
    pub(crate) fn note<T>(&self, note: impl FnOnce(&mut State) -> T) -> T {
        let result = note(&mut self.lock());
        self.changes.send_modify(|version| *version += 1);
        result
    }

    /// Waits until the state is as it should be.
    pub(crate) async fn wait_until(&self, mut holds: impl FnMut(&State) -> bool) {
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            if self.read(&mut holds) {
                return;
            }
            // The sender lives as long as `self`.
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    // A panic under the lock is a failed assertion in a test's closure; the state itself stays whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
