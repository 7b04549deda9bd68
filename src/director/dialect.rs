//! The two sets of words in which planes speak, and the queries in each.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::transport::{Fault, GraphqlError, Operation};

/// The words that a plane uses for a group of definitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// `Application.bundles`, and so on.
    Bundle,
    /// `Application.packages`, as planes spoke before 2021.
    Package,
}

impl Dialect {
    /// A bounded word for files, fields and counters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bundle => "bundle",
            Self::Package => "package",
        }
    }

    /// The other one.
    pub(super) fn other(self) -> Self {
        match self {
            Self::Bundle => Self::Package,
            Self::Package => Self::Bundle,
        }
    }

    pub(super) fn queries(self) -> &'static Queries {
        match self {
            Self::Bundle => &BUNDLE,
            Self::Package => &PACKAGE,
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The queries of one dialect: one for each kind of list and of text, and those about instance auths.
pub(super) struct Queries {
    pub applications: Operation<'static>,
    pub bundles: Operation<'static>,
    pub apis: Operation<'static>,
    pub events: Operation<'static>,
    pub documents: Operation<'static>,
    pub api_text: Operation<'static>,
    pub event_text: Operation<'static>,
    pub document_text: Operation<'static>,
    pub auth_creation: Operation<'static>,
    pub auth_deletion: Operation<'static>,
    pub auth: Operation<'static>,
    pub auths: Operation<'static>,
}

/// A query and the fragments that it uses: GraphQL refuses a text with a fragment that is not used.
macro_rules! query {
    ($name:literal: $($file:literal)+) => {
        Operation { name: $name, text: concat!($(include_str!(concat!("queries/", $file, ".graphql"))),+) }
    };
}

static BUNDLE: Queries = Queries {
    applications: query!("Applications": "bundle/applications" "bundle/application_fields" "bundle/bundle_fields"
        "bundle/instance_auth_fields" "bundle/auth_fields" "bundle/api_definition_fields" "bundle/event_definition_fields" "document_fields"),
    bundles: query!("Bundles": "bundle/bundles" "bundle/bundle_fields" "bundle/instance_auth_fields" "bundle/auth_fields"
        "bundle/api_definition_fields" "bundle/event_definition_fields" "document_fields"),
    apis: query!("ApiDefinitions": "bundle/api_definitions" "bundle/api_definition_fields"),
    events: query!("EventDefinitions": "bundle/event_definitions" "bundle/event_definition_fields"),
    documents: query!("Documents": "bundle/documents" "document_fields"),
    api_text: query!("ApiSpecification": "bundle/api_text"),
    event_text: query!("EventSpecification": "bundle/event_text"),
    document_text: query!("DocumentText": "bundle/document_text"),
    auth_creation: query!("RequestInstanceAuthCreation": "bundle/instance_auth_creation" "bundle/instance_auth_fields"
        "bundle/auth_fields"),
    auth_deletion: query!("RequestInstanceAuthDeletion": "bundle/instance_auth_deletion" "bundle/instance_auth_fields"
        "bundle/auth_fields"),
    auth: query!("InstanceAuth": "bundle/instance_auth" "bundle/instance_auth_fields" "bundle/auth_fields"),
    auths: query!("InstanceAuths": "bundle/instance_auths" "bundle/instance_auth_fields" "bundle/auth_fields"),
};

static PACKAGE: Queries = Queries {
    applications: query!("Applications": "package/applications" "package/application_fields" "package/package_fields"
        "package/instance_auth_fields" "package/auth_fields" "package/api_definition_fields" "package/event_definition_fields" "document_fields"),
    bundles: query!("Packages": "package/packages" "package/package_fields" "package/instance_auth_fields" "package/auth_fields"
        "package/api_definition_fields" "package/event_definition_fields" "document_fields"),
    apis: query!("ApiDefinitions": "package/api_definitions" "package/api_definition_fields"),
    events: query!("EventDefinitions": "package/event_definitions" "package/event_definition_fields"),
    documents: query!("Documents": "package/documents" "document_fields"),
    api_text: query!("ApiSpecification": "package/api_text"),
    event_text: query!("EventSpecification": "package/event_text"),
    document_text: query!("DocumentText": "package/document_text"),
    auth_creation: query!("RequestInstanceAuthCreation": "package/instance_auth_creation" "package/instance_auth_fields"
        "package/auth_fields"),
    auth_deletion: query!("RequestInstanceAuthDeletion": "package/instance_auth_deletion" "package/instance_auth_fields"
        "package/auth_fields"),
    auth: query!("InstanceAuth": "package/instance_auth" "package/instance_auth_fields" "package/auth_fields"),
    auths: query!("InstanceAuths": "package/instance_auths" "package/instance_auth_fields" "package/auth_fields"),
};

pub(super) static VIEWER: Operation<'static> = query!("Viewer": "viewer");
pub(super) static RUNTIME: Operation<'static> = query!("Runtime": "runtime");
pub(super) static SET_LABEL: Operation<'static> = query!("SetRuntimeLabel": "set_label");

/// Whether the plane refused a query as one that does not fit its schema: it may speak the other dialect.
pub(super) fn is_refusal(fault: &Fault) -> bool {
    match fault {
        Fault::Status { code, .. } => *code == 422,
        Fault::Graphql(errors) => errors.iter().any(|error| error.is_schema_refusal() || is_old_refusal(error)),
        _ => false,
    }
}

/// Engines of the time when planes said *package* put no code beside a refusal; only the words tell.
fn is_old_refusal(error: &GraphqlError) -> bool {
    const BEGINNINGS: [&str; 4] = ["Cannot query field", "Unknown type", "Unknown argument", "Unknown field"];
    error.error_code().is_none() && BEGINNINGS.iter().any(|words| error.message.starts_with(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_query_is_told_from_a_failed_one() {
        let error = |json: &str| Fault::Graphql(vec![serde_json::from_str(json).unwrap()]);
        assert!(is_refusal(&error(r#"{"message":"no such field","extensions":{"code":"GRAPHQL_VALIDATION_FAILED"}}"#)));
        assert!(is_refusal(&error(r#"{"message":"Cannot query field \"bundles\" on type \"Application\"."}"#)));
        assert!(is_refusal(&Fault::Status { code: 422, retry_after: None, excerpt: String::new() }));
        assert!(!is_refusal(&error(r#"{"message":"Unknown type of runtime","extensions":{"error_code":22}}"#)));
        assert!(!is_refusal(&Fault::Status { code: 503, retry_after: None, excerpt: String::new() }));
    }

    #[test]
    fn each_query_brings_the_fragments_that_it_uses_and_no_others() {
        for dialect in [Dialect::Bundle, Dialect::Package] {
            let queries = dialect.queries();
            let lists = [queries.applications, queries.bundles, queries.apis, queries.events, queries.documents];
            let texts = [queries.api_text, queries.event_text, queries.document_text];
            let auths = [queries.auth_creation, queries.auth_deletion, queries.auth, queries.auths];
            for operation in lists.into_iter().chain(texts).chain(auths) {
                let begins = |word: &str| operation.text.starts_with(&format!("{word} {}(", operation.name));
                assert!(begins("query") || begins("mutation"), "in {dialect} {}", operation.name);
                let mut defined: Vec<_> = words_after(operation.text, "fragment ");
                let mut used: Vec<_> =
                    words_after(operation.text, "...").into_iter().filter(|w| !w.is_empty()).collect();
                used.sort_unstable();
                used.dedup();
                defined.sort_unstable();
                assert_eq!(defined, used, "in {dialect} {}", operation.name);
            }
        }
    }

    fn words_after<'a>(text: &'a str, mark: &str) -> Vec<&'a str> {
        text.split(mark).skip(1).map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next().unwrap()).collect()
    }

    #[test]
    fn the_older_dialect_is_not_asked_for_what_it_lacks() {
        let text = [PACKAGE.applications.text, PACKAGE.auth_creation.text, PACKAGE.auths.text].concat();
        for word in [
            "undle(",
            "CertificateOAuth",
            "baseUrl",
            "systemNumber",
            "localTenantID",
            "certCommonName",
            "accessStrategy",
            "runtimeID\n",
            "deletedAt",
            "spec {\n    id",
        ] {
            assert!(!text.contains(word), "{word} is in the older query");
        }
    }
}
