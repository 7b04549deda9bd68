//! One request, one answer: reading, faults, execution, record, reply.

use std::{convert::Infallible, sync::Arc, time::Duration};

use async_graphql::parser::{parse_query, types::OperationType};
use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use serde_json::json;
use x509_cert::der::Decode;

use super::{
    body::{self, Body},
    kept::{Kept, Question, compressed},
    wire::Cut,
};
use crate::{
    Effect, Endpoint, Fault, Refusal, RetryAfter, State,
    identity::{self, Caller},
    record::Request,
    schema::{self, Answer, Call, Schemas},
    state::Shared,
    subject,
};

const LARGEST_REQUEST: usize = 4 << 20;

/// A connection after its handshake.
pub(crate) struct Connection {
    number: u64,
    endpoint: Endpoint,
    certificates: Vec<CertificateDer<'static>>,
    fingerprint: Option<String>,
    common_name: Option<String>,
    cut: Cut,
    shared: Arc<Shared>,
    schemas: Arc<Schemas>,
}

impl Connection {
    pub(crate) fn new(
        number: u64,
        endpoint: Endpoint,
        certificates: Vec<CertificateDer<'static>>,
        cut: Cut,
        shared: Arc<Shared>,
        schemas: Arc<Schemas>,
    ) -> Self {
        let leaf = certificates.first();
        let fingerprint = leaf.map(identity::fingerprint);
        let parsed = leaf.and_then(|leaf| x509_cert::Certificate::from_der(leaf).ok());
        let common_name = parsed.and_then(|leaf| subject::common_name(leaf.tbs_certificate().subject()));
        Self { number, endpoint, certificates, fingerprint, common_name, cut, shared, schemas }
    }
}

/// A reply before it is written, and whether the faults may still work on it.
struct Reply {
    status: u16,
    body: Vec<u8>,
    content_type: String,
    retry_after: Option<String>,
}

impl Reply {
    fn text(status: u16, body: &str) -> Self {
        Self { status, body: body.as_bytes().to_vec(), content_type: "text/plain".to_owned(), retry_after: None }
    }

    fn json(answer: Answer) -> Self {
        Self {
            status: answer.status,
            body: answer.body,
            content_type: "application/json".to_owned(),
            retry_after: None,
        }
    }
}

/// Answers one request, with a date by the plane's clock.
pub(crate) async fn answer(
    connection: Arc<Connection>,
    request: hyper::Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let shared = Arc::clone(&connection.shared);
    let mut response = respond_to(connection, request).await;
    let now = shared.read(|state| state.options.clock.now());
    if let Ok(date) = http_date(now).try_into() {
        response.headers_mut().insert(header::DATE, date);
    }
    Ok(response)
}

