//! Instance auths that are for one binding: how they are told from those that are for a whole bundle.

use std::collections::BTreeMap;

use serde_json::Value;

use super::InstanceAuth;

/// The binding that an instance auth was asked for, as a service broker marks it in the context of its request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BindingContext {
    /// The service instance that the binding belongs to.
    pub instance_id: Box<str>,
    /// The binding.
    pub binding_id: Box<str>,
}

impl BindingContext {
    /// Looks for the mark in a context: a JSON object whose members `instance_id` and `binding_id` are texts, and not
    /// empty. What else is in it does not matter.
    pub fn of(context: &str) -> Option<Self> {
        let members: BTreeMap<Box<str>, Value> = serde_json::from_str(context).ok()?;
        let text = |name: &str| members.get(name)?.as_str().filter(|text| !text.is_empty()).map(Box::from);
        Some(Self { instance_id: text("instance_id")?, binding_id: text("binding_id")? })
    }
}

impl InstanceAuth {
    /// The binding that it was asked for, where it was for one.
    pub fn binding(&self) -> Option<BindingContext> {
        self.context.as_deref().and_then(BindingContext::of)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Auth, Bundle, Condition, Credential, example};
    use super::*;

    const MARKED: &str = r#"{"instance_id":"i-1","binding_id":"b-1","runtime_id":"r-1","more":{"of":["it"]}}"#;

    #[test]
    fn a_context_with_both_ids_is_one_of_a_binding() {
        let found = BindingContext::of(MARKED).unwrap();
        assert_eq!((&*found.instance_id, &*found.binding_id), ("i-1", "b-1"));
    }

    #[test]
    fn any_other_context_is_none() {
        for context in [
            "",
            "null",
            "[]",
            r#""b-1""#,
            "{}",
            r#"{"binding_id":"b-1"}"#,
            r#"{"instance_id":"i-1"}"#,
            r#"{"instance_id":"","binding_id":"b-1"}"#,
            r#"{"instance_id":"i-1","binding_id":""}"#,
            r#"{"instance_id":"i-1","binding_id":7}"#,
            r#"{"instance_id":null,"binding_id":"b-1"}"#,
            r#"{"context":{"instance_id":"i-1","binding_id":"b-1"}}"#,
            r#"{"instance_id":"i-1","binding_id":"b-1""#,
        ] {
            assert_eq!(BindingContext::of(context), None, "{context}");
        }
    }

    fn basic(username: &str) -> Auth {
        example::auth(Credential::Basic { username: username.into(), password: "p".into() })
    }

    fn granted(id: &str, context: Option<&str>) -> InstanceAuth {
        InstanceAuth {
            id: id.parse().unwrap(),
            condition: Condition::Succeeded,
            message: None,
            context: context.map(Into::into),
            auth: Some(basic(id)),
        }
    }

    fn used(bundle: &Bundle) -> Option<&str> {
        match &bundle.usable_auth()?.credential {
            Credential::Basic { username, .. } => Some(username),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_asked_for_a_binding_is_not_used_for_its_bundle() {
        let mut bundle = example::bundle("b", "Orders");
        bundle.instance_auths = vec![granted("9", Some(MARKED))];
        assert_eq!(used(&bundle), None);
        bundle.default_auth = Some(basic("default"));
        assert_eq!(used(&bundle), Some("default"));
        bundle.instance_auths =
            vec![granted("1", None), granted("2", Some(r#"{"runtime":"r"}"#)), granted("9", Some(MARKED))];
        assert_eq!(used(&bundle), Some("2"));
    }
}
