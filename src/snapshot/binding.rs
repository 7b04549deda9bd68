//! Instance auths that are for one binding: how they are told from those that are for a whole bundle.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Auth, Bundle, Condition, Credential, InstanceAuth};
use crate::ids::{ServiceBindingId, ServiceInstanceId};

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

    /// Its credentials, where they can be used: they were granted, and are of a kind that this program understands.
    pub fn usable_auth(&self) -> Option<&Auth> {
        let granted = self.auth.as_ref().filter(|_| self.condition == Condition::Succeeded);
        granted.filter(|auth| !matches!(auth.credential, Credential::Unknown(_)))
    }
}

/// A binding, and what became of the request for its credentials.
#[derive(Debug, Clone)]
pub struct Binding<'a> {
    /// The binding.
    pub id: ServiceBindingId,
    /// The service instance that it belongs to.
    pub instance: ServiceInstanceId,
    /// What was asked for it.
    pub auth: &'a InstanceAuth,
}

impl Bundle {
    /// The bindings of this runtime, in the order of their instance auths. Those whose ids nobody would take are left
    /// out; what was asked for them is nevertheless not for the bundle as a whole.
    pub fn bindings(&self) -> impl Iterator<Item = Binding<'_>> {
        self.instance_auths.iter().filter_map(|auth| {
            let BindingContext { instance_id, binding_id } = auth.binding()?;
            Some(Binding { id: binding_id.parse().ok()?, instance: instance_id.parse().ok()?, auth })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::example;
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

    #[test]
    fn a_binding_is_one_whatever_became_of_it_and_its_credentials_are_used_once_they_are_granted_and_understood() {
        let mut bundle = example::bundle("b", "Orders");
        let mut pending = granted("2", Some(MARKED));
        pending.condition = Condition::Pending;
        let mut unknown = granted("3", Some(MARKED));
        unknown.auth = Some(example::auth(Credential::Unknown("Teapot".into())));
        bundle.instance_auths = vec![granted("0", None), granted("1", Some(MARKED)), pending, unknown];
        let seen: Vec<_> = bundle
            .bindings()
            .map(|binding| {
                assert_eq!((binding.id.as_str(), binding.instance.as_str()), ("b-1", "i-1"));
                (binding.auth.id.as_str(), binding.auth.usable_auth().is_some())
            })
            .collect();
        assert_eq!(seen, [("1", true), ("2", false), ("3", false)]);
    }

    #[test]
    fn what_was_asked_for_a_binding_that_nobody_would_name_so_is_for_nobody() {
        let mut bundle = example::bundle("b", "Orders");
        for odd in ["b 1".to_owned(), "b\\n".to_owned(), "b".repeat(257)] {
            let context = format!(r#"{{"instance_id":"i-1","binding_id":"{odd}"}}"#);
            bundle.instance_auths = vec![granted("1", Some(&context))];
            assert_eq!((bundle.bindings().count(), used(&bundle)), (0, None), "{odd}");
        }
    }
}
