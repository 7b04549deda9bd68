//! The subject of a certificate, as the Connector writes it.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::{Ia5StringRef, PrintableStringRef, SetOfVec, Utf8StringRef};
use x509_cert::der::{Decode as _, Encode as _, Tag, Tagged as _};
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};

/// How long a subject may be, in bytes.
const MAX_SUBJECT: usize = 4096;

/// A distinguished name in the syntax of RFC 4514, with the parts in the order in which they are written.
///
/// RFC 4514 (section 2.1) writes the last part of the encoded name first. The Connector does not: it composes the text
/// part by part and compares the first value of each attribute, so the written order is what is encoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subject {
    text: String,
    name: Name,
}

/// Why a text is no subject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSubject {
    /// There is nothing in it.
    #[error("the subject is empty")]
    Empty,
    /// It is too long.
    #[error("the subject is longer than {MAX_SUBJECT} bytes")]
    TooLong,
    /// A part cannot be understood.
    #[error("the part \u{201c}{0}\u{201d} of the subject is not of the form TYPE=value (RFC 4514)")]
    Part(String),
}

impl Subject {
    /// The text as the Connector wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The encoded name.
    pub fn name(&self) -> &Name {
        &self.name
    }
}

impl FromStr for Subject {
    type Err = InvalidSubject;

    fn from_str(text: &str) -> Result<Self, InvalidSubject> {
        if text.trim().is_empty() {
            return Err(InvalidSubject::Empty);
        }
        if text.len() > MAX_SUBJECT {
            return Err(InvalidSubject::TooLong);
        }
        let parts = split(text, ',')
            .into_iter()
            .map(|part| {
                let values = split(part, '+').into_iter().map(attribute).collect::<Result<Vec<_>, _>>()?;
                let refuse = || InvalidSubject::Part(crate::transport::excerpt(part, &[]));
                let set = SetOfVec::try_from(values).map_err(|_| refuse())?;
                Ok(RelativeDistinguishedName::from(set))
            })
            .collect::<Result<Vec<_>, InvalidSubject>>()?;
        // There is no other way to a name from its parts: `Name::from_str` turns the order round.
        let encoded = RdnSequence::from(parts).to_der().map_err(|_| InvalidSubject::TooLong)?;
        let name = Name::from_der(&encoded).map_err(|_| InvalidSubject::TooLong)?;
        Ok(Self { text: text.to_owned(), name })
    }
}

impl TryFrom<String> for Subject {
    type Error = InvalidSubject;

    fn try_from(text: String) -> Result<Self, InvalidSubject> {
        text.parse()
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.text
    }
}

/// Splits at separators that are not escaped.
fn split(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut escaped = false;
    for (i, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == separator {
            parts.push(&text[start..i]);
            start = i + c.len_utf8();
        }
    }
    parts.push(&text[start..]);
    parts
}

fn attribute(part: &str) -> Result<AttributeTypeAndValue, InvalidSubject> {
    let refuse = || InvalidSubject::Part(crate::transport::excerpt(part, &[]));
    let (kind, value) = part.split_once('=').ok_or_else(refuse)?;
    // White space around a part is not of the value, unless it is escaped: "\ ".
    let mut value = value.trim_start();
    while value.ends_with(char::is_whitespace) && !ends_escaped(value) {
        value = &value[..value.len() - value.chars().next_back().map_or(0, char::len_utf8)];
    }
    let mut parsed = AttributeTypeAndValue::from_str(&format!("{}={value}", kind.trim())).map_err(|_| refuse())?;
    let well_formed = match parsed.value.tag() {
        Tag::PrintableString if PrintableStringRef::try_from(&parsed.value).is_err() => {
            // A country or serial number with other characters is better carried as UTF-8 than refused.
            parsed.value = x509_cert::der::Any::new(Tag::Utf8String, parsed.value.value()).map_err(|_| refuse())?;
            Utf8StringRef::try_from(&parsed.value).is_ok()
        }
        Tag::Ia5String => Ia5StringRef::try_from(&parsed.value).is_ok(),
        Tag::Utf8String => Utf8StringRef::try_from(&parsed.value).is_ok(),
        // Written as #hex: an encoded value of whatever type.
        _ => true,
    };
    if well_formed && !parsed.value.value().is_empty() { Ok(parsed) } else { Err(refuse()) }
}

/// Whether the last character of `text` is escaped: an odd number of backslashes stands before it.
fn ends_escaped(text: &str) -> bool {
    let before = &text[..text.len() - text.chars().next_back().map_or(0, char::len_utf8)];
    before.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}
