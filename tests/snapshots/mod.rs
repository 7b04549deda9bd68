//! What whole programs make snapshots of: applications and bundles that have a name and a password, and nothing else.

use std::collections::BTreeMap;

use runtime_agent::snapshot::{Application, Auth, Bundle, Credential};

/// An application with these bundles.
pub fn application(id: &str, name: &str, bundles: Vec<Bundle>) -> Application {
    Application {
        id: id.parse().unwrap(),
        name: name.into(),
        provider: None,
        description: None,
        base_url: None,
        system_number: None,
        local_tenant_id: None,
        health_check_url: None,
        labels: BTreeMap::new(),
        condition: None,
        events_url: None,
        system_status: None,
        error: None,
        deleted_at: None,
        bundles,
    }
}

/// A bundle that is used with this password.
pub fn bundle(id: &str, name: &str, password: &str) -> Bundle {
    Bundle {
        id: id.parse().unwrap(),
        name: name.into(),
        description: None,
        request_schema: None,
        apis: Vec::new(),
        events: Vec::new(),
        documents: Vec::new(),
        default_auth: Some(Auth {
            credential: Credential::Basic { username: "user".into(), password: password.into() },
            headers: BTreeMap::new(),
            query_parameters: BTreeMap::new(),
            csrf: None,
            certificate_common_name: None,
            access_strategy: None,
        }),
        instance_auths: Vec::new(),
    }
}
