//! The forms of a token file, recognised by their content: JSON, the same in base64, `KEY=value` lines, a URL, or the
//! bare token.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::config::{HttpsUrl, InvalidUrl};
use crate::ids::{InvalidId, RuntimeId, TenantId};

/// A one-time token, with whatever the file said about its use.
#[derive(Debug, Clone)]
pub struct OneTimeToken {
    /// The token; every use that the Connector accepts spends it.
    pub secret: SecretString,
    /// The Connector that it is for.
    pub connector_url: Option<HttpsUrl>,
    /// The runtime that it is for, where the file named it.
    pub runtime: Option<RuntimeId>,
    /// The runtime's tenant, where the file named it.
    pub tenant: Option<TenantId>,
    /// When it expires, where the file said so.
    pub expires_at: Option<Timestamp>,
    /// Whether the form shows its own end, so that a half-written file cannot be taken for a whole one.
    pub self_delimiting: bool,
}

impl OneTimeToken {
    /// A name for the token that gives nothing of it away: the first digits of its SHA-256. (Tokens are long and
    /// random, so a digest cannot be searched backwards.)
    pub fn fingerprint(&self) -> String {
        let digest = digest::digest(&digest::SHA256, self.secret.expose_secret().as_bytes());
        digest.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Why a text is no usable token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Nothing but white space.
    #[error("it is empty")]
    Empty,
    /// Not UTF-8.
    #[error("it is not UTF-8 text")]
    NotText,
    /// It is the beginning of JSON.
    #[error("it is JSON that ends in the middle")]
    Unfinished,
    /// It looks like JSON and is not, or lacks the token.
    #[error("it looks like JSON but cannot be used: {0}")]
    Json(String),
    /// Lines of keys and values without the token.
    #[error("it has KEY=value lines, but none of them is TOKEN")]
    NoToken,
    /// A key stands twice.
    #[error("the key {0} stands in it more than once")]
    RepeatedKey(&'static str),
    /// A URL without the query parameter.
    #[error("it is a URL without the query parameter \u{201c}token\u{201d}")]
    UrlWithoutToken,
    /// The Connector's URL is not acceptable.
    #[error("its connector URL cannot be used: {0}")]
    ConnectorUrl(InvalidUrl),
    /// The runtime's id is not acceptable.
    #[error("its runtime id cannot be used: {0}")]
    RuntimeId(InvalidId),
    /// The tenant's id is not acceptable.
    #[error("its tenant cannot be used: {0}")]
    Tenant(InvalidId),
    /// The plane marked it as used.
    #[error("it says of itself that it was used already")]
    Used,
    /// It is for something that is not a runtime.
    #[error("it is for a {0}, not for a runtime")]
    OtherKind(String),
    /// What should be the token has a character that no token has.
    #[error(
        "it is none of the known forms: JSON, base64 of it, KEY=value lines, a URL with ?token=, or one bare token"
    )]
    Unrecognised,
}

#[derive(Deserialize)]
struct Json {
    token: SecretString,
    #[serde(rename = "connectorURL", alias = "connectorUrl", default)]
    connector_url: Option<String>,
    #[serde(default)]
    used: Option<bool>,
    #[serde(rename = "expiresAt", default)]
    expires_at: Option<String>,
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(rename = "runtimeID", alias = "runtimeId", default)]
    runtime: Option<String>,
    #[serde(default)]
    tenant: Option<String>,
}

/// Reads a token file's content.
///
/// # Errors
/// When it is no usable token; the message never quotes the content.
pub fn parse(content: &[u8]) -> Result<OneTimeToken, TokenError> {
    let text = std::str::from_utf8(content).map_err(|_| TokenError::NotText)?;
    // Editors on other systems begin text files with a byte order mark.
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        Err(TokenError::Empty)
    } else if text.starts_with('{') {
        json(text)
    } else if text.starts_with("https:") || text.starts_with("http:") {
        url(text)
    } else if is_pairs(text) {
        pairs(text)
    } else if let Some(decoded) = encoded(text) {
        json(&decoded)
    } else {
        Ok(OneTimeToken {
            secret: secret(text)?,
            connector_url: None,
            runtime: None,
            tenant: None,
            expires_at: None,
            self_delimiting: false,
        })
    }
}

