//! A landscape in which a case has given all names and values.

use std::collections::BTreeMap;

use runtime_agent::output::Names;
use runtime_agent::snapshot::{
    ApiDefinition, Application, Auth, Bundle, Condition, Credential, InstanceAuth, Snapshot,
};
use runtime_agent::template::Landscape;
use secrecy::SecretString;
use serde_json::{Value, json};
use url::Url;

use super::{PLACE, SECRET, parts};

/// What the makers of applications write, in the order of a case's parts.
#[derive(Debug, Clone)]
pub struct Written {
    pub name: String,
    pub other_name: String,
    pub bundle: String,
    pub api: String,
    pub target_url: String,
    pub username: String,
    pub password: String,
    pub header: String,
    pub header_value: String,
    pub label: String,
    pub label_value: Value,
    pub provider: String,
    pub binding: String,
    pub instance: String,
    pub application_id: String,
}

impl Written {
    /// What a case says; what it leaves out is empty. Passwords hold the secret where it says so.
    pub fn of(case: &[u8]) -> Self {
        let mut parts = parts(case).into_iter();
        let mut next = || parts.next().unwrap_or_default();
        Self {
            name: next(),
            other_name: next(),
            bundle: next(),
            api: next(),
            target_url: next(),
            username: next(),
            password: next().replace(PLACE, SECRET),
            header: next(),
            header_value: next().replace(PLACE, SECRET),
            label: next(),
            label_value: {
                let text = next();
                serde_json::from_str(&text).unwrap_or(Value::String(text))
            },
            provider: next(),
            binding: next(),
            instance: next(),
            application_id: next(),
        }
    }

    /// The same landscape with names and values that nobody could take for anything else.
    pub fn tame(&self) -> Self {
        let https = Url::parse(&self.target_url).is_ok_and(|url| url.scheme() == "https");
        Self {
            name: "a".into(),
            other_name: "b".into(),
            bundle: "c".into(),
            api: "d".into(),
            target_url: if https { "https://e/" } else { "http://e/" }.into(),
            username: "f".into(),
            password: "g".into(),
            header: "h".into(),
            header_value: "i".into(),
            label: "j".into(),
            label_value: "k".into(),
            provider: "l".into(),
            binding: "m".into(),
            instance: "n".into(),
            application_id: "o".into(),
        }
    }

    /// Two applications with a bundle each, one with a password and one with a client's secret, and a binding.
    pub fn landscape(&self) -> Landscape {
        let basic = Credential::Basic { username: self.username.as_str().into(), password: self.secret() };
        let oauth = || Credential::OAuth {
            client_id: self.username.as_str().into(),
            client_secret: self.secret(),
            url: self.target_url.as_str().into(),
        };
        let headers =
            BTreeMap::from([(self.header.as_str().into(), vec![SecretString::from(self.header_value.as_str())])]);
        let id = self.application_id.parse().unwrap_or_else(|_| "application-1".parse().expect("it is an id"));
        let first = self.application(id, &self.name, Auth { headers, ..auth(basic) });
        let other = "\u{10ffff}".parse().expect("it is an id");
        let applications = vec![first, self.application(other, &self.other_name, auth(oauth()))];
        let snapshot =
            Snapshot::new("runtime-1".parse().expect("it is an id"), applications).expect("each is there once");
        let names = Names::default().assign(&snapshot).expect("each is there once");
        Landscape::new(&snapshot, &names, "host-1").expect("it is in memory")
    }

    fn secret(&self) -> SecretString {
        SecretString::from(self.password.as_str())
    }

    fn application(&self, id: runtime_agent::ids::ApplicationId, name: &str, default_auth: Auth) -> Application {
        let api = |id: &str, target_url: &str| ApiDefinition {
            id: id.parse().expect("it is an id"),
            name: self.api.as_str().into(),
            description: Some(self.provider.as_str().into()),
            target_url: target_url.into(),
            group: None,
            version: None,
            specification: None,
        };
        let binding = InstanceAuth {
            id: "auth-1".parse().expect("it is an id"),
            condition: Condition::Succeeded,
            message: None,
            context: Some(json!({ "instance_id": self.instance, "binding_id": self.binding }).to_string().into()),
            auth: Some(auth(default_auth.credential.clone())),
        };
        let bundle = Bundle {
            id: "bundle-1".parse().expect("it is an id"),
            name: self.bundle.as_str().into(),
            description: Some(self.provider.as_str().into()),
            request_schema: None,
            apis: vec![api("api-1", &self.target_url), api("api-2", "https://plain.example.com/x")],
            events: Vec::new(),
            documents: Vec::new(),
            default_auth: Some(default_auth),
            instance_auths: vec![binding],
        };
        Application {
            id,
            name: name.into(),
            provider: Some(self.provider.as_str().into()),
            description: None,
            base_url: Some(self.target_url.as_str().into()),
            system_number: None,
            local_tenant_id: None,
            health_check_url: None,
            labels: BTreeMap::from([(self.label.as_str().into(), self.label_value.clone())]),
            condition: None,
            events_url: None,
            system_status: None,
            error: None,
            deleted_at: None,
            bundles: vec![bundle],
        }
    }
}

fn auth(credential: Credential) -> Auth {
    Auth {
        credential,
        headers: BTreeMap::new(),
        query_parameters: BTreeMap::new(),
        csrf: None,
        certificate_common_name: None,
        access_strategy: None,
    }
}
