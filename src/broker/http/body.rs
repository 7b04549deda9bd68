//! The bodies of requests. What is said about them never repeats what is in them.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};

use super::answer::{Fault, Word};
use super::attributes::digest;
use crate::broker::{Bind, Patience, Provision, SecretText, Wanted};

/// How long a body may be, in bytes: 64 KiB.
pub(super) const LONGEST: usize = 64 * 1024;

/// What two requests for an instance of one id have to agree in.
const OF_AN_INSTANCE: [&str; 7] =
    ["service_id", "plan_id", "context", "organization_guid", "space_guid", "parameters", "maintenance_info"];

/// What two requests for a binding of one id have to agree in.
const OF_A_BINDING: [&str; 7] =
    ["service_id", "plan_id", "context", "app_guid", "bind_resource", "parameters", "predecessor_binding_id"];

/// A body as it came.
pub(super) type Received = Result<Bytes, BytesRejection>;

/// A wish to change an instance.
#[derive(Debug)]
pub(super) struct Update {
    /// The plan that it is to have, where it is to have another.
    pub wanted: Option<Wanted>,
    /// Whatever else is to change, and cannot.
    pub impossible: Option<Fault>,
}

/// The JSON object that a body is.
struct Fields(Map<String, Value>);

pub(super) fn provision(headers: &HeaderMap, received: Received) -> Result<Provision, Fault> {
    let fields = Fields::read(headers, received)?;
    let wanted = Wanted { service: fields.required("service_id")?, plan: fields.required("plan_id")? };
    fields.required("organization_guid")?;
    fields.required("space_guid")?;
    for name in ["context", "parameters"] {
        fields.object(name)?;
    }
    fields.maintenance()?.map_or(Ok(()), Err)?;
    Ok(Provision { wanted, attributes: digest(&fields.0, &OF_AN_INSTANCE) })
}

pub(super) fn update(headers: &HeaderMap, received: Received) -> Result<Update, Fault> {
    let fields = Fields::read(headers, received)?;
    let service = fields.required("service_id")?;
    let plan = fields.text("plan_id")?;
    for name in ["context", "previous_values"] {
        fields.object(name)?;
    }
    let parameters = fields.object("parameters")?.is_some_and(|parameters| !parameters.is_empty());
    let fixed =
        || Fault::new(Word::NotSupported, "An instance here has no parameters, so none of them can be changed.");
    let impossible = fields.maintenance()?.or_else(|| parameters.then(fixed));
    Ok(Update { wanted: plan.map(|plan| Wanted { service, plan }), impossible })
}

pub(super) fn bind(headers: &HeaderMap, received: Received, patience: Patience) -> Result<Bind, Fault> {
    let fields = Fields::read(headers, received)?;
    let wanted = Wanted { service: fields.required("service_id")?, plan: fields.required("plan_id")? };
    for name in ["context", "bind_resource"] {
        fields.object(name)?;
    }
    fields.text("app_guid")?;
    let predecessor = fields.text("predecessor_binding_id")?.map(|id| {
        id.parse().map_err(|error| Fault::bad_request(format!("predecessor_binding_id cannot be an id: {error}.")))
    });
    let parameters = fields.object("parameters")?;
    let parameters = parameters.map(|parameters| SecretText::new(Value::Object(parameters.clone()).to_string()));
    let attributes = digest(&fields.0, &OF_A_BINDING);
    Ok(Bind { wanted, parameters, attributes, predecessor: predecessor.transpose()?, patience })
}

impl Fields {
    fn read(headers: &HeaderMap, received: Received) -> Result<Self, Fault> {
        if !is_json(headers) {
            return Err(Fault::bad_request("The body of the request has to be JSON: Content-Type: application/json."));
        }
        let bytes = received.map_err(|error| match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Fault::new(
                Word::ContentTooLarge,
                format!("The body of the request is longer than {LONGEST} bytes, which is the most that is taken."),
            ),
            _ => Fault::bad_request("The body of the request did not come whole, or not in time."),
        })?;
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(Fault::bad_request("The body of the request is no JSON object.")),
            Err(error) => {
                let (line, column) = (error.line(), error.column());
                Err(Fault::bad_request(format!("The body of the request is not JSON (line {line}, column {column}).")))
            }
        }
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &str) -> Result<Option<String>, Fault> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
            Some(_) => Err(Fault::bad_request(format!("{name} has to be a text that is not empty."))),
        }
    }

    fn required(&self, name: &str) -> Result<String, Fault> {
        self.text(name)?
            .ok_or_else(|| Fault::bad_request(format!("{name} is missing: it has to be a text that is not empty.")))
    }

    fn object(&self, name: &str) -> Result<Option<&Map<String, Value>>, Fault> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(_) => Err(Fault::bad_request(format!("{name} has to be a JSON object."))),
        }
    }

    /// What there is to say against the maintenance that a request wants: the catalog has none.
    fn maintenance(&self) -> Result<Option<Fault>, Fault> {
        let version = self.object("maintenance_info")?.and_then(|info| info.get("version"));
        let conflict = "The catalog has no maintenance_info for this plan, so no version of it can be asked for.";
        Ok(version.filter(|version| !version.is_null()).map(|_| Fault::new(Word::MaintenanceInfoConflict, conflict)))
    }
}

