//! The forms of a token file, recognised by their content: JSON, the same in base64, `KEY=value` lines, a URL, or the
//! bare token.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
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

/// How large a token file may be, in bytes.
pub const MAX_TOKEN_FILE: u64 = 64 * 1024;

/// Why a text is no usable token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// More than [`MAX_TOKEN_FILE`].
    #[error("it is larger than 64 KiB, which no token is")]
    TooLarge,
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
    #[error("it has KEY=value lines, but none of them is a TOKEN with a value")]
    NoToken,
    /// A value begins with a quotation mark and does not end with it.
    #[error("the value of {0} in it begins with a quotation mark and does not end with one")]
    Quotation(&'static str),
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
    if content.len() as u64 > MAX_TOKEN_FILE {
        return Err(TokenError::TooLarge);
    }
    let text = std::str::from_utf8(content).map_err(|_| TokenError::NotText)?;
    // Editors on other systems begin text files with a byte order mark.
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        Err(TokenError::Empty)
    } else if text.starts_with('{') {
        json(text)
    } else if is_url(text) {
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

/// Takes what can stand in an HTTP header; everything else is no token. An equals sign is found at the end of tokens only,
/// where it pads them: in the middle, it belongs to a key that is not known.
fn secret(text: &str) -> Result<SecretString, TokenError> {
    let unpadded = text.trim_end_matches('=');
    if !unpadded.is_empty() && unpadded.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'=') {
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
    let token = json.token.expose_secret().trim();
    if token.is_empty() {
        return Err(TokenError::Json("its \u{201c}token\u{201d} is empty".into()));
    }
    let expires_at = match present(json.expires_at) {
        Some(text) => Some(text.parse().map_err(|_| TokenError::Json("\u{201c}expiresAt\u{201d} is no time".into()))?),
        None => None,
    };
    Ok(OneTimeToken {
        secret: secret(token)?,
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

/// Whether the text begins with a scheme, whichever it is.
fn is_url(text: &str) -> bool {
    let scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    text.split_once("://").is_some_and(|(before, _)| scheme(before))
}

/// The token is taken out of the text before the rest of it becomes a [`url::Url`], which would keep it.
fn url(text: &str) -> Result<OneTimeToken, TokenError> {
    let text = text.split_once('#').map_or(text, |(before, _)| before);
    let (address, query) = text.split_once('?').unwrap_or((text, ""));
    let mut address: url::Url =
        address.parse().map_err(|error| TokenError::ConnectorUrl(InvalidUrl::Malformed(error)))?;
    let mut token = None;
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let value = Zeroizing::new(value.into_owned());
        if key != "token" {
            address.query_pairs_mut().append_pair(&key, &value);
        } else if token.replace(value).is_some() {
            return Err(TokenError::RepeatedKey("token"));
        }
    }
    let token = token.filter(|token| !token.is_empty()).ok_or(TokenError::UrlWithoutToken)?;
    Ok(OneTimeToken {
        // A form would have a plus sign mean a space, which no token has; base64 has plus signs.
        secret: secret(&Zeroizing::new(token.replace(' ', "+")))?,
        connector_url: Some(HttpsUrl::try_from(address).map_err(TokenError::ConnectorUrl)?),
        runtime: None,
        tenant: None,
        expires_at: None,
        self_delimiting: false,
    })
}

const KEYS: [&str; 4] = ["CONNECTOR_URL", "TOKEN", "RUNTIME_ID", "TENANT"];

/// The key and what is written for its value, of a line in `KEY=value` or TOML spelling.
fn pair(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let exported = line.strip_prefix("export").filter(|rest| rest.starts_with(char::is_whitespace));
    let (key, value) = exported.unwrap_or(line).split_once('=')?;
    Some((key.trim(), value.trim()))
}

/// The value without quotation marks, and without a comment behind it; nothing where a quotation has no end.
fn unquoted(written: &str) -> Option<&str> {
    let is_over = |rest: &str| rest.trim_start().is_empty() || rest.trim_start().starts_with('#');
    match written.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let (inside, rest) = written[1..].split_once(quote)?;
            is_over(rest).then_some(inside)
        }
        Some('#') => Some(""),
        // In a word, `#` is a character like others.
        _ => Some(written.split_whitespace().next().filter(|word| is_over(&written[word.len()..])).unwrap_or(written)),
    }
}

fn is_pairs(text: &str) -> bool {
    text.lines().filter_map(pair).any(|(key, _)| KEYS.iter().any(|known| key.eq_ignore_ascii_case(known)))
}

fn pairs(text: &str) -> Result<OneTimeToken, TokenError> {
    let mut values: [Option<&str>; 4] = [None; 4];
    for (key, value) in text.lines().filter_map(pair) {
        let Some(i) = KEYS.iter().position(|known| key.eq_ignore_ascii_case(known)) else { continue };
        let value = unquoted(value).ok_or(TokenError::Quotation(KEYS[i]))?;
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

/// Takes base64 that ends in the middle for what it is: the beginning of something.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The JSON inside base64, if that is what it is, or its beginning. Lines may be wrapped.
fn encoded(text: &str) -> Option<Zeroizing<String>> {
    let joined: Zeroizing<Vec<u8>> = Zeroizing::new(text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect());
    // One digit says nothing yet of a byte.
    let whole = joined.len() - usize::from(joined.len() % 4 == 1);
    let decoded = Zeroizing::new(LENIENT.decode(&joined[..whole]).ok()?);
    let text = match std::str::from_utf8(&decoded) {
        Ok(text) => text,
        // A character that ends in the middle.
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&decoded[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    text.trim_start().starts_with('{').then(|| Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests;
