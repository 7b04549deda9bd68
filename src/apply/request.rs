//! What the daemon may ask of the applier: an event, and for a new configuration the number of its generation, and
//! whether a person asked.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::report::Refusal;
use crate::output::manifest::GenerationNumber;
use crate::transport::excerpt;

/// The version of the protocol, and of the document that hooks read.
pub const PROTOCOL_VERSION: u32 = 1;

/// What happened, in the one word that hooks get as their argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// The host has got its first identity.
    Paired,
    /// The identity was replaced by a newer one.
    Renewed,
    /// The identity ends soon, and could not be renewed yet.
    Expiring,
    /// The identity has ended.
    Expired,
    /// The plane refuses the identity.
    Rejected,
    /// The host has given its identity up.
    Unpaired,
    /// A new generation is current.
    ConfigChanged,
    /// A generation could not be applied.
    ApplyFailed,
}

impl Event {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Paired => "paired",
            Self::Renewed => "renewed",
            Self::Expiring => "expiring",
            Self::Expired => "expired",
            Self::Rejected => "rejected",
            Self::Unpaired => "unpaired",
            Self::ConfigChanged => "config-changed",
            Self::ApplyFailed => "apply-failed",
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An event that needs no generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Notice {
    /// See [`Event::Paired`].
    Paired,
    /// See [`Event::Renewed`].
    Renewed,
    /// See [`Event::Expiring`].
    Expiring,
    /// See [`Event::Expired`].
    Expired,
    /// See [`Event::Rejected`].
    Rejected,
    /// See [`Event::Unpaired`].
    Unpaired,
    /// See [`Event::ApplyFailed`].
    ApplyFailed,
}

impl From<Notice> for Event {
    fn from(notice: Notice) -> Self {
        match notice {
            Notice::Paired => Self::Paired,
            Notice::Renewed => Self::Renewed,
            Notice::Expiring => Self::Expiring,
            Notice::Expired => Self::Expired,
            Notice::Rejected => Self::Rejected,
            Notice::Unpaired => Self::Unpaired,
            Notice::ApplyFailed => Self::ApplyFailed,
        }
    }
}

/// Whether what was refused before is tried again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Attempt {
    /// Only once what it was made from has changed.
    #[default]
    Ordinary,
    /// It is, for a person asked.
    Again,
}

/// What the daemon asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Install the files of this generation's templates, and tell the hooks that it is current.
    ConfigChanged(GenerationNumber, Attempt),
    /// Tell the hooks that something else happened.
    Notice(Notice),
}

/// A request as it stands on the stream. Fields that this version does not know are refused, not ignored: who sends
/// them expects something of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(rename = "version")]
    _version: u32,
    event: Event,
    #[serde(default)]
    generation: Option<GenerationNumber>,
    #[serde(default)]
    again: bool,
}

/// What is read of a line first, for a later version may look different in all the rest.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// The event alone, to tell an unknown word from a broken line.
#[derive(Deserialize)]
struct Worded {
    event: String,
}

impl Request {
    /// The event that hooks are told.
    pub fn event(self) -> Event {
        match self {
            Self::ConfigChanged(..) => Event::ConfigChanged,
            Self::Notice(notice) => notice.into(),
        }
    }

    /// The generation that it is about.
    pub fn generation(self) -> Option<GenerationNumber> {
        match self {
            Self::ConfigChanged(generation, _) => Some(generation),
            Self::Notice(_) => None,
        }
    }

