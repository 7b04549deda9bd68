//! The administration over HTTP: everything that [`Control`] can do, for programs in other processes.

mod messages;

use std::{collections::BTreeSet, time::Duration};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{delete, get, post, put},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub(crate) use messages::{Changes, Register, Settings, TokenRequest};

use crate::{Control, Error, Fault, Generate, Verdict, model::Application};

/// Serves the administration until the task is dropped.
pub(crate) async fn serve(listener: TcpListener, control: Control) {
    // Files with many applications are large.
    let router = router(control).layer(DefaultBodyLimit::disable());
    // It ends only with the task: accepting is retried by the server itself.
    let _ = axum::serve(listener, router).await;
}

fn router(control: Control) -> Router {
    Router::new()
        .route("/", get(overview))
        .route("/runtimes", get(runtimes).post(register))
        .route("/runtimes/{id}", delete(remove_runtime))
        .route("/runtimes/{id}/token", post(token))
        .route("/runtimes/{id}/revoke", post(revoke))
        .route("/runtimes/{id}/expire", post(expire))
        .route("/runtimes/{id}/formation", put(formation))
        .route("/runtimes/{id}/scopes", put(scopes))
        .route("/runtimes/{id}/labels", get(labels))
        .route("/runtimes/{id}/instance-auths", get(instance_auths))
        .route("/applications", get(applications).post(load).delete(clear_applications))
        .route("/applications/{id}", get(application).patch(change).delete(remove))
        .route("/generate", post(generate))
        .route("/instance-auths/{id}", post(answer))
        .route("/settings", get(settings).patch(configure))
        .route("/rotate-ca", post(rotate))
        .route("/faults", get(faults).post(fault).delete(clear_faults))
        .route("/requests", get(requests).delete(clear_requests))
        .route("/state", get(state))
        .route("/canaries", get(canaries))
        .with_state(control)
}

type Answer = Result<Json<Value>, Refusal>;

/// An error on its way to an HTTP client.
struct Refusal(Error);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self.0 {
            Error::Unknown { .. } => StatusCode::NOT_FOUND,
            Error::Input(_) => StatusCode::BAD_REQUEST,
            Error::Io { .. } | Error::Certificates(_) | Error::Schema(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(json!({ "error": self.0.to_string() }))).into_response()
    }
}

async fn overview(State(control): State<Control>) -> Json<Value> {
    Json(control.overview())
}

async fn runtimes(State(control): State<Control>) -> Json<Value> {
    Json(control.inspect(|state| json!(state.model.runtimes.values().collect::<Vec<_>>())))
}

async fn register(State(control): State<Control>, Json(wanted): Json<Register>) -> Answer {
    let id = control.register_runtime(&wanted.name);
    if let Some(applications) = wanted.formation {
        control.set_formation(&id, Some(applications))?;
    }
    for (key, value) in wanted.labels.unwrap_or_default() {
        control.set_runtime_label(&id, &key, value)?;
    }
    Ok(Json(json!({ "id": id })))
}

async fn remove_runtime(State(control): State<Control>, Path(runtime): Path<String>) -> Answer {
    let runtime = control.find_runtime(&runtime)?;
    Ok(Json(json!({ "removed": control.remove_runtime(&runtime) })))
}

async fn token(
    State(control): State<Control>,
    Path(runtime): Path<String>,
    Json(wanted): Json<TokenRequest>,
) -> Answer {
    let runtime = control.find_runtime(&runtime)?;
    let usual = control.inspect(|state| state.options.token_lifetime);
    let lifetime = wanted.expires_seconds.map_or(usual, Duration::from_secs);
    let content = control.mint_token_for(&runtime, wanted.form, lifetime)?;
    Ok(Json(json!({ "content": content })))
}

async fn revoke(State(control): State<Control>, Path(runtime): Path<String>) -> Answer {
    let runtime = control.find_runtime(&runtime)?;
    Ok(Json(json!({ "revoked": control.revoke(&runtime) })))
}

async fn expire(State(control): State<Control>, Path(runtime): Path<String>) -> Answer {
    let runtime = control.find_runtime(&runtime)?;
    Ok(Json(json!({ "expired": control.expire_tokens(&runtime) })))
}

async fn formation(
    State(control): State<Control>,
    Path(runtime): Path<String>,
    Json(applications): Json<Option<BTreeSet<String>>>,
) -> Answer {
    let runtime = control.find_runtime(&runtime)?;
    control.set_formation(&runtime, applications)?;
    Ok(Json(json!({})))
}

async fn scopes(
    State(control): State<Control>,
    Path(runtime): Path<String>,
    Json(scopes): Json<Vec<String>>,
) -> Answer {
    let runtime = control.find_runtime(&runtime)?;
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    control.set_scopes(&runtime, &scopes)?;
    Ok(Json(json!({})))
}

