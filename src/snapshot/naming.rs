//! The names under which others that ask the same plane know an application.

use std::borrow::Cow;

use serde_json::Value;

/// The Runtime's label that says whether the plane normalises names itself.
pub const NAMING_LABEL: &str = "isNormalized";

/// How a normalised name begins.
const PREFIX: &str = "mp-";

/// How the applications of a runtime are named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Naming {
    /// The plane gives names as people wrote them, and its agents normalise them.
    #[default]
    Normalise,
    /// The names are final as the plane gives them.
    AsGiven,
}

impl Naming {
    /// What the label says, which is a boolean or its word; anything but true, no label included, says that names are
    /// to be normalised.
    pub fn of_label(label: Option<&Value>) -> Self {
        match label {
            Some(Value::Bool(true)) => Self::AsGiven,
            Some(Value::String(word)) if word == "true" => Self::AsGiven,
            _ => Self::Normalise,
        }
    }

    /// The name for an application that the plane calls `name`.
    pub fn apply(self, name: &str) -> Cow<'_, str> {
        match self {
            Self::AsGiven => name.into(),
            Self::Normalise => normalised(name),
        }
    }
}

/// The plane's rule: `mp-` goes before a name that does not begin with it; letters become small; every character
/// outside of `[-a-z0-9]` becomes `-`; of several `-` in a row one is left; and a `-` at the end goes.
fn normalised(name: &str) -> Cow<'_, str> {
    let prefix = if name.starts_with(PREFIX) { "" } else { PREFIX };
    let mut made = String::with_capacity(prefix.len() + name.len());
    for c in prefix.chars().chain(name.chars()) {
        // Only the first: where a capital has two small letters (there is one such), the plane knows one.
        let c = c.to_lowercase().next().unwrap_or(c);
        let c = if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
        if c != '-' || !made.ends_with('-') {
            made.push(c);
        }
    }
    if made.ends_with('-') {
        made.pop();
    }
    if made == name { name.into() } else { made.into() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_label_counts_as_a_word_and_as_a_boolean() {
        for label in [json!(true), json!("true")] {
            assert_eq!(Naming::of_label(Some(&label)), Naming::AsGiven, "{label}");
        }
        for label in [json!(false), json!("false"), json!(null), json!("True"), json!(1), json!(["true"])] {
            assert_eq!(Naming::of_label(Some(&label)), Naming::Normalise, "{label}");
        }
        assert_eq!(Naming::of_label(None), Naming::Normalise);
    }

    #[test]
    fn names_become_what_the_planes_other_agents_make_of_them() {
        for (name, wanted) in [
            ("Shop", "mp-shop"),
            ("SAP Commerce (EU-10)", "mp-sap-commerce-eu-10"),
            ("mp-Shop", "mp-shop"),
            ("MP-Shop", "mp-mp-shop"),
            ("mp-shop", "mp-shop"),
            ("--a__b--", "mp-a-b"),
            ("Überraschung", "mp-berraschung"),
            ("\u{130}zmir", "mp-izmir"),
            ("", "mp"),
        ] {
            assert_eq!(Naming::Normalise.apply(name), wanted, "{name}");
            assert_eq!(Naming::AsGiven.apply(name), name);
        }
    }

    proptest! {
        #[test]
        fn a_normalised_name_has_its_form_and_stays(name in "\\PC*") {
            let once = Naming::Normalise.apply(&name).into_owned();
            prop_assert!(once.starts_with("mp") && !once.ends_with('-') && !once.contains("--"), "{}", once);
            prop_assert!(once.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-')), "{}", once);
            // The rule makes `mp` of a name that leaves nothing, and that does not begin with `mp-` any more.
            if once != "mp" {
                prop_assert_eq!(Naming::Normalise.apply(&once), once.as_str());
            }
        }

        #[test]
        fn what_is_normalised_already_stays(name in "mp(-[a-z0-9]{1,5}){1,5}") {
            prop_assert!(matches!(Naming::Normalise.apply(&name), Cow::Borrowed(_)));
            prop_assert_eq!(Naming::Normalise.apply(&name), name.as_str());
        }
    }
}
