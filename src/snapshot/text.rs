//! The texts of specifications and documents: what a snapshot knows of them. The texts themselves lie in files.

use std::fmt;
use std::path::Path;

use aws_lc_rs::digest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::pack::{Packer, WithTexts};
use super::{ApiDefinition, Application, Bundle, Document, EventDefinition, Snapshot, Version};
use crate::disk::DiskError;
use crate::ids::{ApplicationId, BundleId, DefinitionId};

/// A SHA-256: of a text, whose file has this name, or of what a text belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256([u8; 32]);

/// A text that is not 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 has 64 lower-case hexadecimal digits")]
pub struct InvalidSha256;

impl Sha256 {
    /// What a finished computation gave.
    pub fn of(context: digest::Context) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.finish().as_ref());
        Self(bytes)
    }

    /// That of these bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(bytes);
        Self::of(context)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl TryFrom<String> for Sha256 {
    type Error = InvalidSha256;

    fn try_from(text: String) -> Result<Self, InvalidSha256> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(InvalidSha256),
        };
        let mut bytes = [0; 32];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != bytes.len() || !rest.is_empty() {
            return Err(InvalidSha256);
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(*high)? * 16 + digit(*low)?;
        }
        Ok(Self(bytes))
    }
}

impl From<Sha256> for String {
    fn from(sum: Sha256) -> String {
        sum.to_string()
    }
}

/// What was read of a text, once it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// What its owner was like then: the fingerprint of the definition or document. Another one means that the text
    /// may have changed with it.
    pub of: Sha256,
    /// The text, which lies in a file of this name; none where the plane had none.
    pub text: Option<Sha256>,
    /// When it was read.
    pub read_at: Timestamp,
}

/// What has a text of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TextKind {
    /// An API Definition, with its specification.
    Api,
    /// An Event Definition, with its specification.
    Event,
    /// A document.
    Document,
}

/// Where a text belongs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TextPlace {
    /// The application.
    pub application: ApplicationId,
    /// Its bundle.
    pub bundle: BundleId,
    /// What of the bundle.
    pub kind: TextKind,
    /// Which one.
    pub id: DefinitionId,
}

/// A text's place in a snapshot, to be filled in.
pub struct TextSlot<'a> {
    /// Where it belongs.
    pub place: TextPlace,
    /// What its owner is like now.
    pub fingerprint: Sha256,
    /// What was read.
    pub reading: &'a mut Option<Reading>,
}

impl Snapshot {
    /// Visits the place of each text that the plane has, or may have, application by application, and keeps what is put
    /// there. Blocks.
    ///
    /// # Errors
    /// When an application cannot be read or, where something was put there, written; the snapshot is then as before.
    pub fn visit_texts(&mut self, folder: &Path, mut visit: impl FnMut(TextSlot<'_>)) -> Result<(), DiskError> {
        let mut packer = Packer::in_folder(folder);
        for place in &self.places {
            let mut application = place.application()?;
            application.texts().for_each(&mut visit);
            packer.take(application, Some(place))?;
        }
        self.places = packer.finish()?;
        Ok(())
    }

    /// Whether a text was read of anything in it.
    pub fn has_texts(&self) -> bool {
        self.places.iter().any(|place| place.with_texts() == WithTexts::Some)
    }

    /// Forgets what was read of texts. Blocks.
    ///
    /// # Errors
    /// As those of [`Snapshot::visit_texts`].
    pub fn forget_texts(&mut self, folder: &Path) -> Result<(), DiskError> {
        if !self.has_texts() {
            return Ok(());
        }
        self.visit_texts(folder, |slot| *slot.reading = None)
    }
}

impl Application {
    /// What was read of each of its texts: no fingerprint is computed for that.
    pub fn readings(&mut self) -> impl Iterator<Item = &mut Option<Reading>> {
        self.bundles.iter_mut().flat_map(Bundle::readings)
    }

    /// The place of each of its texts.
    pub fn texts(&mut self) -> impl Iterator<Item = TextSlot<'_>> {
        let id = &self.id;
        self.bundles.iter_mut().flat_map(move |bundle| bundle.texts(id))
    }
}

impl Bundle {
    fn readings(&mut self) -> impl Iterator<Item = &mut Option<Reading>> {
        let apis = self.apis.iter_mut().filter_map(|api| api.specification.as_mut());
        let events = self.events.iter_mut().filter_map(|event| event.specification.as_mut());
        let documents = self.documents.iter_mut().map(|document| &mut document.reading);
        apis.chain(events).map(|specification| &mut specification.reading).chain(documents)
    }

