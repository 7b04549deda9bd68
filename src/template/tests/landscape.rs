//! A landscape to render: two applications, with credentials of each kind, all of which are canaries, and two bindings.

use std::collections::BTreeMap;

use secrecy::SecretString;

use super::super::Landscape;
use crate::output::Names;
use crate::snapshot::example::{api, application, auth, bundle};
use crate::snapshot::{
    ApiDefinition, Application, Auth, Bundle, Condition, Credential, Csrf, EventDefinition, InstanceAuth, Naming,
    Snapshot, Specification, Version,
};

pub(super) fn landscape() -> Landscape {
    of(applications())
}

pub(super) fn of(applications: Vec<Application>) -> Landscape {
    let snapshot = Snapshot::new("runtime-1".parse().unwrap(), applications).unwrap().with_naming(Naming::Normalise);
    let names = Names::default().assign(&snapshot).unwrap();
    Landscape::new(&snapshot, &names, "host-1").unwrap()
}

pub(super) fn applications() -> Vec<Application> {
    let orders = Bundle {
        apis: vec![
            ApiDefinition {
                description: Some("Orders, and \"returns\"".into()),
                group: Some("com.example".into()),
                version: Some(Version {
                    value: "v2".into(),
                    deprecated: Some(false),
                    deprecated_since: None,
                    for_removal: None,
                }),
                specification: Some(Specification {
                    id: None,
                    kind: "OPEN_API".into(),
                    format: "JSON".into(),
                    reading: None,
                }),
                ..api("api-1", "Orders v2", "https://api.warehouse.example.com/orders/v2")
            },
            api("api-2", "Stock", "http://stock.warehouse.example.com:8080/stock?tenant=7"),
        ],
        events: vec![EventDefinition {
            id: "event-1".parse().unwrap(),
            name: "Order Shipped".into(),
            description: None,
            group: None,
            version: None,
            specification: Some(Specification {
                id: None,
                kind: "ASYNC_API".into(),
                format: "YAML".into(),
                reading: None,
            }),
        }],
        default_auth: Some(Auth {
            headers: BTreeMap::from([("X-Api-Key".into(), vec![secret("canary-header")])]),
            query_parameters: BTreeMap::from([("key".into(), vec![secret("canary-query")])]),
            csrf: Some(Csrf {
                token_url: "https://api.warehouse.example.com/csrf?canary".into(),
                credential: Credential::None,
                headers: BTreeMap::new(),
                query_parameters: BTreeMap::new(),
            }),
            ..auth(Credential::Basic { username: "canary-user".into(), password: secret("canary pass\"word\\") })
        }),
        instance_auths: vec![
            of_binding("auth-3", "Till 4 (north)", Condition::Succeeded, "canary till's \"4\""),
            of_binding("auth-4", "Till 5 (north)", Condition::Pending, "canary-pending"),
        ],
        ..bundle("bundle-1", "Orders")
    };
    let people = Bundle {
        apis: vec![api("api-3", "People", "https://crm.example.com/people")],
        instance_auths: vec![InstanceAuth {
            id: "auth-1".parse().unwrap(),
            condition: Condition::Succeeded,
            message: None,
            context: None,
            auth: Some(auth(Credential::OAuth {
                client_id: "canary-client".into(),
                client_secret: secret("canary-secret"),
                url: "https://login.crm.example.com/token?canary".into(),
            })),
        }],
        ..bundle("bundle-2", "People")
    };
    let pending = Bundle {
        apis: vec![api("api-4", "Bills", "https://crm.example.com/bills")],
        instance_auths: vec![InstanceAuth {
            id: "auth-2".parse().unwrap(),
            condition: Condition::Pending,
            message: None,
            context: None,
            auth: None,
        }],
        ..bundle("bundle-3", "Bills")
    };
    vec![
        Application {
            description: Some("What is in store".into()),
            base_url: Some("https://warehouse.example.com".into()),
            labels: BTreeMap::from([("region".into(), serde_json::json!({"b": [1, null], "a": true}))]),
            bundles: vec![orders],
            ..application("app-1", "Warehouse (EU)")
        },
        Application { bundles: vec![people, pending], ..application("app-2", "CRM") },
    ]
}

/// What was asked for one binding; its id is the name without blanks.
pub(super) fn of_binding(id: &str, binding: &str, condition: Condition, password: &str) -> InstanceAuth {
    let context =
        serde_json::json!({"instance_id": "tills", "binding_id": binding.replace(' ', "_"), "runtime_id": "r"});
    InstanceAuth {
        id: id.parse().unwrap(),
        condition,
        message: None,
        context: Some(context.to_string().into()),
        auth: Some(auth(Credential::Basic { username: "canary-till".into(), password: secret(password) })),
    }
}

fn secret(text: &str) -> SecretString {
    text.into()
}