async fn respond_to(connection: Arc<Connection>, request: hyper::Request<Incoming>) -> Response<Body> {
    let (parts, incoming) = request.into_parts();
    if parts.uri.path() != connection.endpoint.path() {
        return plain(404, "404 page not found");
    }
    if parts.method != Method::POST {
        return plain(405, "405 method not allowed");
    }
    let Ok(body) = Limited::new(incoming, LARGEST_REQUEST).collect().await else {
        return plain(413, "413 Request Entity Too Large");
    };
    let body = body.to_bytes();
    let asked = Asked::read(&parts.headers, &body);
    let (faults, now) = connection
        .shared
        .note(|state| (state.faults.take_for_call(connection.endpoint, &asked.names()), state.options.clock.now()));
    let mut record = Request {
        sequence: 0,
        time: now.to_string(),
        answered: String::new(),
        endpoint: connection.endpoint,
        connection: connection.number,
        protocol: format!("{:?}", parts.version),
        fingerprint: connection.fingerprint.clone(),
        common_name: connection.common_name.clone(),
        operation: asked.operation.clone(),
        fields: asked.fields.clone(),
        query: asked.request.as_ref().map(|request| request.query.clone()).unwrap_or_default(),
        variables: asked.request.as_ref().map(|request| json!(request.variables)).unwrap_or_default(),
        tenant: text(&parts.headers, "tenant"),
        request_id: text(&parts.headers, "x-request-id"),
        user_agent: text(&parts.headers, "user-agent"),
        accept_encoding: text(&parts.headers, "accept-encoding"),
        token_present: parts.headers.contains_key("connector-token"),
        processed: false,
        status: None,
        errors: Vec::new(),
        faults: faults.iter().map(|fault| name(&fault.effect)).collect(),
    };
    let compressible = record.accept_encoding.as_deref().is_some_and(|accepted| accepted.contains("gzip"));
    let shared = &connection.shared;
    let (keeps, revision, bound) =
        shared.read(|state| (state.options.keep_answers, state.revision, state.options.remembered_requests));
    let keeps = keeps && faults.is_empty() && connection.endpoint == Endpoint::Director && asked.is_read_only();
    let question = keeps.then(|| Question {
        fingerprint: connection.fingerprint.clone(),
        tenant: record.tenant.clone(),
        compressible,
        operation: record.operation.clone(),
        query: record.query.clone(),
        variables: record.variables.to_string(),
    });
    if let Some(kept) = question.as_ref().and_then(|question| shared.answers.find(revision, question)) {
        record.processed = true;
        record.status = Some(200);
        shared.note(|state| state.note_answer(record, bound));
        return kept.response();
    }
    let spoiled = faults.iter().find(|fault| is_terminal(&fault.effect));
    let mut reply = None;
    if spoiled.is_none_or(|fault| fault.processed) {
        record.processed = true;
        let answered = carry_out(&connection, &parts.headers, asked, &faults).await;
        record.errors = answered.1;
        reply = Some(answered.0);
    }
    let replacement = spoiled.map(|fault| &fault.effect);
    if let Some(Effect::Status { status, body, content_type, retry_after }) = replacement {
        let retry_after = retry_after.map(|retry_after| written(retry_after, now));
        reply = Some(Reply { content_type: content_type.clone(), retry_after, ..Reply::text(*status, body) });
    } else if let Some(Effect::Body { body, content_type }) = replacement {
        reply = Some(Reply { content_type: content_type.clone(), ..Reply::text(200, body) });
    }
    let streamed = if let Some(Effect::Huge { bytes }) = replacement {
        Some(unbounded(body::blanks(*bytes), false))
    } else if let Some(Effect::GzipBomb { bytes }) = replacement {
        Some(unbounded(body::bomb(*bytes), true))
    } else if let Some(Effect::GzipNothing { bytes }) = replacement {
        Some(unbounded(body::nothing(*bytes), true))
    } else {
        None
    };
    let cut = matches!(replacement, Some(Effect::Reset));
    record.status = if cut { None } else { reply.as_ref().map(|reply| reply.status).or(Some(200)) };
    let keepable = record.status == Some(200) && record.errors.is_empty();
    shared.note(|state| state.note_answer(record, bound));
    for fault in &faults {
        if let Effect::Delay { milliseconds } = fault.effect {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        }
    }
    if cut {
        connection.cut.now();
    }
    if let Some(streamed) = streamed {
        return streamed;
    }
    let mut reply = reply.unwrap_or_else(|| Reply::text(200, ""));
    if let Some(question) = question.filter(|_| keepable) {
        let kept = Kept::of(reply.body, compressible);
        connection.shared.answers.keep(revision, question, kept.clone());
        return kept.response();
    }
    for fault in &faults {
        if let Effect::ContentType { content_type } = &fault.effect {
            reply.content_type.clone_from(content_type);
        }
    }
    shape(reply, &faults, compressible)
}

/// The effects that stand in for the answer.
fn is_terminal(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Status { .. }
            | Effect::Body { .. }
            | Effect::Reset
            | Effect::Huge { .. }
            | Effect::GzipBomb { .. }
            | Effect::GzipNothing { .. }
    )
}

/// An effect's name, as it is recorded.
fn name(effect: &Effect) -> String {
    let value = serde_json::to_value(effect).unwrap_or_default();
    value["kind"].as_str().unwrap_or_default().to_owned()
}