/// Takes what can stand in an HTTP header; everything else is no token.
fn secret(text: &str) -> Result<SecretString, TokenError> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(SecretString::from(text))
    } else {
        Err(TokenError::Unrecognised)
    }
}

fn json(text: &str) -> Result<OneTimeToken, TokenError> {
    let json: Json = serde_json::from_str(text).map_err(|error| {
        // serde quotes values in its messages; the place is enough for a person who can see the file.
        let place = format!("line {}, column {}", error.line(), error.column());
        if error.is_eof() {
            return TokenError::Unfinished;
        }
        TokenError::Json(match error.classify() {
            serde_json::error::Category::Data if error.to_string().starts_with("missing field `token`") => {
                "it has no \u{201c}token\u{201d}".into()
            }
            serde_json::error::Category::Data => format!("a value of a wrong type at {place}"),
            _ => format!("it is malformed at {place}"),
        })
    })?;
    if json.used == Some(true) {
        return Err(TokenError::Used);
    }
    if let Some(kind) = json.kind.filter(|kind| !kind.eq_ignore_ascii_case("runtime")) {
        return Err(TokenError::OtherKind(crate::transport::excerpt(&kind, &[&json.token])));
    }
    let expires_at = match present(json.expires_at) {
        Some(text) => Some(text.parse().map_err(|_| TokenError::Json("\u{201c}expiresAt\u{201d} is no time".into()))?),
        None => None,
    };
    Ok(OneTimeToken {
        secret: secret(json.token.expose_secret().trim())?,
        connector_url: connector(present(json.connector_url))?,
        runtime: present(json.runtime).map(|id| id.parse().map_err(TokenError::RuntimeId)).transpose()?,
        tenant: present(json.tenant).map(|id| id.parse().map_err(TokenError::Tenant)).transpose()?,
        // The plane writes the zero time of its language where there is none.
        expires_at: expires_at.filter(|at: &Timestamp| *at > Timestamp::UNIX_EPOCH),
        self_delimiting: true,
    })
}

fn present(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn connector(text: Option<String>) -> Result<Option<HttpsUrl>, TokenError> {
    text.map(|text| text.parse().map_err(TokenError::ConnectorUrl)).transpose()
}

fn url(text: &str) -> Result<OneTimeToken, TokenError> {
    let whole: url::Url = text.parse().map_err(|error| TokenError::ConnectorUrl(InvalidUrl::Malformed(error)))?;
    let mut token = None;
    let mut others = Vec::new();
    for (key, value) in whole.query_pairs() {
        if key == "token" {
            if token.replace(SecretString::from(value.into_owned())).is_some() {
                return Err(TokenError::RepeatedKey("token"));
            }
        } else {
            others.push((key.into_owned(), value.into_owned()));
        }
    }
    let token = token.filter(|token| !token.expose_secret().is_empty()).ok_or(TokenError::UrlWithoutToken)?;
    let mut address = whole;
    address.set_query(None);
    address.set_fragment(None);
    if !others.is_empty() {
        address.query_pairs_mut().extend_pairs(others);
    }
    Ok(OneTimeToken {
        secret: secret(token.expose_secret())?,
        connector_url: Some(HttpsUrl::try_from(address).map_err(TokenError::ConnectorUrl)?),
        runtime: None,
        tenant: None,
        expires_at: None,
        self_delimiting: false,
    })
}

const KEYS: [&str; 4] = ["CONNECTOR_URL", "TOKEN", "RUNTIME_ID", "TENANT"];

/// The key and the value of a line in `KEY=value` or TOML spelling.
fn pair(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let (key, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
    let value = value.trim();
    let unquoted = ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote).and_then(|value| value.strip_suffix(quote)))
        .unwrap_or(value);
    Some((key.trim(), unquoted))
}

fn is_pairs(text: &str) -> bool {
    text.lines().filter_map(pair).any(|(key, _)| KEYS.iter().any(|known| key.eq_ignore_ascii_case(known)))
}

