//! The record of what the plane was asked: the latest requests, and counters of all.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Endpoint;

/// A request that the plane was sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// Counts all requests from 1.
    pub sequence: u64,
    /// When it had come in whole, in RFC 3339.
    pub time: String,
    /// When the answer to it was ready to be sent, in RFC 3339.
    pub answered: String,
    /// Where it was sent.
    pub endpoint: Endpoint,
    /// The connection it came on; counted over all endpoints.
    pub connection: u64,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub protocol: String,
    /// The SHA-256 of the client's certificate, in hexadecimal digits.
    pub fingerprint: Option<String>,
    /// The common name in the client's certificate: the id of an authentication.
    pub common_name: Option<String>,
    /// The operation's name.
    pub operation: Option<String>,
    /// The fields at the root of the query.
    pub fields: Vec<String>,
    /// The query.
    pub query: String,
    /// The variables.
    pub variables: Value,
    /// The header `Tenant`.
    pub tenant: Option<String>,
    /// The header `x-request-id`.
    pub request_id: Option<String>,
    /// The header `User-Agent`.
    pub user_agent: Option<String>,
    /// The header `Accept-Encoding`.
    pub accept_encoding: Option<String>,
    /// Whether there was a header `Connector-Token`.
    pub token_present: bool,
    /// Whether it was carried out.
    pub processed: bool,
    /// The HTTP status of the answer; none if there was no answer.
    pub status: Option<u16>,
    /// The messages in the answer's `errors`.
    pub errors: Vec<String>,
    /// The effects of the faults that hit it.
    pub faults: Vec<String>,
}

impl Request {
    /// Whether this is a call of that name: the operation's, or that of a field at its root.
    pub fn is(&self, name: &str) -> bool {
        self.operation.as_deref() == Some(name) || self.fields.iter().any(|field| field == name)
    }
}

/// What was counted since the plane started.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Requests, by endpoint and first root field.
    pub requests: BTreeMap<String, u64>,
    /// TCP connections, by endpoint.
    pub connections: BTreeMap<String, u64>,
    /// Handshakes that failed, by endpoint.
    pub failed_handshakes: BTreeMap<String, u64>,
    /// Why the latest handshake failed.
    pub last_handshake_failure: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) requests: VecDeque<Request>,
    pub(crate) counters: Counters,
    sequence: u64,
}

impl Log {
    pub(crate) fn add(&mut self, mut request: Request, bound: usize) {
        self.sequence += 1;
        request.sequence = self.sequence;
        let field = request.fields.first().map_or("-", String::as_str);
        *self.counters.requests.entry(format!("{} {field}", request.endpoint.name())).or_default() += 1;
        while self.requests.len() >= bound.max(1) {
            self.requests.pop_front();
        }
        self.requests.push_back(request);
        self.requests.make_contiguous();
    }

    /// Counts a connection and tells its number.
    pub(crate) fn connected(&mut self, endpoint: Endpoint) -> u64 {
        *self.counters.connections.entry(endpoint.name().to_owned()).or_default() += 1;
        self.counters.connections.values().sum()
    }

    pub(crate) fn handshake_failed(&mut self, endpoint: Endpoint, why: String) {
        *self.counters.failed_handshakes.entry(endpoint.name().to_owned()).or_default() += 1;
        self.counters.last_handshake_failure = Some(why);
    }
}
