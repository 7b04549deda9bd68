//! Whether each variable may stand where it stands; the engine has this rule but never applies it.

use std::collections::HashSet;

use async_graphql::{
    Positioned, Value as Constant,
    dynamic::Schema,
    parser::types::{
        BaseType, ExecutableDocument, Field, OperationDefinition, OperationType, Selection, SelectionSet, Type,
    },
    registry::{MetaType, Registry},
};
use async_graphql_value::Value;

/// Refuses a variable whose type is not that of its place: an `Int` for an `ID`, or one that can be null where null is not allowed.
pub(crate) fn check(
    schema: &Schema,
    document: &ExecutableDocument,
    operation: &OperationDefinition,
) -> Result<(), String> {
    let registry = schema.registry();
    let root = match operation.ty {
        OperationType::Query => Some(registry.query_type.as_str()),
        OperationType::Mutation => registry.mutation_type.as_deref(),
        OperationType::Subscription => registry.subscription_type.as_deref(),
    };
    let mut walk = Walk { registry, document, operation, seen: HashSet::new() };
    match root {
        Some(root) => walk.selections(&operation.selection_set.node, root),
        None => Ok(()),
    }
}

struct Walk<'a> {
    registry: &'a Registry,
    document: &'a ExecutableDocument,
    operation: &'a OperationDefinition,
    seen: HashSet<&'a str>,
}

impl<'a> Walk<'a> {
    fn selections(&mut self, set: &'a SelectionSet, parent: &str) -> Result<(), String> {
        for selection in &set.items {
            match &selection.node {
                Selection::Field(field) => self.field(&field.node, parent)?,
                Selection::InlineFragment(fragment) => {
                    let narrowed =
                        fragment.node.type_condition.as_ref().map(|condition| condition.node.on.node.as_str());
                    self.selections(&fragment.node.selection_set.node, narrowed.unwrap_or(parent))?;
                }
                Selection::FragmentSpread(spread) => {
                    let name = spread.node.fragment_name.node.as_str();
                    let fragment = self.document.fragments.get(name);
                    if let Some(fragment) = fragment.filter(|_| self.seen.insert(name)) {
                        let narrowed = fragment.node.type_condition.node.on.node.as_str();
                        self.selections(&fragment.node.selection_set.node, narrowed)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &'a Field, parent: &str) -> Result<(), String> {
        let registry = self.registry;
        let found = registry.types.get(parent).and_then(|kind| kind.field_by_name(&field.name.node));
        // What does not exist is the engine's to refuse.
        let Some(found) = found else { return Ok(()) };
        for (name, value) in &field.arguments {
            if let Some(argument) = found.args.get(name.node.as_str()) {
                self.value(&value.node, &argument.ty)?;
            }
        }
        let named = found.ty.trim_matches(['[', ']', '!']);
        self.selections(&field.selection_set.node, named)
    }

    fn value(&self, value: &Value, place: &str) -> Result<(), String> {
        match value {
            Value::Variable(name) => self.variable(name, place),
            Value::List(items) => {
                let inner = place.trim_end_matches('!');
                let inner = inner.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
                inner.map_or(Ok(()), |inner| items.iter().try_for_each(|item| self.value(item, inner)))
            }
            Value::Object(entries) => {
                let Some(MetaType::InputObject { input_fields, .. }) =
                    self.registry.types.get(place.trim_end_matches('!'))
                else {
                    return Ok(());
                };
                entries.iter().try_for_each(|(name, entry)| match input_fields.get(name.as_str()) {
                    Some(field) => self.value(entry, &field.ty),
                    None => Ok(()),
                })
            }
            Value::Null
            | Value::Number(_)
            | Value::String(_)
            | Value::Boolean(_)
            | Value::Binary(_)
            | Value::Enum(_) => Ok(()),
        }
    }

    fn variable(&self, name: &str, place: &str) -> Result<(), String> {
        let mut definitions = self.operation.variable_definitions.iter();
        let definition = definitions.find(|definition| definition.node.name.node == name);
        let (Some(definition), Some(wanted)) = (definition, Type::new(place)) else { return Ok(()) };
        let default = definition.node.default_value.as_ref();
        let defaulted = default.is_some_and(|default: &Positioned<Constant>| default.node != Constant::Null);
        let kind = &definition.node.var_type.node;
        if fits(kind, &wanted, defaulted) {
            return Ok(());
        }
        Err(format!("Variable \"${name}\" of type \"{kind}\" used in position expecting type \"{place}\"."))
    }
}

fn fits(variable: &Type, place: &Type, defaulted: bool) -> bool {
    if variable.nullable && !place.nullable && !defaulted {
        return false;
    }
    match (&variable.base, &place.base) {
        (BaseType::Named(variable), BaseType::Named(place)) => variable == place,
        (BaseType::List(variable), BaseType::List(place)) => fits(variable, place, false),
        (BaseType::Named(_), BaseType::List(_)) | (BaseType::List(_), BaseType::Named(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitting(variable: &str, place: &str, defaulted: bool) -> bool {
        let kind = |text| Type::new(text).expect("a type");
        fits(&kind(variable), &kind(place), defaulted)
    }

    #[test]
    fn a_variable_fits_where_its_type_does() {
        assert!(fitting("ID!", "ID", false) && fitting("ID!", "ID!", false) && fitting("Int", "Int!", true));
        assert!(!fitting("String!", "ID!", false) && !fitting("ID", "ID!", false) && !fitting("[ID!]!", "ID!", false));
    }
}