/// What a request asks, as far as it can be read.
struct Asked {
    request: Option<async_graphql::Request>,
    document: Result<async_graphql::parser::types::ExecutableDocument, String>,
    operation: Option<String>,
    fields: Vec<String>,
    is_json: bool,
}

impl Asked {
    fn read(headers: &HeaderMap, body: &[u8]) -> Self {
        let is_json = text(headers, "content-type").is_some_and(|kind| kind.starts_with("application/json"));
        let request: Option<async_graphql::Request> = serde_json::from_slice(body).ok();
        let query = request.as_ref().map_or("", |request| request.query.as_str());
        let document = parse_query(query).map_err(|error| error.to_string());
        let operation_name = request.as_ref().and_then(|request| request.operation_name.clone());
        let operation = document.as_ref().ok().and_then(|found| schema::operation(found, operation_name.as_deref()));
        let fields = operation.map(schema::root_fields).unwrap_or_default();
        let named = document.as_ref().ok().and_then(only_name);
        Self { operation: operation_name.or(named), fields, request, document, is_json }
    }

    /// Whether it only reads: a mutation is carried out each time.
    fn is_read_only(&self) -> bool {
        let operation =
            self.document.as_ref().ok().and_then(|found| schema::operation(found, self.operation.as_deref()));
        operation.is_some_and(|operation| operation.ty == OperationType::Query)
    }

    fn names(&self) -> Vec<String> {
        self.operation.iter().chain(&self.fields).cloned().collect()
    }
}

fn only_name(document: &async_graphql::parser::types::ExecutableDocument) -> Option<String> {
    let mut names = document.operations.iter().filter_map(|(name, _)| name.map(ToString::to_string));
    names.next().filter(|_| names.next().is_none())
}

/// Authenticates and executes; answers the reply and the messages in its `errors`.
async fn carry_out(
    connection: &Connection,
    headers: &HeaderMap,
    asked: Asked,
    faults: &[Fault],
) -> (Reply, Vec<String>) {
    let caller = match authenticate(connection, headers) {
        Ok(caller) => caller,
        Err(refusal) => return *refusal,
    };
    if connection.endpoint == Endpoint::Director {
        let answers = connection.shared.read(State::unanswered);
        if !answers.is_empty() {
            connection.shared.change(|state| state.answer_all(answers));
        }
    }
    let answer = match (asked.is_json, asked.request, asked.document) {
        (false, ..) => Answer::refusal(400, "transport not supported", &json!({})),
        (true, None, _) => Answer::refusal(400, "json body could not be decoded", &json!({})),
        (true, Some(_), Err(error)) => Answer::misfit("GRAPHQL_PARSE_FAILED", &error),
        (true, Some(request), Ok(document)) => {
            let call = Call::new(Arc::clone(&connection.shared), caller, text(headers, "tenant"), faults);
            let dialect = connection.shared.read(|state| state.options.dialect);
            let schema = match connection.endpoint {
                Endpoint::Connector | Endpoint::SecuredConnector => connection.schemas.connector(),
                Endpoint::Director => connection.schemas.director(dialect),
            };
            schema::execute(schema, request, document, call).await
        }
    };
    let errors = answer.errors.clone();
    (Reply::json(answer), errors)
}

type Refused = Box<(Reply, Vec<String>)>;

/// Who makes the call; `None` goes on unauthenticated, and the service itself says what it thinks of that.
fn authenticate(connection: &Connection, headers: &HeaderMap) -> Result<Option<Caller>, Refused> {
    let shared = &connection.shared;
    if !connection.endpoint.wants_certificate() {
        let token = text(headers, "connector-token");
        return Ok(token.and_then(|token| shared.change(|state| state.spend(&token))));
    }
    let (verifier, now, untrusted, revoked) = shared.read(|state| {
        let options = &state.options;
        (Arc::clone(&state.verifier), options.clock.unix(), options.untrusted, options.revoked)
    });
    let verified = match connection.certificates.split_first() {
        Some((leaf, rest)) => verifier.verify_client_cert(leaf, rest, now).is_ok(),
        None => false,
    };
    // With a TLS alert the handshake was the verdict: a connection outlives its certificate, as it does in the field.
    if !verified && untrusted != Refusal::TlsAlert {
        return refuse(untrusted);
    }
    let fingerprint = connection.fingerprint.as_deref().unwrap_or_default();
    let caller = shared.read(|state| state.recognise(fingerprint));
    let Some(caller) = caller else { return refuse(revoked) };
    if connection.endpoint == Endpoint::Director {
        connected(shared, &caller);
    }
    Ok(Some(caller))
}

