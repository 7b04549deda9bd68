//! Credentials for a person: an instance and a binding, made and given back as a platform does it.

use std::path::Path;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::platform::{Answered, Platform, PlatformError, segment};
use crate::broker::Overview;
use crate::control::ControlError;
use crate::disk::{self, DiskError};
use crate::ids::ServiceBindingId;

/// How often it is asked what has become of an operation, where the broker does not say when.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// What begins the ids of instances that this command makes, so that it removes none of others.
const OWN: &str = "runtime-agent-cli.";

/// Largest file of parameters that is read, in bytes.
const LARGEST_PARAMETERS: u64 = 64 * 1024;

/// What is wanted.
#[derive(Debug)]
pub(super) struct Errand {
    /// The service, by its name or its id.
    pub(super) service: String,
    /// The plan, likewise.
    pub(super) plan: String,
    /// What the binding is to be called.
    pub(super) binding: Option<ServiceBindingId>,
    /// How long to wait for it.
    pub(super) timeout: Duration,
}

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The agent.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The broker.
    #[error(transparent)]
    Platform(#[from] PlatformError),
    /// The file.
    #[error("the credentials are there, and not written: {0}. Run the same command again with --binding {1}")]
    NotWritten(DiskError, String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

#[derive(Deserialize)]
struct Catalog {
    services: Vec<Service>,
}

#[derive(Deserialize)]
struct Service {
    id: String,
    name: String,
    plans: Vec<Plan>,
}

#[derive(Deserialize)]
struct Plan {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Operation {
    state: String,
    description: Option<String>,
}

/// The parameters in a file: a JSON object.
pub(super) fn read_parameters(path: &Path) -> Result<Value, Trouble> {
    let failed = |why: &dyn std::fmt::Display| Trouble::Other(format!("the parameters in {}: {why}", path.display()));
    let length = std::fs::metadata(path).map_err(|error| failed(&error))?.len();
    if length > LARGEST_PARAMETERS {
        return Err(failed(&format_args!("they are longer than {LARGEST_PARAMETERS} bytes")));
    }
    let text = std::fs::read(path).map_err(|error| failed(&error))?;
    match serde_json::from_slice(&text) {
        Ok(Value::Object(members)) => Ok(Value::Object(members)),
        // What serde says may quote them.
        Ok(_) | Err(_) => Err(failed(&"they are not a JSON object")),
    }
}

/// Makes a binding, and writes its credentials to a file that nobody else can read.
pub(super) async fn bind(
    socket: &Path,
    errand: &Errand,
    to: &Path,
    parameters: Option<Value>,
) -> Result<String, Trouble> {
    usable(to)?;
    let platform = Platform::new(socket)?;
    let catalog: Catalog = platform.ask(Method::GET, "/v2/catalog", None).await?.body()?;
    let (service, plan) = find(&catalog, errand)?;
    let offer = json!({ "service_id": service.id, "plan_id": plan.id });
    // One instance for all bindings of a plan that are made like this.
    let instance = format!("{OWN}{}", fingerprint(&service.id, &plan.id));
    let mut wanted = offer.clone();
    wanted["organization_guid"] = json!("runtime-agent");
    wanted["space_guid"] = json!("runtime-agent");
    platform.ask(Method::PUT, &format!("/v2/service_instances/{}", segment(&instance)), Some(&wanted)).await?;
    let binding = match &errand.binding {
        Some(binding) => binding.to_string(),
        None => uuid::Uuid::new_v4().to_string(),
    };
    let path = format!("/v2/service_instances/{}/service_bindings/{}", segment(&instance), segment(&binding));
    let mut wanted = offer;
    if let Some(parameters) = parameters {
        wanted["parameters"] = parameters;
    }
    let credentials = credentials(&platform, &path, &wanted, errand.timeout).await.map_err(|trouble| {
        // Whatever came of it, it has a name by now.
        Trouble::Other(format!(
            "{}. To look again, run the same command with --binding {binding}; to give up, run `runtime-agent broker unbind \
             {binding}`",
            trouble.to_string().trim_end_matches('.')
        ))
    })?;
    let mut text = zeroize::Zeroizing::new(credentials.expose_secret().to_owned());
    text.push('\n');
    disk::write(to, 0o600, text.as_bytes()).map_err(|error| Trouble::NotWritten(error, binding.clone()))?;
    Ok(format!(
        "The credentials of {} {} are in {}. `runtime-agent broker unbind {binding}` gives them back.",
        service.name,
        plan.name,
        to.display()
    ))
}

/// The credentials of a binding, which is asked for, or was before.
async fn credentials(
    platform: &Platform,
    path: &str,
    wanted: &Value,
    timeout: Duration,
) -> Result<secrecy::SecretString, Trouble> {
    let asked = platform.ask(Method::PUT, &format!("{path}?accepts_incomplete=true"), Some(wanted)).await?;
    if asked.status != StatusCode::ACCEPTED {
        return Ok(asked.credentials()?);
    }
    wait(platform, path, timeout).await?;
    Ok(platform.ask(Method::GET, path, None).await?.credentials()?)
}

/// Whether a file can be put there; seen before anything is asked for.
fn usable(to: &Path) -> Result<(), Trouble> {
    let other = |why: &str| Trouble::Other(format!("the credentials cannot be written to {}: {why}", to.display()));
    match std::fs::symlink_metadata(to) {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Err(other("there is something else than a file")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(other(&error.to_string())),
    }
    let folder = to.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    match std::fs::metadata(folder) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(other("what is before the name is no folder")),
        Err(error) => Err(other(&error.to_string())),
    }
}

/// Gives a binding back, and removes its instance, where this command made it and it is the last.
pub(super) async fn unbind(
    socket: &Path,
    overview: &Overview,
    binding: &ServiceBindingId,
    timeout: Duration,
) -> Result<String, Trouble> {
    let mut found = overview.bindings.iter().filter(|row| row.id == *binding);
    let row = match (found.next(), found.next()) {
        (Some(row), None) => row,
        (None, _) => {
            return Err(Trouble::Other(format!(
                "there is no binding {binding}; `runtime-agent broker bindings` lists those that there are"
            )));
        }
        (Some(_), Some(_)) => {
            return Err(Trouble::Other(format!(
                "several instances have a binding {binding}: whoever made them has to delete them"
            )));
        }
    };
    let platform = Platform::new(socket)?;
    let offer =
        format!("service_id={}&plan_id={}", segment(row.offer.service.as_str()), segment(row.offer.plan.as_str()));
    let instance = format!("/v2/service_instances/{}", segment(row.instance.as_str()));
    let path = format!("{instance}/service_bindings/{}", segment(binding.as_str()));
    let asked = platform.ask(Method::DELETE, &format!("{path}?{offer}&accepts_incomplete=true"), None).await;
    match asked {
        Ok(Answered { status: StatusCode::ACCEPTED, .. }) => wait(&platform, &path, timeout).await?,
        Ok(_) | Err(PlatformError::Refused { status: StatusCode::GONE, .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let last = !overview.bindings.iter().any(|other| other.instance == row.instance && other.id != row.id);
    if last && row.instance.as_str().starts_with(OWN) {
        platform.ask(Method::DELETE, &format!("{instance}?{offer}"), None).await?;
    }
    Ok(format!("The binding {binding} is deleted."))
}

/// Waits for the end of an operation.
async fn wait(platform: &Platform, path: &str, timeout: Duration) -> Result<(), Trouble> {
    let until = Instant::now() + timeout;
    loop {
        let answered = match platform.ask(Method::GET, &format!("{path}/last_operation"), None).await {
            // What was deleted may be forgotten already.
            Err(PlatformError::Refused { status: StatusCode::GONE, .. }) => return Ok(()),
            answered => answered?,
        };
        let operation: Operation = answered.body()?;
        let why = || operation.description.clone().unwrap_or_else(|| "The broker says no more.".into());
        match &*operation.state {
            "succeeded" => return Ok(()),
            "failed" => return Err(Trouble::Other(why())),
            _ if Instant::now() >= until => {
                return Err(Trouble::Other(format!("This is not done yet, and goes on by itself. {}", why())));
            }
            _ => {}
        }
        let pause = answered.ask_again_in.unwrap_or(ASK_AGAIN).clamp(Duration::from_millis(100), ASK_AGAIN);
        tokio::time::sleep_until((Instant::now() + pause).min(until)).await;
    }
}

/// The service and plan that are meant.
fn find<'a>(catalog: &'a Catalog, errand: &Errand) -> Result<(&'a Service, &'a Plan), Trouble> {
    let missing = |what: String| {
        Trouble::Other(format!("{what}; `runtime-agent broker services` lists the services and plans that there are"))
    };
    let services = &catalog.services;
    let service = services.iter().find(|service| service.id == errand.service || service.name == errand.service);
    let service = service.ok_or_else(|| missing(format!("there is no service {:?}", errand.service)))?;
    let plan = service.plans.iter().find(|plan| plan.id == errand.plan || plan.name == errand.plan);
    let plan = plan.ok_or_else(|| missing(format!("the service {} has no plan {:?}", service.name, errand.plan)))?;
    Ok((service, plan))
}

/// A short name for a plan of a service, which no other has.
fn fingerprint(service: &str, plan: &str) -> String {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for part in [service, "\0", plan] {
        context.update(part.as_bytes());
    }
    let digest = context.finish();
    digest.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}