async fn labels(State(control): State<Control>, Path(runtime): Path<String>) -> Answer {
    let runtime = control.find_runtime(&runtime)?;
    Ok(Json(control.runtime_labels(&runtime).into()))
}

async fn instance_auths(State(control): State<Control>, Path(runtime): Path<String>) -> Answer {
    let runtime = control.find_runtime(&runtime)?;
    Ok(Json(json!(control.instance_auths(&runtime))))
}

async fn applications(State(control): State<Control>) -> Json<Value> {
    let listed = |app: &std::sync::Arc<Application>| json!({ "id": app.id, "name": app.name });
    Json(control.applications().iter().map(listed).collect())
}

/// One application, a list of them, or an object with the list `applications`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Load {
    Wrapped { applications: Vec<Application> },
    Many(Vec<Application>),
    One(Box<Application>),
}

async fn load(State(control): State<Control>, Json(load): Json<Load>) -> Json<Value> {
    let applications = match load {
        Load::Wrapped { applications } | Load::Many(applications) => applications,
        Load::One(application) => vec![*application],
    };
    let ids: Vec<String> = applications.into_iter().map(|application| control.put_application(application)).collect();
    Json(json!({ "ids": ids }))
}

async fn clear_applications(State(control): State<Control>) -> Json<Value> {
    control.edit(|model| model.applications.clear());
    Json(json!({}))
}

async fn application(State(control): State<Control>, Path(wanted): Path<String>) -> Answer {
    let id = control.find_application(&wanted)?;
    Ok(Json(control.inspect(|state| json!(state.model.applications.get(&id).map(|found| found.as_ref())))))
}

async fn change(State(control): State<Control>, Path(wanted): Path<String>, Json(changes): Json<Changes>) -> Answer {
    let id = control.find_application(&wanted)?;
    if changes.rotate_credentials {
        control.rotate_credentials(&id);
    }
    let now = control.clock().now();
    control.edit(|model| model.application_mut(&id).map(|application| changes.apply(application, now)));
    Ok(Json(json!({ "id": id })))
}

async fn remove(State(control): State<Control>, Path(wanted): Path<String>) -> Answer {
    let id = control.find_application(&wanted)?;
    control.delete_application(&id);
    Ok(Json(json!({ "id": id })))
}

async fn generate(State(control): State<Control>, Json(plan): Json<Generate>) -> Json<Value> {
    let ids = control.generate(plan);
    Json(json!({ "ids": ids }))
}

async fn answer(State(control): State<Control>, Path(id): Path<String>, Json(verdict): Json<Verdict>) -> Answer {
    control.answer_instance_auth(&id, verdict)?;
    Ok(Json(json!({})))
}

async fn settings(State(control): State<Control>) -> Json<Value> {
    Json(json!(control.inspect(|state| Settings::of(&state.options))))
}

async fn configure(State(control): State<Control>, Json(settings): Json<Settings>) -> Json<Value> {
    control.configure(|options| settings.apply(options));
    Json(json!(control.inspect(|state| Settings::of(&state.options))))
}

#[derive(Deserialize)]
struct Rotate {
    #[serde(default)]
    distrust_former: bool,
}

async fn rotate(State(control): State<Control>, Query(rotate): Query<Rotate>) -> Answer {
    control.rotate_client_ca().await?;
    if rotate.distrust_former {
        control.distrust_former_client_cas()?;
    }
    Ok(Json(json!({})))
}

async fn faults(State(control): State<Control>) -> Json<Value> {
    Json(control.inspect(|state| json!(state.faults())))
}

async fn fault(State(control): State<Control>, Json(fault): Json<Fault>) -> Json<Value> {
    control.fault(fault);
    Json(json!({}))
}

async fn clear_faults(State(control): State<Control>) -> Json<Value> {
    control.clear_faults();
    Json(json!({}))
}

async fn requests(State(control): State<Control>) -> Json<Value> {
    Json(control.inspect(|state| json!({ "counters": state.counters(), "requests": state.requests() })))
}

async fn clear_requests(State(control): State<Control>) -> Json<Value> {
    control.clear_requests();
    Json(json!({}))
}

#[derive(Deserialize)]
struct Whose {
    runtime: Option<String>,
}

async fn state(State(control): State<Control>, Query(whose): Query<Whose>) -> Answer {
    let runtime = whose.runtime.map(|runtime| control.find_runtime(&runtime)).transpose()?;
    Ok(Json(control.listing(runtime.as_deref())))
}

async fn canaries(State(control): State<Control>) -> Json<Value> {
    Json(control.canaries().into())
}