fn pairs(text: &str) -> Result<OneTimeToken, TokenError> {
    let mut values: [Option<&str>; 4] = [None; 4];
    for (key, value) in text.lines().filter_map(pair) {
        let Some(i) = KEYS.iter().position(|known| key.eq_ignore_ascii_case(known)) else { continue };
        if values[i].replace(value).is_some() {
            return Err(TokenError::RepeatedKey(KEYS[i]));
        }
    }
    let [url, token, runtime, tenant] = values.map(|value| value.filter(|value| !value.is_empty()));
    Ok(OneTimeToken {
        secret: secret(token.ok_or(TokenError::NoToken)?)?,
        connector_url: connector(url.map(str::to_owned))?,
        runtime: runtime.map(|id| id.parse().map_err(TokenError::RuntimeId)).transpose()?,
        tenant: tenant.map(|id| id.parse().map_err(TokenError::Tenant)).transpose()?,
        expires_at: None,
        self_delimiting: false,
    })
}

/// The JSON inside base64, if that is what it is. Lines may be wrapped.
fn encoded(text: &str) -> Option<Zeroizing<String>> {
    let joined: Zeroizing<Vec<u8>> = Zeroizing::new(text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect());
    let decoded = STANDARD.decode(&*joined).or_else(|_| STANDARD_NO_PAD.decode(&*joined)).ok()?;
    let decoded = Zeroizing::new(String::from_utf8(decoded).ok()?);
    decoded.trim_start().starts_with('{').then_some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"token":"canary-1","connectorURL":"https://c.example.com/graphql","used":false,
        "expiresAt":"2026-11-22T13:00:00.5+01:00","createdAt":"x","usedAt":"0001-01-01T00:00:00Z","type":"Runtime",
        "scenario_groups":null}"#;

    fn secret_of(content: &str) -> String {
        parse(content.as_bytes()).unwrap().secret.expose_secret().to_owned()
    }

    #[test]
    fn every_form_is_recognised_by_its_content() {
        let token = parse(JSON.as_bytes()).unwrap();
        assert_eq!(token.secret.expose_secret(), "canary-1");
        assert_eq!(token.connector_url.unwrap().to_string(), "https://c.example.com/graphql");
        assert_eq!(token.expires_at.unwrap().to_string(), "2026-11-22T12:00:00.5Z");
        assert_eq!(secret_of(&STANDARD.encode(JSON)), "canary-1");

        let token = parse(
            b"# a comment\nCONNECTOR_URL=https://c.example.com/graphql\nexport TOKEN='canary-2'\nRUNTIME_ID=rt-1\nTENANT=t-1\n",
        )
        .unwrap();
        assert_eq!(token.secret.expose_secret(), "canary-2");
        assert_eq!((token.runtime.unwrap().as_str(), token.tenant.unwrap().as_str()), ("rt-1", "t-1"));
        assert_eq!(secret_of("connector_url = \"https://c.example.com\"\ntoken = \"canary-3\"\n"), "canary-3");

        let token = parse(b"https://c.example.com/graphql?a=b&token=canary-4").unwrap();
        assert_eq!(token.secret.expose_secret(), "canary-4");
        assert_eq!(token.connector_url.unwrap().to_string(), "https://c.example.com/graphql?a=b");

        assert_eq!(secret_of("\u{feff}canary-5==\r\n"), "canary-5==");
    }

    #[test]
    fn what_is_no_token_is_refused_with_a_sentence_that_does_not_quote_it() {
        let refusals: [(&[u8], &str); 12] = [
            (b" \n", "empty"),
            (b"\xff\xfe", "UTF-8"),
            (b"{\"token\":\"canary-", "ends in the middle"),
            (b"{\"connectorURL\":\"https://c.example.com\"}", "no \u{201c}token\u{201d}"),
            (b"{\"token\":\"canary\",\"used\":true}", "used already"),
            (b"{\"token\":\"canary\",\"type\":\"Application\"}", "for a Application"),
            (b"{\"token\":\"canary\",\"connectorURL\":\"http://c.example.com\"}", "only https"),
            (b"TENANT=canary\n", "none of them is TOKEN"),
            (b"TOKEN=canary\nTOKEN=canary2\n", "more than once"),
            (b"https://c.example.com/graphql", "query parameter"),
            (b"http://c.example.com/?token=canary", "only https"),
            (b"two canary words", "none of the known forms"),
        ];
        for (content, expected) in refusals {
            let error = parse(content).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn debug_output_and_the_fingerprint_do_not_show_the_token() {
        let token = parse(JSON.as_bytes()).unwrap();
        assert!(!format!("{token:?}").contains("canary"));
        assert_eq!(token.fingerprint().len(), 12);
    }
}
