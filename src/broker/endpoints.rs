//! The network endpoints of a binding: what a firewall has to let through.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::ExposeSecret as _;
use serde::Serialize;
use url::{Host, Url};

use super::targets::Api;

/// A host and the ports on it that are called, as the Open Service Broker API words it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// A name or an address; one of IPv6 is without brackets.
    pub host: String,
    /// Port numbers as texts.
    pub ports: Vec<String>,
    /// How they are called.
    pub protocol: Protocol,
}

/// How an endpoint is called. HTTP and everything that carries credentials goes over TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
}

/// The endpoints of these APIs, each host once, in order. A target that is no URL, or that tells no port, has none.
pub fn endpoints(apis: &[Api]) -> Vec<Endpoint> {
    let mut hosts: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
    for api in apis {
        if let Some((host, port)) = endpoint(api.url.expose_secret()) {
            hosts.entry(host).or_default().insert(port);
        }
    }
    let endpoint = |(host, ports): (String, BTreeSet<u16>)| Endpoint {
        host,
        ports: ports.iter().map(ToString::to_string).collect(),
        protocol: Protocol::Tcp,
    };
    hosts.into_iter().map(endpoint).collect()
}

fn endpoint(url: &str) -> Option<(String, u16)> {
    let url = Url::parse(url).ok()?;
    let host = match url.host()? {
        Host::Domain("") => return None,
        // Names are the same in capitals; only those of schemes that the parser knows come in small letters.
        Host::Domain(name) => name.to_ascii_lowercase(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    Some((host, url.port_or_known_default()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::snapshot::example::api;

    fn of(urls: &[&str]) -> Vec<Endpoint> {
        let apis = urls.iter().enumerate().map(|(at, url)| Api::from(&api(&at.to_string(), "x", url)));
        endpoints(&apis.collect::<Vec<_>>())
    }

    #[test]
    fn each_host_comes_once_with_all_its_ports_in_order() {
        let endpoints = of(&[
            "https://b.example.com/orders?x#y",
            "https://B.example.com:8443/",
            "https://b.example.com:443/again",
            "http://a.example.com",
            "https://user:canary@10.0.0.1:9443/x@y",
            "https://[2001:db8::1]/",
            "amqps://Queue.example.com:5671",
        ]);
        let expected = json!([
            { "host": "10.0.0.1", "ports": ["9443"], "protocol": "tcp" },
            { "host": "2001:db8::1", "ports": ["443"], "protocol": "tcp" },
            { "host": "a.example.com", "ports": ["80"], "protocol": "tcp" },
            { "host": "b.example.com", "ports": ["443", "8443"], "protocol": "tcp" },
            { "host": "queue.example.com", "ports": ["5671"], "protocol": "tcp" },
        ]);
        assert_eq!(serde_json::to_value(endpoints).unwrap(), expected);
    }

    #[test]
    fn what_tells_no_host_and_port_has_no_endpoint() {
        assert_eq!(
            of(&["", "orders", "/path", "mailto:a@b", "unknown://host/x", "file:///x", "https://[", "x:443"]),
            []
        );
    }
}
