//! A way to the decoder without a network, for whatever feeds it nonsense: a fuzzer, and the test that runs its corpus.

use super::paging::Walk;
use super::wire::{self, Identified, Page};
use super::{Viewer, convert, text};
use crate::ids::RuntimeId;
use crate::snapshot::{Snapshot, TextKind};
use crate::transport;

/// What an answer is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// A page of applications, with the first pages of what is in them.
    Applications,
    /// A page of one application's bundles.
    Bundles,
    /// A page of one bundle's API definitions.
    ApiDefinitions,
    /// A page of one bundle's event definitions.
    EventDefinitions,
    /// A page of one bundle's documents.
    Documents,
    /// The text of a specification.
    Specification,
    /// The text of a document.
    DocumentText,
    /// A page of ids.
    Ids,
    /// Who we are.
    Viewer,
    /// This runtime.
    Runtime,
    /// What became of a request for an instance auth.
    InstanceAuthCreation,
    /// What became of giving one back.
    InstanceAuthDeletion,
    /// One instance auth.
    InstanceAuth,
    /// All instance auths of one bundle.
    InstanceAuths,
}

impl Question {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Applications,
        Self::Bundles,
        Self::ApiDefinitions,
        Self::EventDefinitions,
        Self::Documents,
        Self::Specification,
        Self::DocumentText,
        Self::Ids,
        Self::Viewer,
        Self::Runtime,
        Self::InstanceAuthCreation,
        Self::InstanceAuthDeletion,
        Self::InstanceAuth,
        Self::InstanceAuths,
    ];
}

/// Takes `body` for the body of an answer to `question` with this HTTP status, as a poll would, and returns how many
/// things were in it. Nothing is asked of anybody.
///
/// # Errors
/// When a poll would fail with it: the words that are said of it.
pub fn take(question: Question, status: u16, body: &[u8], runtime: &RuntimeId) -> Result<usize, String> {
    match question {
        Question::Applications => {
            let answer: wire::OfRuntime<wire::Application> = decode(status, body)?;
            let applications = whole(answer.applications_for_runtime)?
                .into_iter()
                .map(|mut wire| {
                    let bundles = whole(wire.bundles.take())?.into_iter().map(|mut wire| {
                        let apis = whole(wire.api_definitions.take())?;
                        let events = whole(wire.event_definitions.take())?;
                        let documents = wire.documents.take().map_or(Ok(Vec::new()), whole)?;
                        Ok(convert::bundle(wire, apis, events, documents, runtime))
                    });
                    let bundles = bundles.collect::<Result<_, String>>()?;
                    Ok(convert::application(wire, bundles))
                })
                .collect::<Result<_, String>>()?;
            let snapshot = Snapshot::new(runtime.clone(), applications).map_err(|error| error.to_string())?;
            Ok(snapshot.len())
        }
        Question::Bundles => {
            let answer: wire::OfApplication<wire::Bundle> = decode(status, body)?;
            answer.application.map_or(Ok(0), |application| count(application.bundles))
        }
        Question::ApiDefinitions => definitions::<wire::ApiDefinition>(status, body),
        Question::EventDefinitions => definitions::<wire::EventDefinition>(status, body),
        Question::Documents => definitions::<wire::Document>(status, body),
        Question::Specification => text::probe(TextKind::Api, body),
        Question::DocumentText => text::probe(TextKind::Document, body),
        Question::Ids => {
            let answer: wire::OfRuntime<wire::Item> = decode(status, body)?;
            count(answer.applications_for_runtime)
        }
        Question::Viewer => {
            let answer: wire::ViewerAnswer = decode(status, body)?;
            Ok(Viewer::from(answer).id.len().min(1))
        }
        Question::Runtime => {
            let answer: wire::RuntimeAnswer = decode(status, body)?;
            Ok(usize::from(answer.runtime.is_some()))
        }
        Question::InstanceAuthCreation | Question::InstanceAuthDeletion => {
            let answer: wire::Requested = decode(status, body)?;
            Ok(convert::instance_auth(answer.requested).id.as_str().len().min(1))
        }
        Question::InstanceAuth => {
            let answer: wire::FoundAuth = decode(status, body)?;
            Ok(usize::from(answer.found.map(convert::instance_auth).is_some()))
        }
        Question::InstanceAuths => {
            let answer: wire::AuthsOfApplication = decode(status, body)?;
            let bundle = answer.application.and_then(|application| application.bundle);
            Ok(bundle.map_or(0, |bundle| convert::instance_auths(bundle.instance_auths, runtime).len()))
        }
    }
}

fn decode<T: serde::de::DeserializeOwned>(status: u16, body: &[u8]) -> Result<T, String> {
    transport::decode(status, body).map_err(|fault| fault.to_string())
}

fn definitions<T: serde::de::DeserializeOwned + Identified>(status: u16, body: &[u8]) -> Result<usize, String> {
    let answer: wire::OfBundle<T> = decode(status, body)?;
    let bundle = answer.application.and_then(|application| application.bundle);
    bundle.map_or(Ok(0), |bundle| count(bundle.definitions))
}

fn count<T: Identified>(page: Page<T>) -> Result<usize, String> {
    whole(page).map(|items| items.len())
}

/// The items of a page that can be the first of its list.
fn whole<T: Identified>(page: Page<T>) -> Result<Vec<T>, String> {
    Walk::default().take(page.data.iter().map(Identified::id), &page.place()).map_err(|drift| drift.to_string())?;
    Ok(page.data)
}
