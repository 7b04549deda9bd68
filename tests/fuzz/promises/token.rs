//! Whatever lies in the folder of tokens, it is a token that every other form can carry, or a refusal that quotes nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runtime_agent::token::{OneTimeToken, TokenError, parse};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use url::form_urlencoded::byte_serialize;

use super::{PLACE, SECRET, fits_a_line, planted, spells_the_secret};

/// A sentence of our own, with an excerpt of 240 characters in it at the most.
const LONGEST: usize = 600;

/// How many beginnings of a file are tried at the most, as many as one that is being written may show.
const BEGINNINGS: usize = 200;

/// Takes `content` for a token file.
///
/// # Panics
/// When a promise is broken.
pub fn hold(content: &[u8]) {
    if spells_the_secret(content) {
        return;
    }
    let (content, may_be_quoted) = plant(content);
    match (parse(&content), parse(&content)) {
        (Err(error), Err(again)) => {
            assert_eq!(error, again, "the same file is refused otherwise");
            let said = error.to_string();
            fits_a_line(&said, LONGEST);
            if !(may_be_quoted && matches!(error, TokenError::OtherKind(_))) {
                assert!(!format!("{said} {error:?}").contains(SECRET), "a secret is told: {said}");
            }
        }
        (Ok(token), Ok(again)) => {
            same(&token, &again);
            sound(&token);
            carried(&token);
            beginnings(&content, &token);
        }
        _ => panic!("the same file is taken once and refused once"),
    }
}

/// Puts secrets into a file, in JSON wherever a token can be; whether one may have come to the kind, which is quoted.
fn plant(content: &[u8]) -> (Vec<u8>, bool) {
    let json = |text: &[u8]| {
        let mut value: Value = serde_json::from_slice(text).ok()?;
        for (name, value) in value.as_object_mut()? {
            if let Value::String(text) = value
                && name != "type"
            {
                *text = text.replace(PLACE, SECRET);
            }
        }
        Some(value.to_string().into_bytes())
    };
    let encoded = || json(&STANDARD.decode(content.trim_ascii()).ok()?).map(|text| STANDARD.encode(text).into_bytes());
    match json(content).or_else(encoded) {
        Some(content) => (content, false),
        None => (planted(content), true),
    }
}

fn same(one: &OneTimeToken, other: &OneTimeToken) {
    assert_eq!(one.secret.expose_secret(), other.secret.expose_secret());
    assert_eq!(
        one.connector_url.as_ref().map(|url| url.as_url()),
        other.connector_url.as_ref().map(|url| url.as_url())
    );
    assert_eq!((&one.runtime, &one.tenant), (&other.runtime, &other.tenant));
    assert_eq!(one.expires_at, other.expires_at);
}

/// What can stand in a header, and in a line of the journal.
fn sound(token: &OneTimeToken) {
    let secret = token.secret.expose_secret();
    assert!(!secret.is_empty() && secret.bytes().all(|byte| byte.is_ascii_graphic()), "it fits into no header");
    let fingerprint = token.fingerprint();
    assert!(fingerprint.len() == 12 && fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit()), "{fingerprint}");
    let mut shown = String::new();
    for text in [
        token.connector_url.as_ref().map(ToString::to_string),
        token.runtime.as_ref().map(ToString::to_string),
        token.tenant.as_ref().map(ToString::to_string),
    ] {
        shown.push_str(&text.unwrap_or_default());
    }
    assert!(!shown.contains(char::is_control), "what is shown of it is not fit for a line: {shown:?}");
    if secret.contains(SECRET) && !shown.contains(SECRET) {
        assert!(!format!("{token:?}").contains(SECRET), "a secret is told: {token:?}");
    }
}

/// Every other form says the same.
fn carried(token: &OneTimeToken) {
    let secret = token.secret.expose_secret();
    let url = token.connector_url.as_ref().map(ToString::to_string);
    let mut json = json!({ "token": secret, "used": false, "type": "Runtime" });
    for (name, text) in [
        ("connectorURL", url),
        ("runtimeID", token.runtime.as_ref().map(ToString::to_string)),
        ("tenant", token.tenant.as_ref().map(ToString::to_string)),
        ("expiresAt", token.expires_at.as_ref().map(ToString::to_string)),
    ] {
        if let Some(text) = text {
            json[name] = text.into();
        }
    }
    let json = json.to_string();
    for text in [json.clone(), STANDARD.encode(&json)] {
        let again = parse(text.as_bytes()).expect("a token can be written as JSON");
        same(token, &again);
        assert!(again.self_delimiting, "JSON shows its own end");
    }
    if let Some(url) = &token.connector_url
        && url.as_url().query().is_none()
        && url.as_url().fragment().is_none()
    {
        let text = format!("{}?token={}", url.as_url(), byte_serialize(secret.as_bytes()).collect::<String>());
        let again = parse(text.as_bytes()).expect("a token can be written as a URL");
        assert_eq!(again.secret.expose_secret(), secret);
        assert_eq!(again.connector_url.as_ref().map(|url| url.as_url()), Some(url.as_url()));
    }
    if !secret.contains('"') {
        let text = format!("# of a test\nexport TOKEN=\"{secret}\"\n");
        assert_eq!(parse(text.as_bytes()).expect("a token can be written as a pair").secret.expose_secret(), secret);
    }
}

/// No beginning of a file is taken for a whole one that says something else.
fn beginnings(content: &[u8], token: &OneTimeToken) {
    for end in (0..content.len()).step_by(content.len().div_ceil(BEGINNINGS).max(1)) {
        if let Ok(half) = parse(&content[..end])
            && half.self_delimiting
        {
            same(&half, token);
        }
    }
}
