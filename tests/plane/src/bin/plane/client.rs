//! Talking to the administration of a running plane.

use std::{env, fs, path::PathBuf};

use reqwest::Method;
use serde_json::Value;

use crate::{Failure, arguments::Place};

/// The administration of a running plane.
pub(crate) struct Admin {
    url: String,
    client: reqwest::Client,
}

impl Admin {
    pub(crate) fn find(place: Place) -> Result<Self, Failure> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let chosen = place.admin.or_else(|| place.dir.is_none().then(|| env::var("PLANE_ADMIN").ok()).flatten());
        let url = match chosen {
            Some(url) => url,
            None => written(place.dir)?,
        };
        Ok(Self { url: url.trim_end_matches('/').to_owned(), client })
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let url = format!("{}{path}", self.url);
        let request = self.client.request(method, &url);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let response = request.send().await.map_err(|error| format!("No plane answers at {url}: {error}."))?;
        let (status, text) = (response.status(), response.text().await?);
        let value: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        if status.is_success() {
            return Ok(value);
        }
        let message =
            value["error"].as_str().map_or_else(|| format!("The plane answered {status}: {value}"), str::to_owned);
        Err(message.into())
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.call(Method::POST, path, Some(body)).await
    }
}

/// The URL in `plane.json`.
fn written(dir: Option<PathBuf>) -> Result<String, Failure> {
    let dir = dir.or_else(|| env::var_os("PLANE_DIR").map(PathBuf::from)).unwrap_or_default();
    let path = dir.join("plane.json");
    let text = fs::read_to_string(&path)
        .map_err(|error| format!("{} cannot be read: {error}. Is a plane running there?", path.display()))?;
    let value: Value =
        serde_json::from_str(&text).map_err(|error| format!("{} is damaged: {error}.", path.display()))?;
    Ok(value["adminURL"].as_str().unwrap_or_default().to_owned())
}

/// A name or id as a part of a path.
pub(crate) fn segment(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}
