//! One answer: whole, and of the types that were asked for, or a sentence that says why not.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::time::Duration;

use aws_lc_rs::digest;
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use zeroize::Zeroize;

use super::excerpt;
use super::fault::Fault;
use super::graphql_error::{Beside, GraphqlError};

/// How many steps of an error's path are shown. Ours have ten at the most.
const MOST_STEPS: usize = 16;

/// An answer as it came.
pub(super) struct Answer {
    pub status: u16,
    pub retry_after: Option<Duration>,
    pub bytes: Wiped,
}

/// Takes bytes for the body of an answer with this HTTP status.
///
/// # Errors
/// When it is none that can be used.
pub(crate) fn decode<T: DeserializeOwned>(status: u16, body: &[u8]) -> Result<T, Fault> {
    Answer { status, retry_after: None, bytes: Wiped(body.to_vec()) }.decode(&[])
}

/// Bytes of an answer. Those of the Director hold credentials, those of the Connector a token.
#[derive(Default)]
pub(super) struct Wiped(pub Vec<u8>);

// Without the bytes.
impl std::fmt::Debug for Wiped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl io::Write for Wiped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The SHA-256 of an answer's body: whoever remembers it knows the answer again, and remembers no credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AnswerSum([u8; 32]);

#[derive(Deserialize)]
struct Envelope<T> {
    data: Option<ByName<T>>,
    errors: Option<Vec<GraphqlError>>,
}

/// A JSON object. What serde derives takes a list as well, its members by their order, so that a list of lists passes for
/// an answer of which nothing but the form is asked.
pub(crate) struct ByName<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for ByName<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = ByName<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members)).map(ByName)
            }
        }

        deserializer.deserialize_map(Members(PhantomData))
    }
}

impl Beside {
    fn of<T>(envelope: &Envelope<T>) -> Self {
        if envelope.data.is_some() { Self::Data } else { Self::Nothing }
    }
}

impl Answer {
    /// The sum of the body.
    pub(super) fn sum(&self) -> AnswerSum {
        let mut sum = [0; 32];
        sum.copy_from_slice(digest::digest(&digest::SHA256, &self.bytes.0).as_ref());
        AnswerSum(sum)
    }

    /// The data, if the answer is whole and without errors. What is quoted of it goes without the `secrets`.
    pub(super) fn decode<T: DeserializeOwned>(&self, secrets: &[SecretString]) -> Result<T, Fault> {
        let quote = |text: &str| excerpt(text, &secrets.iter().collect::<Vec<_>>());
        // A query that does not fit the schema is answered with 422 and an ordinary GraphQL body.
        if !matches!(self.status, 200 | 422) {
            return Err(Fault::Status {
                code: self.status,
                retry_after: self.retry_after,
                excerpt: quote(&beginning(&self.bytes.0)),
            });
        }
        let whole = serde_json::from_slice::<Envelope<T>>(&self.bytes.0);
        let (errors, beside) = match &whole {
            Ok(envelope) => (envelope.errors.clone(), Beside::of(envelope)),
            // A null out of a failed resolver breaks the types; the entry in `errors` is the better explanation.
            Err(_) => serde_json::from_slice::<Envelope<IgnoredAny>>(&self.bytes.0)
                .map_or((None, Beside::Nothing), |envelope| (envelope.errors.clone(), Beside::of(&envelope))),
        };
        if let Some(mut errors) = errors.filter(|errors| !errors.is_empty()) {
            for error in &mut errors {
                error.beside = beside;
                error.message = quote(&error.message);
                error.path = error
                    .path
                    .take()
                    .map(|path| path.iter().take(MOST_STEPS).map(|step| fit_step(step, quote)).collect());
            }
            return Err(Fault::Graphql(errors));
        }
        if self.status != 200 {
            return Err(Fault::Status { code: self.status, retry_after: self.retry_after, excerpt: String::new() });
        }
        match whole {
            Ok(Envelope { data: Some(ByName(data)), .. }) => Ok(data),
            Ok(Envelope { data: None, .. }) => Err(Fault::NotGraphql("it has neither data nor errors".into())),
            Err(_) => Err(why_undecodable::<T>(&self.bytes.0, quote)),
        }
    }
}

