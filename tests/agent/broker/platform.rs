//! A platform: what asks the broker for credentials, over its socket or at its address.

use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::host::{Host, within};

/// Who asks.
#[derive(Clone)]
pub struct Platform {
    client: Client,
    at: String,
    login: Option<(&'static str, &'static str)>,
}

/// What is answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    /// Nothing, where the answer has no body.
    pub body: Value,
}

impl Answer {
    /// A header, where there is one.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The word in which a refusal says what is wrong.
    pub fn error(&self) -> &str {
        let description = self.body["description"].as_str().unwrap_or_default();
        assert!(!description.is_empty(), "a refusal says why: {self:?}");
        self.body["error"].as_str().unwrap()
    }
}

impl Platform {
    /// One that asks at the socket of a host.
    pub fn at(host: &Host) -> Self {
        // Each request has a connection of its own: an agent that was killed leaves none that seems to be there.
        let client = Client::builder().unix_socket(host.path("run/broker.sock")).pool_max_idle_per_host(0);
        let client = client.no_proxy().build().unwrap();
        Self { client, at: "http://broker".into(), login: None }
    }

    /// One that asks at an address, by a password.
    pub fn at_address(address: &str, user: &'static str, password: &'static str) -> Self {
        let client = Client::builder().no_proxy().build().unwrap();
        Self { client, at: format!("http://{address}"), login: Some((user, password)) }
    }

    /// A request that says nothing yet but who asks.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.at));
        match self.login {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        }
    }

    /// Asks, in the words of the specification.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        self.ask_if_there(method, path, body).await.unwrap()
    }

    /// The same, where the broker may be gone before it answers.
    pub async fn ask_if_there(&self, method: Method, path: &str, body: Option<&Value>) -> reqwest::Result<Answer> {
        let request = self.request(method, path).header("x-broker-api-version", "2.17");
        let request = body
            .into_iter()
            .fold(request, |request, body| request.header("content-type", "application/json").body(body.to_string()));
        send(request).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, None).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.ask(Method::PUT, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.ask(Method::DELETE, path, None).await
    }

    /// Whether something is in the catalog.
    pub async fn is_offered(&self, offer: &Offer) -> bool {
        self.is_offered_if_there(offer).await.unwrap()
    }

    /// The same, where the broker may be gone before it answers.
    pub async fn is_offered_if_there(&self, offer: &Offer) -> reqwest::Result<bool> {
        let catalog = self.ask_if_there(Method::GET, "/v2/catalog", None).await?.body;
        Ok(catalog["services"].as_array().into_iter().flatten().any(|service| service["id"] == *offer.service))
    }

    /// Waits until something is in the catalog.
    pub async fn offers(&self, offer: &Offer) {
        within("the catalog with it", async { while !self.is_offered(offer).await {} }).await;
    }

    /// Waits until something is in the catalog no more.
    pub async fn offers_no_more(&self, offer: &Offer) {
        within("the catalog without it", async { while self.is_offered(offer).await {} }).await;
    }
}

/// Sends a request, and reads the whole answer.
pub async fn send(request: RequestBuilder) -> reqwest::Result<Answer> {
    let asked = async {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.bytes().await?;
        let body = if text.is_empty() { Value::Null } else { serde_json::from_slice(&text).unwrap() };
        Ok(Answer { status, headers, body })
    };
    within("an answer of the broker", asked).await
}

/// A plan of a service, as requests name it.
#[derive(Debug, Clone)]
pub struct Offer {
    pub service: String,
    pub plan: String,
}

impl Offer {
    /// What is said to make an instance of it.
    pub fn instance(&self) -> Value {
        json!({
            "service_id": self.service, "plan_id": self.plan,
            "organization_guid": "o", "space_guid": "s",
        })
    }

    /// What is said to bind it.
    pub fn binding(&self) -> Value {
        json!({ "service_id": self.service, "plan_id": self.plan })
    }

    /// What is said to delete an instance or a binding of it.
    pub fn query(&self) -> String {
        format!("service_id={}&plan_id={}", self.service, self.plan)
    }
}

/// The path of an instance.
pub fn instance(id: &str) -> String {
    format!("/v2/service_instances/{id}")
}

/// The path of a binding.
pub fn binding(of: &str, id: &str) -> String {
    format!("/v2/service_instances/{of}/service_bindings/{id}")
}
