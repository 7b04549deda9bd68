//! `url`: the parts of an address.

use minijinja::Error;
use minijinja::value::Value;
use url::{Position, Url};

use super::super::output::refuse;
use super::super::view::{Fields, View};
use super::text;

/// The parts of an address as a table, or the one that is named.
pub(super) fn url(value: &Value, part: Option<&str>) -> Result<Value, Error> {
    let text = text(value)?;
    let url = Url::parse(&text).map_err(|error| refuse(format!("it is not an address: {error}")))?;
    if !url.has_host() {
        return Err(refuse("it is an address without a host"));
    }
    let parts = Parts(url);
    match part {
        None => Ok(View::value(parts)),
        Some(part) => parts.field(part).ok_or_else(|| {
            let names: Vec<_> = Parts::SHOWN.iter().chain(Parts::BY_NAME).copied().collect();
            refuse(format!("an address has no such part; it has: {}", names.join(", ")))
        }),
    }
}

struct Parts(Url);

impl Fields for Parts {
    const KIND: &'static str = "an address";
    const SHOWN: &'static [&'static str] = &["scheme", "host", "port", "origin", "path", "query", "fragment"];
    const BY_NAME: &'static [&'static str] = &["username", "password", "without_userinfo"];

    fn field(&self, name: &str) -> Option<Value> {
        let url = &self.0;
        let optional = |text: Option<&str>| text.map_or_else(|| Value::from(()), Value::from);
        Some(match name {
            "scheme" => Value::from(url.scheme()),
            "host" => optional(url.host_str()),
            // Unwritten, it is the scheme's own.
            "port" => url.port_or_known_default().map_or_else(|| Value::from(()), Value::from),
            "origin" => {
                let host = &url[Position::BeforeHost..Position::AfterPort];
                Value::from(format!("{}://{host}", url.scheme()))
            }
            "path" => Value::from(url.path()),
            "query" => optional(url.query()),
            "fragment" => optional(url.fragment()),
            "username" => Value::from(url.username()),
            "password" => optional(url.password()),
            "without_userinfo" => {
                let (scheme, rest) = (url.scheme(), &url[Position::BeforeHost..]);
                Value::from(format!("{scheme}://{rest}"))
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{call, rendered};

    #[test]
    fn every_part_is_there_by_its_name() {
        let url = "https://u:p@api.example.com/odata/v1?x=1#top";
        for (part, wanted) in [
            ("scheme", "https"),
            ("host", "api.example.com"),
            ("port", "443"),
            ("origin", "https://api.example.com"),
            ("path", "/odata/v1"),
            ("query", "x=1"),
            ("fragment", "top"),
            ("username", "u"),
            ("password", "p"),
            ("without_userinfo", "https://api.example.com/odata/v1?x=1#top"),
        ] {
            assert_eq!(call(&format!("url('{part}')"), url).unwrap(), wanted);
            assert_eq!(rendered(&format!("{{{{ (value | url).{part} }}}}"), url).unwrap(), wanted);
        }
        assert_eq!(call("url('port')", "http://[::1]:8080/").unwrap(), "8080");
        assert_eq!(call("url('host')", "http://[::1]:8080/").unwrap(), "[::1]");
        assert_eq!(call("url('origin')", "http://[::1]:8080/x").unwrap(), "http://[::1]:8080");
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_told() {
        for text in ["canary", "", "mailto:canary@example.com", "https://", "https://canary:x:y/"] {
            let refusal = call("url('host')", text).unwrap_err();
            assert!(!refusal.contains("canary"), "{refusal}");
        }
        assert!(call("url('hots')", "https://a.b/").unwrap_err().contains("scheme, host"));
    }
}
