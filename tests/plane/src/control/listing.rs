//! Descriptions of a plane as JSON: where it is, and what it would list.

use serde_json::{Value, json};

use crate::{Control, Error, State};

impl Control {
    /// Where the plane is met, as it is written to `plane.json`.
    pub fn overview(&self) -> Value {
        json!({
            "connectorURL": self.connector_url(),
            "certificateSecuredConnectorURL": self.secured_connector_url(),
            "directorURL": self.director_url(),
            "adminURL": self.admin_url(),
            "tenant": self.tenant(),
            "pid": std::process::id(),
            "serverCA": self.server_ca_pem(),
        })
    }

    /// Everything that is listed for a runtime, or for all.
    pub fn listing(&self, runtime: Option<&str>) -> Value {
        self.inspect(|state| {
            let asked = |id: &String| runtime.is_none_or(|wanted| wanted == id);
            let runtimes = state.model.runtimes.iter().filter(|(id, _)| asked(id));
            let runtimes: Vec<Value> = runtimes
                .map(|(id, known)| {
                    let mut entry = json!(known);
                    entry["applications"] =
                        state.model.applications.keys().filter(|app| known.sees(app)).cloned().collect();
                    entry["certificates"] = state.certificates_of(id);
                    entry
                })
                .collect();
            let seen = |id: &String| match runtime.and_then(|wanted| state.model.runtimes.get(wanted)) {
                Some(runtime) => runtime.sees(id),
                None => true,
            };
            let applications = state.model.applications.iter().filter(|(id, _)| seen(id));
            let applications: Vec<Value> = applications.map(|(_, application)| json!(**application)).collect();
            json!({ "tenants": state.model.tenants, "runtimes": runtimes, "applications": applications })
        })
    }

    /// The id of the runtime with that id or name.
    pub fn find_runtime(&self, wanted: &str) -> Result<String, Error> {
        let find = |state: &State| {
            let mut all = state.model.runtimes.values();
            Some(all.find(|runtime| runtime.id == wanted || runtime.name == wanted)?.id.clone())
        };
        self.inspect(find).ok_or_else(|| Error::unknown("runtime", wanted))
    }

    /// The id of the application with that id or name.
    pub fn find_application(&self, wanted: &str) -> Result<String, Error> {
        let find = |state: &State| {
            let mut all = state.model.applications.values();
            let by_id = state.model.applications.get(wanted);
            Some(by_id.or_else(|| all.find(|application| application.name == wanted))?.id.clone())
        };
        self.inspect(find).ok_or_else(|| Error::unknown("application", wanted))
    }
}
