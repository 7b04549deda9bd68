//! A scripted plane: a small model whose lists change, or whose answers are bent, at chosen requests.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use serde_json::{Value, json};

use super::*;
use crate::transport::{Graphql, Limits};

/// Applications, their bundles, and the ids of those bundles' definitions.
#[derive(Clone, Default)]
pub(super) struct Model {
    pub(super) applications: Vec<(String, Vec<Bundle>)>,
}

#[derive(Clone, Default)]
pub(super) struct Bundle {
    pub(super) id: String,
    pub(super) apis: Vec<String>,
    pub(super) events: Vec<String>,
}

impl Model {
    pub(super) fn of(applications: usize, bundles: usize, definitions: usize) -> Self {
        let name = |prefix: &str, i: usize| format!("{prefix}-{i:03}");
        let bundle = |i| Bundle {
            id: name("bundle", i),
            apis: (0..definitions).map(|i| name("api", i)).collect(),
            events: (0..definitions + 1).map(|i| name("event", i)).collect(),
        };
        let application = |i| (name("application", i), (0..bundles).map(bundle).collect());
        Self { applications: (0..applications).map(application).collect() }
    }

    /// What a plane of `dialect` answers; the queries' texts are tried against real schemas elsewhere.
    pub(super) fn answer(&self, dialect: Dialect, operation: &str, variables: &Value) -> Value {
        let number = |name: &str| variables[name].as_u64().map(|number| usize::try_from(number).unwrap());
        let (first, ids_only) = (number("first").unwrap(), variables["idsOnly"] == json!(true));
        let (bundles, definitions) = (number("bundles").unwrap_or(first), number("definitions").unwrap_or(first));
        let after = variables["after"].as_str();
        let (one, many) = match dialect {
            Dialect::Bundle => ("bundle", "bundles"),
            Dialect::Package => ("package", "packages"),
        };
        let bundle = |bundle: &Bundle| bundle.json(definitions, ids_only);
        let application = |(id, list): &(String, Vec<Bundle>)| match ids_only {
            true => json!({ "id": id }),
            false => json!({ "id": id, "name": id, "status": {}, many: page(list, bundles, None, bundle) }),
        };
        if matches!(operation, "Applications") {
            return json!({ "applicationsForRuntime": page(&self.applications, first, after, application) });
        }
        let Some((_, owned)) = self.applications.iter().find(|(id, _)| variables["application"] == json!(id)) else {
            return json!({ "application": null });
        };
        if matches!(operation, "Bundles" | "Packages") {
            return json!({ "application": { many: page(owned, first, after, bundle) } });
        }
        let owner = owned.iter().find(|bundle| variables["bundle"] == json!(bundle.id));
        let found = owner.map(|bundle| match operation {
            "ApiDefinitions" => json!({ "apiDefinitions": page(&bundle.apis, first, after, api) }),
            "EventDefinitions" => json!({ "eventDefinitions": page(&bundle.events, first, after, api) }),
            other => panic!("{other} is not an operation of this agent"),
        });
        json!({ "application": { one: found } })
    }

    /// The ids of everything, as the agent should see them.
    pub(super) fn ids(&self) -> Vec<String> {
        let mut ids = Vec::new();
        for (application, bundles) in &self.applications {
            ids.push(application.clone());
            for bundle in bundles {
                ids.push(bundle.id.clone());
                ids.extend(bundle.apis.iter().chain(&bundle.events).cloned());
            }
        }
        ids
    }
}

impl Bundle {
    fn json(&self, definitions: usize, ids_only: bool) -> Value {
        if ids_only {
            return json!({ "id": self.id });
        }
        json!({
            "id": self.id,
            "name": self.id,
            "apiDefinitions": page(&self.apis, definitions, None, api),
            "eventDefinitions": page(&self.events, definitions, None, api),
        })
    }
}

fn api(id: &String) -> Value {
    json!({ "id": id, "name": id, "targetURL": "https://api.example" })
}

pub(super) fn page<T>(list: &[T], first: usize, after: Option<&str>, item: impl Fn(&T) -> Value) -> Value {
    let offset = after.map_or(0, |after| after.parse().unwrap());
    let data: Vec<_> = list.iter().skip(offset).take(first).map(item).collect();
    let end = offset + data.len();
    json!({
        "data": data,
        "pageInfo": { "endCursor": end.to_string(), "hasNextPage": end < list.len() },
        "totalCount": list.len(),
    })
}

pub(super) fn ids(snapshot: &Snapshot) -> Vec<String> {
    let mut ids = Vec::new();
    for application in snapshot.all().unwrap() {
        ids.push(application.id.to_string());
        for bundle in &application.bundles {
            ids.push(bundle.id.to_string());
            ids.extend(bundle.apis.iter().map(|api| api.id.to_string()));
            ids.extend(bundle.events.iter().map(|event| event.id.to_string()));
        }
    }
    ids
}

/// An answer of the scripted plane.
pub(super) enum Answer {
    Data(Value),
    Error(u16, Value),
    Status(u16),
    Never,
}

/// A Director whose every request is answered by `answer`, from its operation, its variables and its number.
pub(super) async fn plane(answer: impl FnMut(&str, &Value, u32) -> Answer + Send + 'static) -> Director {
    plane_with_time(Duration::from_secs(60), answer).await
}

pub(super) async fn plane_with_time(
    answer_timeout: Duration,
    mut answer: impl FnMut(&str, &Value, u32) -> Answer + Send + 'static,
) -> Director {
    let mut count = 0;
    let answer = Arc::new(Mutex::new(move |request: &Value| {
        count += 1;
        answer(request["operationName"].as_str().unwrap(), &request["variables"], count)
    }));
    let handle = move |axum::Json(request): axum::Json<Value>| async move {
        let answer = answer.lock().unwrap()(&request);
        match answer {
            Answer::Data(data) => axum::Json(json!({ "data": data })).into_response(),
            Answer::Error(status, error) => {
                let body = axum::Json(json!({ "data": null, "errors": [error] }));
                (StatusCode::from_u16(status).unwrap(), body).into_response()
            }
            Answer::Status(status) => (StatusCode::from_u16(status).unwrap(), "<html>").into_response(),
            Answer::Never => std::future::pending().await,
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/graphql", listener.local_addr().unwrap()).parse().unwrap();
    let app = axum::Router::new().route("/graphql", axum::routing::post(handle));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let limits = Limits { answer_timeout, whole_timeout: answer_timeout, max_answer: 256 << 10 };
    Director::new(Graphql::new(reqwest::Client::new(), url, limits), None)
}

/// A plane that answers from a model, which `change` may alter before the answer to the request of that number.
pub(super) async fn living(model: Model, mut change: impl FnMut(&mut Model, &str, u32) + Send + 'static) -> Director {
    let mut model = model;
    plane(move |operation, variables, number| {
        change(&mut model, operation, number);
        Answer::Data(model.answer(Dialect::Bundle, operation, variables))
    })
    .await
}

pub(super) fn runtime() -> RuntimeId {
    "runtime-1".parse().unwrap()
}

pub(super) fn pages_of(size: u16) -> FetchOptions {
    FetchOptions { page_size: PageSize::new(size).unwrap(), ..FetchOptions::default() }
}
