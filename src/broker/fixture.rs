//! Records for tests.

use jiff::Timestamp;

use super::record::{Binding, BindingKey, Instance, Offer, Operation, Phase, Promise, SecretText};
use crate::snapshot::Sha256;

/// A binding's key.
pub(crate) fn key(instance: &str, binding: &str) -> BindingKey {
    BindingKey { instance: instance.parse().unwrap(), binding: binding.parse().unwrap() }
}

/// An instance.
pub(crate) fn instance() -> Instance {
    Instance { offer: offer(), attributes: digest(), created_at: Timestamp::UNIX_EPOCH }
}

/// A binding that has just been asked for.
pub(crate) fn binding() -> Binding {
    Binding {
        offer: offer(),
        runtime: "runtime".parse().unwrap(),
        attributes: digest(),
        parameters: Some(SecretText::new("{\"a\":1}".into())),
        predecessor: None,
        created_at: Timestamp::UNIX_EPOCH,
        operation: Operation("operation".into()),
        phase: Phase::Asking { promise: Promise::Made },
    }
}

fn offer() -> Offer {
    Offer { service: "application".parse().unwrap(), plan: "bundle".parse().unwrap() }
}

fn digest() -> Sha256 {
    "0".repeat(64).try_into().unwrap()
}
