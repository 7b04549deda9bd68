//! Whether two requests say the same: the digest of what they say, whatever the order in which they say it.

use aws_lc_rs::digest;
use serde_json::{Map, Value};

use crate::snapshot::Sha256;

/// The digest of those of the fields that are in `names`. One that is null is as good as none.
pub(super) fn digest(fields: &Map<String, Value>, names: &[&str]) -> Sha256 {
    let mut text = String::new();
    let known = fields.iter().filter(|(name, value)| names.contains(&name.as_str()) && !value.is_null());
    object(known, &mut text);
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(text.as_bytes());
    Sha256::of(context)
}

/// Writes JSON in its only form: without white space, and with the keys in their order. How deep it goes, the parser has
/// bounded.
fn canonical(value: &Value, into: &mut String) {
    match value {
        Value::Object(fields) => object(fields.iter(), into),
        Value::Array(values) => {
            into.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    into.push(',');
                }
                canonical(value, into);
            }
            into.push(']');
        }
        // Nothing in them can be written in two ways.
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => into.push_str(&value.to_string()),
    }
}

fn object<'a>(fields: impl Iterator<Item = (&'a String, &'a Value)>, into: &mut String) {
    let mut fields: Vec<_> = fields.collect();
    fields.sort_by_key(|(name, _)| *name);
    into.push('{');
    for (index, (name, value)) in fields.into_iter().enumerate() {
        if index > 0 {
            into.push(',');
        }
        into.push_str(&Value::from(name.as_str()).to_string());
        into.push(':');
        canonical(value, into);
    }
    into.push('}');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 3] = ["context", "parameters", "plan_id"];

    fn of(text: &str) -> Sha256 {
        digest(&serde_json::from_str(text).unwrap(), &NAMES)
    }

    #[test]
    fn the_order_of_keys_white_space_and_what_nobody_knows_do_not_matter() {
        let one = of(r#"{"plan_id":"p","parameters":{"a":1,"b":[{"c":2,"d":null}]}}"#);
        for same in [
            r#"{ "parameters": {"b":[{"d":null, "c":2}], "a": 1}, "plan_id": "p" }"#,
            r#"{"plan_id":"\u0070","parameters":{"a":1,"b":[{"c":2,"d":null}]},"context":null}"#,
            r#"{"plan_id":"p","parameters":{"a":1,"b":[{"c":2,"d":null}]},"later":true}"#,
        ] {
            assert_eq!(of(same), one, "{same}");
        }
    }

    #[test]
    fn all_else_does() {
        let texts = [
            r#"{"plan_id":"p","parameters":{"a":1,"b":[1,2]}}"#,
            r#"{"plan_id":"p","parameters":{"a":1,"b":[2,1]}}"#,
            r#"{"plan_id":"p","parameters":{"a":"1","b":[1,2]}}"#,
            r#"{"plan_id":"p","parameters":{"a":1,"b":[1,2],"c":null}}"#,
            r#"{"plan_id":"p","context":{"a":1,"b":[1,2]}}"#,
            r#"{"plan_id":"q","parameters":{"a":1,"b":[1,2]}}"#,
            r#"{"plan_id":"p","parameters":{}}"#,
            r#"{"plan_id":"p"}"#,
            r#"{}"#,
        ];
        let digests: std::collections::BTreeSet<_> = texts.iter().map(|text| of(text).to_string()).collect();
        assert_eq!(digests.len(), texts.len());
    }

    proptest! {
        #[test]
        fn what_is_written_says_what_was_read(keys in prop::collection::vec("[a-c\"\\\\\n]{0,3}", 0..6)) {
            let fields: Map<_, _> = keys.iter().map(|key| (key.clone(), Value::from(key.len()))).collect();
            let mut text = String::new();
            canonical(&Value::Object(fields.clone()), &mut text);
            prop_assert_eq!(serde_json::from_str::<Map<_, _>>(&text).unwrap(), fields);
        }
    }
}
