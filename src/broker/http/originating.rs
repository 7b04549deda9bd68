//! On whose behalf a platform asks: the header `X-Broker-API-Originating-Identity`. It is looked at only to see that it is
//! well formed; who it is decides nothing here.

use std::fmt;

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::answer::Fault;

/// The header: a word for the platform, a space, and a JSON object in Base64.
pub(super) const HEADER: &str = "x-broker-api-originating-identity";

/// The longest word for a platform, in bytes. The specification's own are shorter than 16.
const LONGEST: usize = 64;

/// Some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a platform calls itself: a short word of visible ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Platform(Box<str>);

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The platform that the header names, if it is there.
pub(super) fn platform(headers: &HeaderMap) -> Result<Option<Platform>, Fault> {
    let malformed = |what: &str| {
        Fault::bad_request(format!(
            "The header X-Broker-API-Originating-Identity {what}; it is a word for the platform, a space, and a JSON object \
             in Base64."
        ))
    };
    let mut values = headers.get_all(HEADER).into_iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(malformed("is there more than once"));
    }
    let text = value.to_str().map_err(|_| malformed("holds something else than visible ASCII"))?;
    let (platform, identity) = text.trim().split_once(' ').ok_or_else(|| malformed("has one part alone"))?;
    if platform.is_empty() || platform.len() > LONGEST || !platform.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(malformed("names no platform"));
    }
    let identity = BASE64.decode(identity.trim()).map_err(|_| malformed("has a second part that is not Base64"))?;
    match serde_json::from_slice::<serde_json::Map<_, _>>(&identity) {
        Ok(_) => Ok(Some(Platform(platform.into()))),
        Err(_) => Err(malformed("has a second part that holds no JSON object")),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn named(values: &[&str]) -> Result<Option<String>, Fault> {
        let value = |value: &&str| (HEADER.parse().unwrap(), HeaderValue::from_str(value).unwrap());
        platform(&values.iter().map(value).collect()).map(|platform| platform.map(|platform| platform.to_string()))
    }

    #[test]
    fn a_platform_is_named_before_a_json_object_in_base64() {
        assert_eq!(named(&[]), Ok(None));
        // {"user_id":"683ea748"}
        for value in [
            "cloudfoundry eyJ1c2VyX2lkIjoiNjgzZWE3NDgifQ==",
            "cloudfoundry eyJ1c2VyX2lkIjoiNjgzZWE3NDgifQ",
            "cloudfoundry  eyJ1c2VyX2lkIjoiNjgzZWE3NDgifQ==",
        ] {
            assert_eq!(named(&[value]), Ok(Some("cloudfoundry".to_owned())), "{value}");
        }
    }

    #[test]
    fn anything_else_is_malformed_and_is_not_repeated() {
        let long = format!("{} e30=", "x".repeat(LONGEST + 1));
        for value in ["", "cloudfoundry", "cloudfoundry canary!", "cloudfoundry W10=", "cloudfoundry eyJ", &long] {
            let fault = named(&[value]).unwrap_err();
            assert!(!format!("{fault:?}").contains("canary"), "{fault:?}");
        }
        assert!(named(&["a e30=", "a e30="]).is_err());
    }
}
