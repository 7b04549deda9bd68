//! Instance auths: asking for credentials of our own for a bundle, seeing what became of that, and giving them back.

pub(crate) mod confided;
mod refusal;

use secrecy::{ExposeSecret, SecretString};

use super::{Dialect, Director, convert, wire};
use crate::ids::{ApplicationId, BundleId, InstanceAuthId, RuntimeId};
use crate::snapshot::InstanceAuth;
use crate::transport::{CallError, Fault};

pub use refusal::{Outcome, Refusal, RefusalKind};

/// The plane's code for what is not there: NotFound.
const NOT_FOUND: i64 = 20;

/// How deep in an answer stands what was asked for by its own id: one instance auth, and a bundle in its application.
const ONE: usize = 1;
const IN_ITS_OWNER: usize = 2;

impl Director {
    /// Asks for an instance auth of `bundle`. Each call makes another one: whoever does not know what became of an
    /// earlier call looks for its `context` in [`instance_auths_of`](Self::instance_auths_of) before asking again.
    ///
    /// `context` and `input_params` are texts that contain JSON. The context can be read by everybody who may see the
    /// bundle; the parameters are secret, and their values are in no error, even if the plane repeats them.
    ///
    /// # Errors
    /// When no usable answer comes; [`Refusal::of`] tells what that means, and whether there may be an instance auth now.
    pub async fn request_instance_auth(
        &self,
        dialect: Dialect,
        bundle: &BundleId,
        context: &str,
        input_params: Option<&SecretString>,
    ) -> Result<InstanceAuth, CallError> {
        let graphql = self.brief.clone().confiding(input_params.map(confided::values).unwrap_or_default());
        let parameters = input_params.map(|parameters| parameters.expose_secret());
        let variables = wire::CreationVariables { bundle, context, parameters };
        let judge = |answer: wire::Requested| Ok(convert::instance_auth(answer.requested));
        graphql.call_then(dialect.queries().auth_creation, variables, judge).await
    }

    /// Gives an instance auth back. It is then [unused](crate::snapshot::Condition::Unused) until the application has
    /// revoked it, or gone at once; what is answered is how it was left.
    ///
    /// # Errors
    /// When no usable answer comes; [`RefusalKind::Missing`] says that there was none any more.
    pub async fn give_back_instance_auth(
        &self,
        dialect: Dialect,
        id: &InstanceAuthId,
    ) -> Result<InstanceAuth, CallError> {
        let judge = |answer: wire::Requested| that_one(convert::instance_auth(answer.requested), id);
        self.brief.call_then(dialect.queries().auth_deletion, wire::AuthVariables { auth: id }, judge).await
    }

    /// Looks at one instance auth; `None` if it is gone.
    ///
    /// # Errors
    /// When no usable answer comes.
    pub async fn instance_auth(
        &self,
        dialect: Dialect,
        id: &InstanceAuthId,
    ) -> Result<Option<InstanceAuth>, CallError> {
        let judge =
            |answer: wire::FoundAuth| answer.found.map(|found| that_one(convert::instance_auth(found), id)).transpose();
        let answer = self.brief.call_then(dialect.queries().auth, wire::AuthVariables { auth: id }, judge).await;
        unless_gone(answer, ONE)
    }

    /// Reads all instance auths of a bundle that are for `runtime`, in the order of their ids; `None` if the application
    /// or the bundle is gone, or not for this runtime any more.
    ///
    /// # Errors
    /// When no usable answer comes.
    pub async fn instance_auths_of(
        &self,
        dialect: Dialect,
        application: &ApplicationId,
        bundle: &BundleId,
        runtime: &RuntimeId,
    ) -> Result<Option<Vec<InstanceAuth>>, CallError> {
        let judge = |answer: wire::AuthsOfApplication| {
            let bundle = answer.application.and_then(|application| application.bundle);
            Ok(bundle.map(|bundle| convert::instance_auths(bundle.instance_auths, runtime)))
        };
        let variables = wire::AuthsVariables { application, bundle };
        unless_gone(self.graphql.call_then(dialect.queries().auths, variables, judge).await, IN_ITS_OWNER)
    }
}

/// Refuses an answer about another instance auth than was asked about: its credentials would be taken for those.
fn that_one(found: InstanceAuth, wanted: &InstanceAuthId) -> Result<InstanceAuth, Fault> {
    if found.id == *wanted {
        Ok(found)
    } else {
        Err(Fault::Shape(format!("it is about the instance auth {}, not about {wanted}", found.id)))
    }
}

/// What the plane says is not there is gone, if it says so of what was asked for, and not of something deeper, such as
/// the credentials of an instance auth that there is.
fn unless_gone<T>(answer: Result<Option<T>, CallError>, depth: usize) -> Result<Option<T>, CallError> {
    match answer {
        Err(CallError { fault: Fault::Graphql(errors), .. })
            if !errors.is_empty()
                && errors.iter().all(|error| error.error_code() == Some(NOT_FOUND) && error.depth() <= depth) =>
        {
            Ok(None)
        }
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(errors: &str) -> Result<Option<()>, CallError> {
        let fault = Fault::Graphql(serde_json::from_str(errors).unwrap());
        Err(CallError { operation: "InstanceAuth", host: "plane".into(), request_id: uuid::Uuid::nil(), fault })
    }

    #[test]
    fn only_what_was_asked_for_can_be_gone() {
        const GONE: &str = r#"{"message":"gone","path":["found"],"extensions":{"error_code":20}}"#;
        const DEEP: &str = r#"{"message":"gone","path":["found","auth"],"extensions":{"error_code":20}}"#;
        const OTHER: &str = r#"{"message":"no","path":["found"],"extensions":{"error_code":10}}"#;
        let gone = |errors: &str, depth| unless_gone(failed(errors), depth).is_ok_and(|found| found.is_none());
        assert!(gone(&format!("[{GONE}]"), ONE));
        assert!(gone(r#"[{"message":"gone","extensions":{"error_code":20}}]"#, ONE));
        assert!(gone(&format!("[{DEEP}]"), IN_ITS_OWNER));
        assert!(!gone(&format!("[{DEEP}]"), ONE));
        assert!(!gone(&format!("[{GONE},{OTHER}]"), ONE));
        assert!(!gone(&format!("[{OTHER}]"), ONE));
    }
}
