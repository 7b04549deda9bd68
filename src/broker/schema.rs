//! The schema of a binding's parameters: what of the application's own a platform can take.
//!
//! An Open Service Broker catalog wants of a schema that it says which JSON Schema it is written in, refers to nothing
//! outside of itself, and is not larger than 64 kB. An application's schema can be anything, and one that a platform
//! cannot take would have it refuse the whole catalog.

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::output::Sorted;

/// The largest schema, in bytes: 64 kB. Platforms that count 1024 for a kilobyte take it too.
pub const LARGEST: usize = 64_000;

/// How many levels of foreign JSON are shown, as objects and lists in one another. With those around it, the catalog stays
/// within the 64 that the strictest of the common parsers take.
pub(super) const DEEPEST: usize = 48;

/// What a schema is written in that does not say so.
const DRAFT: &str = "http://json-schema.org/draft-04/schema#";

/// Keywords whose value says where another schema is.
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

/// A schema that every platform takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema(Value);

/// Why a schema is not shown. What is in it is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeftOut {
    /// It is larger than [`LARGEST`].
    #[error("it is larger than the 64 kB that a catalog may hold")]
    TooLarge,
    /// It is no JSON, or more deeply nested than the parser goes.
    #[error("it is not JSON, or nested too deeply to be read")]
    NotJson,
    /// It is JSON, and not an object.
    #[error("it is not a JSON object")]
    NotAnObject,
    /// It is more deeply nested than what platforms read.
    #[error("it is nested more than {DEEPEST} levels deep")]
    TooDeep,
    /// It refers to what lies outside of it.
    #[error("it refers to another schema outside of itself, which a catalog may not")]
    ExternalReference,
}

impl LeftOut {
    /// The sentence for whoever misses the schema.
    pub fn sentence(self) -> String {
        format!(
            "The application's schema for the parameters of a binding is left out, because {self}. \
             Parameters are handed to the application as they are."
        )
    }
}

impl Schema {
    /// Reads the application's schema.
    ///
    /// # Errors
    /// When platforms could not take it.
    pub fn read(text: &str) -> Result<Self, LeftOut> {
        if text.len() > LARGEST {
            return Err(LeftOut::TooLarge);
        }
        let mut schema: Value = serde_json::from_str(text).map_err(|_| LeftOut::NotJson)?;
        if !fits(&schema) {
            return Err(LeftOut::TooDeep);
        }
        if refers_outside(&schema) {
            return Err(LeftOut::ExternalReference);
        }
        let members = schema.as_object_mut().ok_or(LeftOut::NotAnObject)?;
        if !members.get("$schema").is_some_and(Value::is_string) {
            members.insert("$schema".to_owned(), DRAFT.into());
        }
        // What counts is what is written, and numbers can grow when they are.
        if schema.to_string().len() > LARGEST {
            return Err(LeftOut::TooLarge);
        }
        Ok(Self(schema))
    }
}

impl Serialize for Schema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Sorted(&self.0).serialize(serializer)
    }
}

/// Whether foreign JSON is nested no more than [`DEEPEST`] levels deep.
pub(super) fn fits(value: &Value) -> bool {
    fn within(value: &Value, levels: usize) -> bool {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
            Value::Array(_) | Value::Object(_) if levels == 0 => false,
            Value::Array(list) => list.iter().all(|value| within(value, levels - 1)),
            Value::Object(members) => members.values().all(|value| within(value, levels - 1)),
        }
    }
    within(value, DEEPEST)
}

/// Whether something in it refers to what is outside. A reference inside an example counts as well: it is rare, and who
/// resolves references before anything else stumbles over it.
fn refers_outside(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        Value::Array(list) => list.iter().any(refers_outside),
        Value::Object(members) => members.iter().any(|(keyword, value)| match value {
            // A property can be called `$ref`; then its schema is no text.
            Value::String(target) => REFERENCES.contains(&keyword.as_str()) && !target.starts_with('#'),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                refers_outside(value)
            }
        }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(schema: &Value) -> Result<Value, LeftOut> {
        Schema::read(&schema.to_string()).map(|schema| schema.0)
    }

    fn nested(levels: usize) -> String {
        format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels))
    }

    #[test]
    fn a_schema_says_what_it_is_written_in() {
        assert_eq!(read(&json!({})), Ok(json!({ "$schema": DRAFT })));
        assert_eq!(
            read(&json!({ "$schema": null, "type": "object" })),
            Ok(json!({ "$schema": DRAFT, "type": "object" }))
        );
        let later = json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object" });
        assert_eq!(read(&later), Ok(later));
    }

    #[test]
    fn a_schema_may_refer_to_itself_only() {
        let inside = json!({
            "$schema": DRAFT,
            "properties": { "a": { "$ref": "#/definitions/a" }, "b": { "$ref": "#" }, "$ref": { "type": "string" } },
            "definitions": { "a": { "type": "string", "description": "see $ref: http://example.com" } },
        });
        assert_eq!(read(&inside), Ok(inside));
        for target in ["http://example.com/schema", "other.json#/a", "/a", "", "file:///etc/passwd", " #/a"] {
            for keyword in REFERENCES {
                let outside = json!({ "anyOf": [{ "items": { keyword: target } }] });
                assert_eq!(read(&outside), Err(LeftOut::ExternalReference), "{keyword} {target}");
            }
        }
        assert_eq!(read(&json!({ "$ref": "x" })), Err(LeftOut::ExternalReference));
    }

    #[test]
    fn what_is_no_schema_object_is_left_out() {
        for text in ["", "{", "{}{}", "nonsense", "{\"a\":1e999}", &nested(10_000)] {
            assert_eq!(Schema::read(text), Err(LeftOut::NotJson), "{text:.20}");
        }
        for value in [json!(null), json!(true), json!([]), json!("{}"), json!(7)] {
            assert_eq!(read(&value), Err(LeftOut::NotAnObject));
        }
    }

    #[test]
    fn a_schema_is_no_larger_and_no_deeper_than_platforms_take() {
        assert!(Schema::read(&nested(DEEPEST)).is_ok());
        assert_eq!(Schema::read(&nested(DEEPEST + 1)), Err(LeftOut::TooDeep));
        let sized = |bytes: usize| {
            let empty = json!({ "$schema": DRAFT, "title": "" }).to_string().len();
            read(&json!({ "$schema": DRAFT, "title": "x".repeat(bytes - empty) }))
        };
        assert!(sized(LARGEST).is_ok());
        assert_eq!(sized(LARGEST + 1), Err(LeftOut::TooLarge));
        assert_eq!(read(&json!({ "title": "x".repeat(LARGEST - 12) })), Err(LeftOut::TooLarge), "with what is added");
        assert_eq!(Schema::read(&" ".repeat(200_000)), Err(LeftOut::TooLarge));
    }

    #[test]
    fn the_reason_does_not_repeat_the_schema() {
        let sentence = Schema::read("{\"canary").unwrap_err().sentence();
        assert!(sentence.contains("not JSON") && !sentence.contains("canary"), "{sentence}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_left_out(text in ".{0,60}|[{}\\[\\]\":,a1$ ]{0,20}") {
            if let Ok(schema) = Schema::read(&text) {
                prop_assert!(schema.0["$schema"].is_string());
                let again = Schema::read(&schema.0.to_string());
                prop_assert_eq!(again, Ok(schema));
            }
        }
    }
}
