//! The ids in a path. They are the client's own, so whatever they are, they are only compared.

use std::str::FromStr;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;

use super::answer::{Fault, Word};
use crate::ids::{InvalidId, ServiceBindingId, ServiceInstanceId};

/// A service instance.
#[derive(Debug)]
pub(super) struct OfInstance(pub ServiceInstanceId);

/// A binding of a service instance.
#[derive(Debug)]
pub(super) struct OfBinding(pub ServiceInstanceId, pub ServiceBindingId);

/// An id that nothing here can have.
#[derive(Debug)]
pub(super) struct Impossible(String);

impl Impossible {
    /// For what cannot be made under it.
    pub(super) fn bad_request(self) -> Fault {
        Fault::bad_request(self.0)
    }

    /// For what cannot be found under it.
    pub(super) fn not_found(self) -> Fault {
        Fault::new(Word::NotFound, self.0)
    }

    /// For what is to go, and is not there.
    pub(super) fn gone(self) -> Fault {
        Fault::new(Word::Gone, self.0)
    }
}

async fn id<I: FromStr<Err = InvalidId>>(parts: &mut Parts, name: &str) -> Result<I, Impossible> {
    let parameters = RawPathParams::from_request_parts(parts, &()).await;
    let parameters = parameters.map_err(|_| Impossible("An id in the path is not UTF-8.".to_owned()))?;
    let text = parameters.iter().find(|(known, _)| *known == name).map(|(_, value)| value).unwrap_or_default();
    text.parse().map_err(|error| Impossible(format!("The path has no valid {name}: {error}.")))
}

impl<S: Send + Sync> FromRequestParts<S> for OfInstance {
    type Rejection = Impossible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Impossible> {
        Ok(Self(id(parts, "instance_id").await?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OfBinding {
    type Rejection = Impossible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Impossible> {
        Ok(Self(id(parts, "instance_id").await?, id(parts, "binding_id").await?))
    }
}

/// Where a handler gives no other answer, the request is at fault.
impl axum::response::IntoResponse for Impossible {
    fn into_response(self) -> axum::response::Response {
        self.bad_request().into_response()
    }
}