    fn texts<'a>(&'a mut self, application: &'a ApplicationId) -> impl Iterator<Item = TextSlot<'a>> {
        let bundle = &self.id;
        let place = move |kind, id: &DefinitionId| TextPlace {
            application: application.clone(),
            bundle: bundle.clone(),
            kind,
            id: id.clone(),
        };
        let apis = self.apis.iter_mut().filter_map(move |api| {
            let fingerprint = of_api(api);
            let reading = &mut api.specification.as_mut()?.reading;
            Some(TextSlot { place: place(TextKind::Api, &api.id), fingerprint, reading })
        });
        let events = self.events.iter_mut().filter_map(move |event| {
            let fingerprint = of_event(event);
            let reading = &mut event.specification.as_mut()?.reading;
            Some(TextSlot { place: place(TextKind::Event, &event.id), fingerprint, reading })
        });
        let documents = self.documents.iter_mut().map(move |document| TextSlot {
            place: place(TextKind::Document, &document.id),
            fingerprint: of_document(document),
            reading: &mut document.reading,
        });
        apis.chain(events).chain(documents)
    }
}

/// A fingerprint in the making: each part with its length before it, so that no two lists of parts are alike.
struct Parts(digest::Context);

impl Parts {
    fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.0.update(&(text.len() as u64).to_be_bytes());
        self.0.update(text.as_bytes());
        self
    }

    fn maybe(&mut self, text: Option<&str>) -> &mut Self {
        self.0.update(&[u8::from(text.is_some())]);
        self.text(text.unwrap_or_default())
    }

    fn version(&mut self, version: Option<&Version>) -> &mut Self {
        let word = |flag: Option<bool>| flag.map(|flag| if flag { "true" } else { "false" });
        self.maybe(version.map(|version| &*version.value))
            .maybe(version.and_then(|version| word(version.deprecated)))
            .maybe(version.and_then(|version| version.deprecated_since.as_deref()))
            .maybe(version.and_then(|version| word(version.for_removal)))
    }

    fn finish(self) -> Sha256 {
        Sha256::of(self.0)
    }
}

/// What an API is like, as far as it is known without its text.
fn of_api(api: &ApiDefinition) -> Sha256 {
    let ApiDefinition { id, name, description, target_url, group, version, specification } = api;
    let mut parts = Parts::new();
    parts.text(id.as_str()).text(name).maybe(description.as_deref()).text(target_url).maybe(group.as_deref());
    parts.version(version.as_ref());
    if let Some(specification) = specification {
        parts.text(&specification.kind).text(&specification.format).maybe(specification.id.as_deref());
    }
    parts.finish()
}

/// What an event is like, as far as it is known without its text.
fn of_event(event: &EventDefinition) -> Sha256 {
    let EventDefinition { id, name, description, group, version, specification } = event;
    let mut parts = Parts::new();
    parts.text(id.as_str()).text(name).maybe(description.as_deref()).maybe(group.as_deref());
    parts.version(version.as_ref());
    if let Some(specification) = specification {
        parts.text(&specification.kind).text(&specification.format).maybe(specification.id.as_deref());
    }
    parts.finish()
}

/// What a document is like, as far as it is known without its text.
fn of_document(document: &Document) -> Sha256 {
    let Document { id, title, display_name, description, format, kind, reading: _ } = document;
    let mut parts = Parts::new();
    parts.text(id.as_str()).text(title).text(display_name).text(description).text(format).maybe(kind.as_deref());
    parts.finish()
}

#[cfg(test)]
mod tests {
    use super::super::{Specification, example};
    use super::*;

    #[test]
    fn every_text_has_a_reading_and_nothing_else_has() {
        let specification = || Some(Specification { id: None, kind: "".into(), format: "".into(), reading: None });
        let api = |id| example::api(id, "Orders", "https://example.com");
        let event = |id: &str| EventDefinition {
            id: id.parse().unwrap(),
            name: "Shipped".into(),
            description: None,
            group: None,
            version: None,
            specification: None,
        };
        let document = |id: &str| Document {
            id: id.parse().unwrap(),
            title: "Handbook".into(),
            display_name: "".into(),
            description: "".into(),
            format: "MARKDOWN".into(),
            kind: None,
            reading: None,
        };
        let bundle = |id| Bundle {
            apis: vec![api("1"), ApiDefinition { specification: specification(), ..api("2") }],
            events: vec![event("3"), EventDefinition { specification: specification(), ..event("4") }],
            documents: vec![document("5")],
            ..example::bundle(id, "Orders")
        };
        let shop = Application { bundles: vec![bundle("a"), bundle("b")], ..example::application("shop", "Shop") };
        let mut snapshot = Snapshot::new("r".parse().unwrap(), vec![shop]).unwrap();
        let (folder, before) = (tempfile::tempdir().unwrap(), snapshot.sum());
        let read = |slot: TextSlot<'_>| {
            *slot.reading = Some(Reading { of: slot.fingerprint, text: None, read_at: Timestamp::UNIX_EPOCH });
        };
        snapshot.visit_texts(folder.path(), read).unwrap();
        let read = snapshot.all().unwrap()[0].readings().filter(|reading| reading.is_some()).count();
        assert_eq!(read, 6);
        assert_ne!(snapshot.sum(), before);
        snapshot.forget_texts(folder.path()).unwrap();
        assert_eq!(snapshot.sum(), before);
        let mut texts = 0;
        snapshot.visit_texts(folder.path(), |slot| texts += usize::from(slot.reading.is_none())).unwrap();
        assert_eq!(texts, 6);
    }
}