/// Whether the body says that it is JSON, or nothing at all.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else { return true };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const PROVISION: &str = r#"{"service_id":"s","plan_id":"p","organization_guid":"o","space_guid":"r","later":[1]}"#;
    const BIND: &str = r#"{"service_id":"s","plan_id":"p","parameters":{"n":"canary","a":[1]}}"#;

    fn received(text: &str) -> Received {
        Ok(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn bound(text: &str) -> Result<Bind, Fault> {
        bind(&HeaderMap::new(), received(text), Patience::Waits)
    }

    fn provisioned(text: &str) -> Result<Provision, Fault> {
        provision(&HeaderMap::new(), received(text))
    }

    #[test]
    fn an_instance_is_of_a_service_and_a_plan_and_for_an_organization_and_a_space() {
        let Provision { wanted, attributes } = provisioned(PROVISION).unwrap();
        assert_eq!(wanted, Wanted { service: "s".into(), plan: "p".into() });
        let same = provisioned(&PROVISION.replace(r#","later":[1]"#, "")).unwrap();
        assert_eq!(same.attributes, attributes, "what is not known is as good as not said");
        for (text, with) in [(r#""o""#, r#""other""#), (r#""r""#, r#""other""#), ("\"later\":[1]", "\"context\":{}")] {
            assert_ne!(provisioned(&PROVISION.replace(text, with)).unwrap().attributes, attributes, "{text}");
        }
        for name in ["service_id", "plan_id", "organization_guid", "space_guid"] {
            let mut fields: Map<String, Value> = serde_json::from_str(PROVISION).unwrap();
            for value in ["".into(), Value::Null, 1.into()] {
                fields.insert(name.to_owned(), value.clone());
                let fault = provisioned(&Value::Object(fields.clone()).to_string()).unwrap_err();
                assert!(format!("{fault:?}").contains(name), "{name} = {value}: {fault:?}");
            }
        }
    }

    #[test]
    fn what_is_no_json_object_is_refused_without_being_repeated() {
        for text in ["", "canary", "[\"canary\"]", "\"canary\"", "{\"canary\":}", &"[".repeat(1_000)] {
            let fault = format!("{:?}", provisioned(text).unwrap_err());
            assert!(fault.contains("BadRequest") && !fault.contains("canary"), "{text}: {fault}");
        }
        let fault = bound(r#"{"service_id":"s","plan_id":"p","parameters":"canary"}"#).unwrap_err();
        assert!(!format!("{fault:?}").contains("canary"), "{fault:?}");
    }

    #[test]
    fn another_type_of_content_is_refused() {
        let of_type = |value: &'static str| {
            let headers = [(CONTENT_TYPE, HeaderValue::from_static(value))].into_iter().collect();
            provision(&headers, received(PROVISION)).is_ok()
        };
        assert!(of_type("application/json") && of_type("Application/JSON; charset=utf-8"));
        assert!(!of_type("text/plain") && !of_type("application/x-www-form-urlencoded") && !of_type(""));
    }

    #[test]
    fn a_version_of_maintenance_is_a_conflict_for_there_is_none() {
        let with =
            |info: &str| provisioned(&PROVISION.replace("\"later\":[1]", &format!("\"maintenance_info\":{info}")));
        assert!(format!("{:?}", with(r#"{"version":"1.0.0"}"#).unwrap_err()).contains("MaintenanceInfoConflict"));
        assert!(with("{}").is_ok() && with("null").is_ok());
        assert!(format!("{:?}", with("1").unwrap_err()).contains("BadRequest"));
    }

    #[test]
    fn the_parameters_of_a_binding_are_handed_on_and_count_for_its_digest() {
        let bind = bound(BIND).unwrap();
        assert_eq!(bind.parameters.as_ref().unwrap().expose(), r#"{"a":[1],"n":"canary"}"#);
        assert!(!format!("{bind:?}").contains("canary"));
        let turned = r#"{"plan_id":"p","service_id":"s","parameters":{"a":[1],"n":"canary"}}"#;
        assert_eq!(bound(turned).unwrap().attributes, bind.attributes);
        for (text, with) in [("[1]", "[2]"), (r#""parameters""#, r#""predecessor_binding_id":"b","parameters""#)] {
            assert_ne!(bound(&BIND.replace(text, with)).unwrap().attributes, bind.attributes, "{text}");
        }
        let empty = bound(r#"{"service_id":"s","plan_id":"p","parameters":{}}"#).unwrap();
        assert_eq!(empty.parameters.unwrap().expose(), "{}", "which is not the same as none");
        assert!(bound(r#"{"service_id":"s","plan_id":"p"}"#).unwrap().parameters.is_none());
        assert!(bound(r#"{"service_id":"s","plan_id":"p","predecessor_binding_id":"a b"}"#).is_err());
    }

    #[test]
    fn an_update_names_its_service_and_nothing_but_the_plan_can_change() {
        let updated = |text: &str| update(&HeaderMap::new(), received(text));
        let Update { wanted, impossible } = updated(r#"{"service_id":"s","plan_id":"q","parameters":{}}"#).unwrap();
        assert_eq!((wanted, impossible), (Some(Wanted { service: "s".into(), plan: "q".into() }), None));
        assert!(updated(r#"{"service_id":"s","context":{"a":1}}"#).unwrap().wanted.is_none());
        assert!(updated(r#"{"service_id":"s","parameters":{"a":1}}"#).unwrap().impossible.is_some());
        assert!(updated(r#"{"service_id":"s","maintenance_info":{"version":"1"}}"#).unwrap().impossible.is_some());
        assert!(updated(r#"{"plan_id":"q"}"#).is_err());
    }
}
