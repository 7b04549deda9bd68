//! One request to the plane for one binding, and its answer as far as it matters here.

use secrecy::SecretString;
use serde_json::json;

use crate::broker::{
    Api, BindingKey, Credentials, Endpoint, Heard, Offer, SecretText, Seen, SeenState, Sight, Step, endpoints,
};
use crate::director::{Dialect, Director, Refusal, confided};
use crate::ids::{InstanceAuthId, RuntimeId};
use crate::snapshot::{Condition, InstanceAuth};
use crate::transport::excerpt;

/// What a request is made for.
#[derive(Debug, Clone)]
pub(super) struct Errand {
    /// The way to the plane.
    pub(super) director: Director,
    /// How it speaks.
    pub(super) dialect: Dialect,
    /// This runtime.
    pub(super) runtime: RuntimeId,
    /// The binding.
    pub(super) key: BindingKey,
    /// What is bound.
    pub(super) offer: Offer,
    /// The parameters for the application.
    pub(super) parameters: Option<SecretText>,
    /// The APIs that the credentials are for.
    pub(super) apis: Vec<Api>,
}

impl Errand {
    /// Makes the request.
    pub(super) async fn run(self, step: Step) -> Heard {
        let Self { director, dialect, offer, apis, .. } = &self;
        let confided = confided(self.parameters.as_ref());
        let seen = |auth: &InstanceAuth| see(auth, apis, &confided);
        match step {
            Step::Ask => {
                let parameters = self.parameters.as_ref().map(|text| SecretString::from(text.expose()));
                let context = self.context();
                let asked = director.request_instance_auth(*dialect, &offer.plan, &context, parameters.as_ref()).await;
                Heard::Asked(asked.as_ref().map(seen).map_err(Refusal::of))
            }
            Step::Look => {
                let found = director.instance_auths_of(*dialect, &offer.service, &offer.plan, &self.runtime).await;
                let sight = |found: Option<Vec<InstanceAuth>>| match found {
                    None => Sight::Hidden,
                    Some(found) => self.ours(found).as_ref().map(seen).map_or(Sight::Nothing, Sight::Found),
                };
                Heard::Looked(found.map(sight).map_err(|error| Refusal::of(&error)))
            }
            Step::See(auth) => look_at(director, *dialect, &auth, seen).await,
            Step::GiveBack(auth) => give_back(director, *dialect, &auth, seen).await,
        }
    }

    /// By what the plane's instance auths are told apart: a flat object of texts.
    fn context(&self) -> String {
        json!({
            "instance_id": self.key.instance,
            "binding_id": self.key.binding,
            "runtime_id": self.runtime,
        })
        .to_string()
    }

    /// The one that was asked for this binding; of several, the one that is best to have. The others are told as orphans.
    fn ours(&self, found: Vec<InstanceAuth>) -> Option<InstanceAuth> {
        let ours = |auth: &InstanceAuth| auth.binding().is_some_and(|context| self.key.is_meant_by(&context));
        found.into_iter().filter(ours).min_by_key(|auth| match auth.condition {
            Condition::Succeeded => 0,
            Condition::Pending | Condition::Other(_) => 1,
            Condition::Failed => 2,
            Condition::Unused => 3,
        })
    }
}

/// Asks what has become of an instance auth.
pub(super) async fn look_at(
    director: &Director,
    dialect: Dialect,
    auth: &InstanceAuthId,
    see: impl Fn(&InstanceAuth) -> Seen,
) -> Heard {
    let found = director.instance_auth(dialect, auth).await;
    Heard::Saw(found.map(|found| found.as_ref().map(see)).map_err(|error| Refusal::of(&error)))
}

/// Asks for an instance auth to be taken back.
pub(super) async fn give_back(
    director: &Director,
    dialect: Dialect,
    auth: &InstanceAuthId,
    see: impl Fn(&InstanceAuth) -> Seen,
) -> Heard {
    let given = director.give_back_instance_auth(dialect, auth).await;
    Heard::GaveBack(given.as_ref().map(see).map_err(Refusal::of))
}

/// What an application was told in confidence, and may repeat where it says why it refuses.
pub(super) fn confided(parameters: Option<&SecretText>) -> Vec<SecretString> {
    parameters.map(|text| confided::values(&SecretString::from(text.expose()))).unwrap_or_default()
}

/// What an instance auth is worth to a binding.
pub(super) fn see(auth: &InstanceAuth, apis: &[Api], confided: &[SecretString]) -> Seen {
    let state = match &auth.condition {
        // A word that came later is none that ends the wait.
        Condition::Pending | Condition::Other(_) => SeenState::Pending,
        Condition::Failed => {
            let why = auth.message.as_deref().unwrap_or("no reason is given");
            let why = excerpt(why, &confided.iter().collect::<Vec<_>>());
            SeenState::Failed(format!("the application refused them: {why}").into())
        }
        Condition::Unused => SeenState::Unused,
        Condition::Succeeded => match &auth.auth {
            None => SeenState::Withheld,
            Some(given) => match Credentials::new(&auth.id, Some(given), apis) {
                Ok(credentials) => SeenState::Given(body(&credentials, &endpoints(apis))),
                Err(error) => SeenState::Failed(error.to_string().into()),
            },
        },
    };
    Seen { auth: auth.id.clone(), state }
}

fn body(credentials: &Credentials, endpoints: &[Endpoint]) -> SecretText {
    // What serde wrote is UTF-8.
    SecretText::new(String::from_utf8_lossy(&credentials.body(endpoints)).into_owned())
}