/// Reads a bad answer a second time, slowly, to be able to name the place.
fn why_undecodable<T: DeserializeOwned>(bytes: &[u8], quote: impl Fn(&str) -> String) -> Fault {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    match serde_path_to_error::deserialize::<_, Envelope<T>>(&mut reader) {
        Ok(_) => Fault::NotGraphql("something follows the end of the JSON value".into()),
        Err(error) => {
            let path = error.path().to_string();
            let inner = error.into_inner();
            // serde's message for a wrong type quotes the value, and the value could be a credential.
            if inner.is_data() {
                Fault::Shape(quote(&format!("at {path}: {}", without_values(&inner.to_string()))))
            } else {
                Fault::NotGraphql(format!("it is not JSON from line {} on, column {}", inner.line(), inner.column()))
            }
        }
    }
}

/// A step of a path, fit for a line.
fn fit_step(step: &Value, quote: impl Fn(&str) -> String) -> Value {
    match step {
        Value::String(name) => Value::String(quote(name)),
        Value::Number(index) => Value::Number(index.clone()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Value::String("…".into()),
    }
}

/// The beginning of a body, for an excerpt; without the word that the cut goes through, for that could be half a secret,
/// which nothing recognises.
fn beginning(body: &[u8]) -> String {
    const ENOUGH: usize = 2048;
    let mut text = String::from_utf8_lossy(&body[..body.len().min(ENOUGH)]).into_owned();
    if body.len() > ENOUGH
        && let Some(end) = text.rfind(|c: char| c.is_whitespace() || c.is_control())
    {
        text.truncate(end);
    }
    text
}

/// Takes values out of serde's messages: `invalid type: string "…", expected a map`, ``invalid type: integer `…`, …``.
/// Between such marks in a message that something is missing, or comes twice, stands a name of ours.
fn without_values(message: &str) -> String {
    let ours = ["missing field", "duplicate field"].iter().any(|words| message.starts_with(words));
    let mut clean = String::new();
    let mut quoted = None;
    let mut escaped = false;
    for c in message.chars() {
        match quoted {
            Some(_) if escaped => escaped = false,
            Some('"') if c == '\\' => escaped = true,
            Some(mark) if c == mark => {
                quoted = None;
                clean.push(c);
            }
            Some(_) => {}
            None => {
                clean.push(c);
                if c == '"' || (c == '`' && !ours) {
                    quoted = Some(c);
                    clean.push('…');
                }
            }
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_is_looked_for_by_its_name_and_never_by_its_place() {
        #[derive(Deserialize, Debug)]
        struct Named {
            name: String,
        }
        let read = |json: &str| serde_json::from_str::<ByName<Named>>(json).map(|found| found.0.name);
        assert_eq!(read(r#"{"other":1,"name":"x"}"#).unwrap(), "x");
        for wrong in [r#"["x"]"#, "[[]]", "null", r#""x""#, "{}"] {
            read(wrong).unwrap_err();
        }
    }

    #[test]
    fn a_cut_goes_through_no_word() {
        assert_eq!(beginning(b"a canary-token"), "a canary-token");
        assert_eq!(beginning(format!("{}canary-token", "\u{a0}".repeat(1020)).as_bytes()).trim(), "");
        assert_eq!(beginning("x".repeat(3000).as_bytes()).len(), 2048);
    }

    #[test]
    fn a_message_about_a_wrong_type_does_not_quote_the_value() {
        let error = serde_json::from_str::<u8>(r#""canary-pass\"word""#).expect_err("a string is no number");
        assert_eq!(without_values(&error.to_string()), "invalid type: string \"…\", expected u8 at line 1 column 19");
    }

    #[test]
    fn a_secret_that_came_as_a_number_is_not_quoted_either_and_a_missing_field_is_named() {
        let message = |json: &str| without_values(&serde_json::from_str::<(String,)>(json).unwrap_err().to_string());
        assert_eq!(message("[4711]"), "invalid type: integer `…`, expected a string at line 1 column 5");
        assert_eq!(message("[47.11]"), "invalid type: floating point `…`, expected a string at line 1 column 6");
        #[derive(Deserialize, Debug)]
        struct Named {
            #[serde(rename = "password")]
            _password: String,
        }
        let missing = serde_json::from_str::<Named>("{}").unwrap_err().to_string();
        assert_eq!(without_values(&missing), "missing field `password` at line 1 column 2");
    }
}
