//! What the Director knows, and the changes that are made to it.

use std::{collections::HashSet, sync::Arc};

use crate::{
    Control, Generate,
    identity::canary,
    model::{Application, Credential, Model},
};

impl Control {
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
    #[expect(clippy::needless_pass_by_value, reason = "a plan is written where it is used, and used up")]
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
}

fn rotate(credential: &mut Credential) {
    match credential {
        Credential::Basic { password, .. } => *password = canary("password"),
        Credential::Oauth { client_secret, .. } => *client_secret = canary("client-secret"),
        Credential::CertificateOauth { client_id, .. } => *client_id = uuid::Uuid::new_v4().to_string(),
    }
}
