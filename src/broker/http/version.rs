//! Which version of the API a client speaks: the header `X-Broker-API-Version`.

use axum::http::HeaderMap;

use super::answer::{Fault, Word};

/// The header.
pub(super) const HEADER: &str = "x-broker-api-version";

/// The oldest minor version of 2 that is served. Before it, a binding could not be asked for again.
const OLDEST: u32 = 13;

/// Whether the version is one that is served.
pub(super) fn check(headers: &HeaderMap) -> Result<(), Fault> {
    let refused = |why: &str| {
        let what =
            format!("{why}; 2.{OLDEST} and all later versions of 2 are served, as in \"X-Broker-API-Version: 2.17\".");
        Err(Fault::new(Word::UnsupportedApiVersion, what))
    };
    let mut values = headers.get_all(HEADER).into_iter();
    let (Some(value), rest) = (values.next(), values.next()) else {
        return refused("The header X-Broker-API-Version is missing");
    };
    let minor = match value.to_str() {
        Ok(text) if rest.is_none() => minor(text.trim()),
        _ => None,
    };
    match minor {
        Some(minor) if minor >= OLDEST => Ok(()),
        Some(_) => refused("The header X-Broker-API-Version names a version that is too old"),
        None => refused("The header X-Broker-API-Version names no version 2.x"),
    }
}

/// The minor version, if it is one of 2.
fn minor(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("2.")?;
    (digits.len() <= 6 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (HEADER.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn versions_from_2_13_on_are_served_and_no_others() {
        for version in ["2.13", "2.14", "2.17", "2.99", "2.100"] {
            assert_eq!(check(&headers(&[version])), Ok(()), "{version}");
        }
        for version in ["", "2", "2.", "2.x", "2.12", "2.0", "1.17", "3.0", "2.+17", "2.17.1", "v2.17", "2.9999999"] {
            assert!(check(&headers(&[version])).is_err(), "{version}");
        }
        assert!(check(&headers(&[])).is_err());
        assert!(check(&headers(&["2.17", "2.16"])).is_err(), "which of them is meant, nobody knows");
    }
}
