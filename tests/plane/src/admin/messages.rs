//! What is sent to the administration.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Answering, Dialect, KeyAlgorithm, Options, Refusal, SubjectOrder, TokenForm, model::Application};

/// A runtime to register.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Register {
    pub(crate) name: String,
    pub(crate) formation: Option<BTreeSet<String>>,
    pub(crate) labels: Option<Map<String, Value>>,
}

/// A token to make.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct TokenRequest {
    pub(crate) form: TokenForm,
    pub(crate) expires_seconds: Option<u64>,
}

/// What is to change in an application.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Changes {
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    /// The URL under which all its APIs are reached; each keeps its path.
    pub(crate) target_url: Option<String>,
    pub(crate) rotate_credentials: bool,
}

impl Changes {
    pub(crate) fn apply(self, application: &mut Application, now: jiff::Timestamp) {
        application.updated_at = Some(now.to_string());
        if let Some(name) = self.name {
            application.name = name;
        }
        if let Some(description) = self.description {
            application.description = Some(description);
        }
        if let Some(base) = self.target_url {
            let base = base.trim_end_matches('/');
            for api in application.bundles.iter_mut().flat_map(|bundle| &mut bundle.api_definitions) {
                let path = api.target_url.as_deref().and_then(path).unwrap_or_default().to_owned();
                api.target_url = Some(format!("{base}{path}"));
            }
        }
    }
}

/// The path of a URL, with its slash.
fn path(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    rest.find('/').map(|slash| &rest[slash..])
}

/// The options that can change while the plane runs.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    pub(crate) dialect: Option<Dialect>,
    pub(crate) token_seconds: Option<u64>,
    pub(crate) follow_up_seconds: Option<u64>,
    pub(crate) certificate_seconds: Option<u64>,
    pub(crate) key_algorithm: Option<KeyAlgorithm>,
    pub(crate) subject: Option<Vec<String>>,
    pub(crate) subject_order: Option<SubjectOrder>,
    pub(crate) chain_with_root: Option<bool>,
    pub(crate) untrusted: Option<Refusal>,
    pub(crate) revoked: Option<Refusal>,
    pub(crate) tenant_required: Option<bool>,
    pub(crate) answering: Option<Answering>,
    pub(crate) max_page: Option<usize>,
}

impl Settings {
    pub(crate) fn of(options: &Options) -> Self {
        Self {
            dialect: Some(options.dialect),
            token_seconds: Some(options.token_lifetime.as_secs()),
            follow_up_seconds: Some(options.follow_up_lifetime.as_secs()),
            certificate_seconds: Some(options.certificate_lifetime.as_secs()),
            key_algorithm: Some(options.key_algorithm),
            subject: Some(options.subject.clone()),
            subject_order: Some(options.subject_order.clone()),
            chain_with_root: Some(options.chain_with_root),
            untrusted: Some(options.untrusted),
            revoked: Some(options.revoked),
            tenant_required: Some(options.tenant_required),
            answering: Some(options.answering),
            max_page: Some(options.max_page),
        }
    }

    pub(crate) fn apply(self, options: &mut Options) {
        fn set<T>(option: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *option = value;
            }
        }
        set(&mut options.dialect, self.dialect);
        set(&mut options.token_lifetime, self.token_seconds.map(Duration::from_secs));
        set(&mut options.follow_up_lifetime, self.follow_up_seconds.map(Duration::from_secs));
        set(&mut options.certificate_lifetime, self.certificate_seconds.map(Duration::from_secs));
        set(&mut options.key_algorithm, self.key_algorithm);
        set(&mut options.subject, self.subject);
        set(&mut options.subject_order, self.subject_order);
        set(&mut options.chain_with_root, self.chain_with_root);
        set(&mut options.untrusted, self.untrusted);
        set(&mut options.revoked, self.revoked);
        set(&mut options.tenant_required, self.tenant_required);
        set(&mut options.answering, self.answering);
        set(&mut options.max_page, self.max_page);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_keeps_its_path() {
        assert_eq!(path("https://a.example/api/v1"), Some("/api/v1"));
        assert_eq!(path("https://a.example"), None);
    }
}