fn refuse(refusal: Refusal) -> Result<Option<Caller>, Refused> {
    match refusal {
        Refusal::Graphql => Ok(None),
        // A connection that was made before the verdict can no longer be refused by an alert.
        Refusal::Gateway | Refusal::TlsAlert => {
            let message = "401 Unauthorized: the identity is not recognised";
            Err(Box::new((Reply::text(401, message), vec![message.to_owned()])))
        }
    }
}

/// Any call marks the runtime as connected.
fn connected(shared: &Shared, caller: &Caller) {
    let new = shared.read(|state| {
        state.model.runtimes.get(&caller.runtime).is_some_and(|runtime| runtime.status.condition != "CONNECTED")
    });
    if new {
        shared.change(|state| {
            let now = state.options.clock.now();
            if let Some(runtime) = state.model.runtimes.get_mut(&caller.runtime) {
                runtime.status.condition = "CONNECTED".to_owned();
                runtime.status.timestamp = now.to_string();
            }
        });
    }
}

fn shape(reply: Reply, faults: &[Fault], compressible: bool) -> Response<Body> {
    let mut builder = Response::builder()
        .status(StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
        .header(header::CONTENT_TYPE, reply.content_type);
    if let Some(retry_after) = reply.retry_after {
        builder = builder.header(header::RETRY_AFTER, retry_after);
    }
    let mut bytes = Bytes::from(reply.body);
    let named = faults.iter().find_map(|fault| match &fault.effect {
        Effect::ContentEncoding { coding } => Some(coding),
        _ => None,
    });
    if let Some(coding) = named {
        builder = builder.header(header::CONTENT_ENCODING, coding);
    } else if let Some(compressed) = compressed(&bytes, compressible) {
        bytes = compressed;
        builder = builder.header(header::CONTENT_ENCODING, "gzip");
    }
    builder = builder.header(header::CONTENT_LENGTH, bytes.len());
    let mut body = None;
    for fault in faults {
        if let Effect::Truncate { bytes: sent } = fault.effect {
            body = Some(body::short(bytes.slice(..bytes.len().saturating_sub(1).min(sent))));
        } else if let Effect::Drip { bytes: piece, milliseconds } = fault.effect {
            body = Some(body::drip(bytes.clone(), piece, Duration::from_millis(milliseconds)));
        }
    }
    respond(builder, body.unwrap_or_else(|| body::whole(bytes)))
}

fn unbounded(body: Body, compressed: bool) -> Response<Body> {
    let builder = Response::builder().header(header::CONTENT_TYPE, "application/json");
    respond(if compressed { builder.header(header::CONTENT_ENCODING, "gzip") } else { builder }, body)
}

fn plain(status: u16, message: &str) -> Response<Body> {
    shape(Reply::text(status, message), &[], false)
}

pub(super) fn respond(builder: http::response::Builder, body: Body) -> Response<Body> {
    // Only a content type that cannot be a header gets here as an error.
    builder.body(body).unwrap_or_else(|_| Response::new(body::whole("the fault cannot be written as a header")))
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn written(retry_after: RetryAfter, now: Timestamp) -> String {
    match retry_after {
        RetryAfter::Seconds(seconds) => seconds.to_string(),
        RetryAfter::Date(seconds) => http_date(now.checked_add(Duration::from_secs(seconds)).unwrap_or(Timestamp::MAX)),
    }
}

fn http_date(instant: Timestamp) -> String {
    instant.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
