//! What tests make snapshots of: things that have nothing but what each must have.

use std::collections::BTreeMap;

use super::{ApiDefinition, Application, Auth, Bundle, Credential};

pub(crate) fn application(id: &str, name: &str) -> Application {
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
        condition: Some("CONNECTED".into()),
        events_url: None,
        system_status: None,
        error: None,
        deleted_at: None,
        bundles: Vec::new(),
    }
}

pub(crate) fn bundle(id: &str, name: &str) -> Bundle {
    Bundle {
        id: id.parse().unwrap(),
        name: name.into(),
        description: None,
        request_schema: None,
        apis: Vec::new(),
        events: Vec::new(),
        documents: Vec::new(),
        default_auth: None,
        instance_auths: Vec::new(),
    }
}

pub(crate) fn api(id: &str, name: &str, url: &str) -> ApiDefinition {
    ApiDefinition {
        id: id.parse().unwrap(),
        name: name.into(),
        description: None,
        target_url: url.into(),
        group: None,
        version: None,
        specification: None,
    }
}

pub(crate) fn auth(credential: Credential) -> Auth {
    Auth {
        credential,
        headers: BTreeMap::new(),
        query_parameters: BTreeMap::new(),
        csrf: None,
        certificate_common_name: None,
        access_strategy: None,
    }
}
