//! Which hosts the Connector may send the agent to: `plane.allowed_hosts`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A host, or all hosts below a domain: `director.example.com`, `*.example.com`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern {
    host: String,
    reach: Reach,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// That host.
    Itself,
    /// All hosts below it.
    Below,
}

/// Why a text names no hosts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither a host, as in \"director.example.com\", nor a domain, as in \"*.example.com\"")]
pub struct InvalidHostPattern(String);

impl FromStr for HostPattern {
    type Err = InvalidHostPattern;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, reach) = match text.strip_prefix("*.") {
            Some(domain) => (domain, Reach::Below),
            None => (text, Reach::Itself),
        };
        // Written as URLs have it: in lower case, international names in ASCII, addresses in their one form.
        match url::Host::parse(name) {
            Ok(host @ url::Host::Domain(_)) if !name.contains('*') => Ok(Self { host: host.to_string(), reach }),
            Ok(host @ (url::Host::Ipv4(_) | url::Host::Ipv6(_))) if reach == Reach::Itself => {
                Ok(Self { host: host.to_string(), reach })
            }
            _ => Err(InvalidHostPattern(text.to_owned())),
        }
    }
}

impl TryFrom<String> for HostPattern {
    type Error = InvalidHostPattern;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        pattern.to_string()
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reach {
            Reach::Itself => f.write_str(&self.host),
            Reach::Below => write!(f, "*.{}", self.host),
        }
    }
}

impl HostPattern {
    fn admits(&self, host: &str) -> bool {
        match self.reach {
            Reach::Itself => host == self.host,
            Reach::Below => is_below(host, &self.host),
        }
    }
}

/// Whether a Connector at the host `connector` may send the agent to `host`: the same host, hosts below its parent
/// domain, and those that are `listed`. A parent domain of a single label (`com`) belongs to nobody and does not count.
pub fn is_allowed(host: &str, connector: &str, listed: &[HostPattern]) -> bool {
    let neighbour = || {
        let named = matches!(url::Host::parse(connector), Ok(url::Host::Domain(_)));
        let parent = connector.split_once('.').map(|(_, parent)| parent);
        named && parent.is_some_and(|parent| parent.contains('.') && is_below(host, parent))
    };
    host == connector || neighbour() || listed.iter().any(|pattern| pattern.admits(host))
}

fn is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.') && rest.len() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbour_of_the_connector_is_allowed_and_a_stranger_is_not() {
        for (host, connector, allowed) in [
            ("director.plane.example.com", "connector.plane.example.com", true),
            ("a.b.plane.example.com", "connector.plane.example.com", true),
            ("connector.plane.example.com", "connector.plane.example.com", true),
            ("plane.example.com", "connector.plane.example.com", false),
            ("director.example.com", "connector.plane.example.com", false),
            ("evilplane.example.com", "connector.plane.example.com", false),
            ("example.org", "connector.plane.example.com", false),
            // What is below a top level domain has nothing else in common.
            ("example.com", "connector.com", false),
            ("connector.com", "connector.com", true),
            ("localhost", "localhost", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.2", "127.0.0.1", false),
            ("9.0.0.1", "8.0.0.1", false),
            ("[::1]", "[::1]", true),
            ("[::2]", "[::1]", false),
        ] {
            assert_eq!(is_allowed(host, connector, &[]), allowed, "{host} by {connector}");
        }
    }

    #[test]
    fn what_is_listed_is_allowed_besides() {
        let listed: Vec<HostPattern> =
            ["Director.Example.org", "*.example.net", "10.1.2.3"].map(|text| text.parse().unwrap()).into();
        for (host, allowed) in [
            ("director.example.org", true),
            ("other.example.org", false),
            ("a.example.net", true),
            ("a.b.example.net", true),
            ("example.net", false),
            ("10.1.2.3", true),
            ("10.1.2.4", false),
        ] {
            assert_eq!(is_allowed(host, "connector.plane.example.com", &listed), allowed, "{host}");
        }
    }

    #[test]
    fn what_names_no_host_is_refused() {
        for wrong in ["", "*", "*.", "https://example.com", "a b", "*.10.0.0.1", "example.com/path", "a:443"] {
            assert!(wrong.parse::<HostPattern>().is_err(), "{wrong:?}");
        }
    }
}