    /// The request's line, with its end.
    pub fn to_line(self) -> Vec<u8> {
        let generation = self.generation().map(|number| format!(r#","generation":{number}"#)).unwrap_or_default();
        // Left out where it says nothing new, so that an applier of an earlier version takes the line, too.
        let again = if matches!(self, Self::ConfigChanged(_, Attempt::Again)) { r#","again":true"# } else { "" };
        format!("{{\"version\":{PROTOCOL_VERSION},\"event\":\"{}\"{generation}{again}}}\n", self.event()).into_bytes()
    }

    /// Reads a line, without its end.
    ///
    /// # Errors
    /// When it is not exactly a request of this version; with the sentence for the answer.
    pub fn from_line(line: &[u8]) -> Result<Self, (Refusal, String)> {
        let malformed = |error: serde_json::Error| {
            (Refusal::Malformed, format!("the request is not understood: {}", excerpt(&error.to_string(), &[])))
        };
        let Versioned { version } = serde_json::from_slice(line).map_err(malformed)?;
        if version != PROTOCOL_VERSION {
            let sentence = format!(
                "the request is of version {version} and this applier knows only version {PROTOCOL_VERSION}; \
                 restart the daemon, so that both come from the same package"
            );
            return Err((Refusal::UnknownVersion, sentence));
        }
        let Worded { event } = serde_json::from_slice(line).map_err(malformed)?;
        if serde_json::from_value::<Event>(event.as_str().into()).is_err() {
            let sentence = format!("the event {:?} is not one that this applier knows", excerpt(&event, &[]));
            return Err((Refusal::UnknownEvent, sentence));
        }
        let Line { event, generation, again, .. } = serde_json::from_slice(line).map_err(malformed)?;
        let notice = match event {
            Event::ConfigChanged => {
                let attempt = if again { Attempt::Again } else { Attempt::Ordinary };
                return generation.map(|generation| Self::ConfigChanged(generation, attempt)).ok_or_else(|| {
                    (Refusal::Malformed, "the request for config-changed names no generation".to_owned())
                });
            }
            Event::Paired => Notice::Paired,
            Event::Renewed => Notice::Renewed,
            Event::Expiring => Notice::Expiring,
            Event::Expired => Notice::Expired,
            Event::Rejected => Notice::Rejected,
            Event::Unpaired => Notice::Unpaired,
            Event::ApplyFailed => Notice::ApplyFailed,
        };
        if again {
            return Err((
                Refusal::Malformed,
                format!("the request for {event} says `again`, which is for config-changed"),
            ));
        }
        if generation.is_some() {
            return Err((Refusal::Malformed, format!("the request for {event} names a generation, and takes none")));
        }
        Ok(Self::Notice(notice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> Refusal {
        Request::from_line(line.as_bytes()).unwrap_err().0
    }

    #[test]
    fn every_request_survives_the_stream() {
        let notices = [
            Notice::Paired,
            Notice::Renewed,
            Notice::Expiring,
            Notice::Expired,
            Notice::Rejected,
            Notice::Unpaired,
            Notice::ApplyFailed,
        ];
        let all = notices.into_iter().map(Request::Notice).chain([
            Request::ConfigChanged(GenerationNumber::FIRST, Attempt::Ordinary),
            Request::ConfigChanged(GenerationNumber::FIRST, Attempt::Again),
        ]);
        for request in all {
            let line = request.to_line();
            assert_eq!(Request::from_line(line.trim_ascii_end()), Ok(request));
            assert_eq!(serde_json::to_value(request.event()).unwrap(), request.event().as_str());
        }
        let line = Request::ConfigChanged(GenerationNumber::FIRST, Attempt::Ordinary).to_line();
        assert_eq!(line, b"{\"version\":1,\"event\":\"config-changed\",\"generation\":1}\n");
    }

    #[test]
    fn whatever_is_not_exactly_a_request_is_refused_with_its_reason() {
        assert_eq!(refused(r#"{"version":2,"event":"config-changed","plan":[]}"#), Refusal::UnknownVersion);
        assert_eq!(refused(r#"{"version":1,"event":"explode"}"#), Refusal::UnknownEvent);
        for malformed in [
            "",
            "null",
            "[1]",
            "{}",
            "GET / HTTP/1.1",
            r#"{"version":1}"#,
            r#"{"version":1,"event":7}"#,
            r#"{"version":1,"event":"config-changed"}"#,
            r#"{"version":1,"event":"config-changed","generation":0}"#,
            r#"{"version":1,"event":"config-changed","generation":-1}"#,
            r#"{"version":1,"event":"config-changed","generation":"../../etc"}"#,
            r#"{"version":1,"event":"config-changed","generation":99999999999999999999}"#,
            r#"{"version":1,"event":"config-changed","generation":1,"hooks":"/tmp"}"#,
            r#"{"version":1,"event":"config-changed","generation":1,"again":1}"#,
            r#"{"version":1,"event":"paired","again":true}"#,
            r#"{"version":1,"event":"paired","generation":1}"#,
            r#"{"version":1,"event":"paired","event":"paired"}"#,
            r#"{"version":1,"event":"paired"}{"version":1,"event":"paired"}"#,
        ] {
            assert_eq!(refused(malformed), Refusal::Malformed, "{malformed}");
        }
    }
}
