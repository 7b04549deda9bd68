//! The values in parameters that are secret: what a plane may repeat of them in its words.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The whole text, and each text and number in it, in every spelling in which it may be repeated. Names of members are
/// no secrets: they are the words of the schema that the plane publishes.
pub(crate) fn values(parameters: &SecretString) -> Vec<SecretString> {
    let mut found = vec![parameters.clone()];
    let mut json = serde_json::Deserializer::from_str(parameters.expose_secret());
    // What is no JSON from some place on has no values from there on that anybody could tell apart.
    let _ = Values(&mut found).deserialize(&mut json);
    let spelt: Vec<_> = found.iter().flat_map(|value| spellings(value.expose_secret())).collect();
    found.extend(spelt);
    found
}

/// A text as it stands in JSON, in JSON in JSON, and as the plane's own language writes it into JSON.
fn spellings(text: &str) -> impl Iterator<Item = SecretString> + use<> {
    let once = in_json(text);
    let twice = in_json(&once);
    let html = ["<", ">", "&"].iter().zip(["\\u003c", "\\u003e", "\\u0026"]);
    let html = html.fold(once.clone(), |text, (plain, escaped)| text.replace(plain, escaped));
    let known = text.to_owned();
    [once, twice, html].into_iter().filter(move |spelt| *spelt != known).map(SecretString::from)
}

fn in_json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// Collects the values of a JSON text one by one: a tree of them would not be wiped.
struct Values<'a>(&'a mut Vec<SecretString>);

impl Values<'_> {
    fn keep(self, value: &impl ToString) {
        self.0.push(value.to_string().into());
    }
}

impl<'de> DeserializeSeed<'de> for Values<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Values<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.keep(&value);
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.keep(&value);
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.keep(&value);
        Ok(())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.keep(&value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Values(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while members.next_key::<IgnoredAny>()?.is_some() {
            members.next_value_seed(Values(self.0))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(parameters: &str) -> Vec<String> {
        values(&parameters.into()).iter().map(|value| value.expose_secret().to_owned()).collect()
    }

    #[test]
    fn every_text_and_number_is_found_however_deep_and_in_every_spelling() {
        let values = found(r#"{"user":"me","deep":[{"pin":4711,"x":-1},[2.5,true,null,"a\"<b"]]}"#);
        for value in ["me", "4711", "-1", "2.5", "a\"<b", r#"a\"<b"#, r#"a\\\"<b"#, r#"a\"\u003cb"#] {
            assert!(values.iter().any(|found| found == value), "{value}: {values:?}");
        }
        assert!(!values.iter().any(|found| matches!(&**found, "user" | "deep" | "true" | "null")), "{values:?}");
    }

    #[test]
    fn of_what_is_no_json_the_whole_is_kept_and_what_was_found_before() {
        assert_eq!(found("hunter2"), ["hunter2"]);
        assert!(found(r#"["hunter2", oops"#).contains(&"hunter2".to_owned()));
    }
}
