//! Instance auths from the applications' side: who holds which, and how those that were asked answer.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    Answering, Control, Error, State,
    identity::canary,
    model::{Auth, Condition, Credential},
};

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

/// An instance auth that a runtime holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct HeldAuth {
    pub id: String,
    pub application: String,
    pub bundle: String,
    /// JSON, as text.
    pub context: Option<String>,
    pub condition: Condition,
}

impl Control {
    /// All instance auths of a runtime, whatever their condition, in the order of applications and bundles, and the
    /// oldest first: what nobody gave back is still there.
    pub fn instance_auths(&self, runtime: &str) -> Vec<HeldAuth> {
        self.shared.read(|state| {
            let applications = state.model.applications.values();
            let bundles = applications
                .flat_map(|application| application.bundles.iter().map(move |bundle| (application, bundle)));
            let all = bundles.flat_map(|(application, bundle)| {
                let own = bundle.instance_auths.iter().filter(|auth| auth.runtime_id.as_deref() == Some(runtime));
                own.map(move |auth| HeldAuth {
                    id: auth.id.clone(),
                    application: application.id.clone(),
                    bundle: bundle.id.clone(),
                    context: auth.context.clone(),
                    condition: auth.condition,
                })
            });
            all.collect()
        })
    }

    /// Answers for an application that was asked for credentials, or given them back.
    pub fn answer_instance_auth(&self, id: &str, verdict: Verdict) -> Result<(), Error> {
        self.shared.change(|state| state.answer(id, verdict))
    }
}

impl State {
    fn answer(&mut self, id: &str, verdict: Verdict) -> Result<(), Error> {
        let now = self.options.clock.now();
        let unknown = || Error::unknown("instance auth", id);
        let bundle = self.model.bundle_of_auth_mut(id).ok_or_else(unknown)?;
        let place = bundle.instance_auths.iter().position(|auth| auth.id == id).ok_or_else(unknown)?;
        let auth = &mut bundle.instance_auths[place];
        auth.timestamp = now.to_string();
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
        let application = self.model.instance_auth(id).map(|(application, ..)| Arc::clone(application));
        application.iter().for_each(|application| self.note_secrets(application));
        Ok(())
    }

    /// What applications that answer promptly have still to answer: the ids of instance auths, and the answers.
    pub(crate) fn unanswered(&self) -> Vec<(String, Verdict)> {
        if self.options.answering == Answering::ByHand {
            return Vec::new();
        }
        let bundles = self.model.applications.values().flat_map(|application| &application.bundles);
        let open = bundles.flat_map(|bundle| &bundle.instance_auths).filter_map(|auth| {
            let verdict = match auth.condition {
                Condition::Pending => Verdict::Grant { auth: Box::new(prompt()) },
                Condition::Unused => Verdict::Remove,
                Condition::Succeeded | Condition::Failed => return None,
            };
            Some((auth.id.clone(), verdict))
        });
        open.collect()
    }

    /// Lets applications answer.
    pub(crate) fn answer_all(&mut self, answers: Vec<(String, Verdict)>) {
        for (id, verdict) in answers {
            // Gone in the meantime: nobody waits for the answer.
            let _ = self.answer(&id, verdict);
        }
    }
}

fn prompt() -> Auth {
    let credential = Credential::Basic { username: "prompt".to_owned(), password: canary("password") };
    Auth { credential: Some(credential), ..Auth::default() }
}
