//! The proxy that connections to the plane go through, if any.

use std::fmt;
use std::str::FromStr;

use hyper_util::client::proxy::matcher::Matcher;
use serde::{Deserialize, Serialize};
use url::Url;

/// Which proxy, if any, connections to the plane go through.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Proxy {
    /// The one that the variables `HTTPS_PROXY` and `ALL_PROXY` name, except for the hosts in `NO_PROXY`; each of these
    /// can be written in small letters as well.
    #[default]
    Environment,
    /// None, whatever the environment says.
    Never,
    /// This one, except for the hosts in `NO_PROXY`.
    Through(ProxyUrl),
}

/// The address of an HTTP proxy, without a user name or password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyUrl {
    written: Box<str>,
    url: Url,
}

/// Why a text says nothing of a proxy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidProxy {
    /// It is no word that is known, and no URL.
    #[error(
        "it is neither \"environment\" nor \"none\", nor the address of a proxy, as in \"http://proxy.example.com:3128\""
    )]
    Malformed,
    /// It has another scheme.
    #[error("it begins with {0}:, and only proxies at http: and https: are spoken to")]
    Scheme(String),
    /// It carries credentials.
    #[error(
        "it carries a user name or password, which everybody could read here; for such a proxy, leave this at \
         \"environment\" and set HTTPS_PROXY in a file that only root can read, as runtime-agent(8) shows"
    )]
    UserInfo,
    /// It is the address of something on a host.
    #[error("it goes on after the host and port of the proxy, and nothing belongs there")]
    Path,
}

impl Proxy {
    /// Has a client go this way.
    pub(super) fn apply(&self, builder: reqwest::ClientBuilder) -> reqwest::Result<reqwest::ClientBuilder> {
        Ok(match self {
            // reqwest reads the environment by itself, with the same rules as below.
            Self::Environment => builder,
            Self::Never => builder.no_proxy(),
            Self::Through(proxy) => {
                let proxy = reqwest::Proxy::all(proxy.url.clone())?.no_proxy(reqwest::NoProxy::from_env());
                builder.proxy(proxy)
            }
        })
    }

    /// The address of the proxy on the way to `url`, fit to be shown; none, where there is none.
    pub fn on_the_way_to(&self, url: &Url) -> Option<String> {
        let matcher = match self {
            Self::Environment => Matcher::from_system(),
            Self::Never => return None,
            Self::Through(proxy) => {
                let except = std::env::var("NO_PROXY").or_else(|_| std::env::var("no_proxy")).unwrap_or_default();
                Matcher::builder().all(proxy.url.as_str().to_owned()).no(except).build()
            }
        };
        // What is intercepted is kept apart from the credentials for it.
        let intercept = matcher.intercept(&url.as_str().parse().ok()?)?;
        Some(intercept.uri().to_string().trim_end_matches('/').to_owned())
    }
}

impl FromStr for ProxyUrl {
    type Err = InvalidProxy;

    fn from_str(text: &str) -> Result<Self, InvalidProxy> {
        let url = Url::parse(text).map_err(|_| InvalidProxy::Malformed)?;
        // `proxy.example.com:3128` is a URL, too, as far as the standard is concerned.
        if !text.contains("://") {
            Err(InvalidProxy::Malformed)
        } else if !matches!(url.scheme(), "http" | "https") {
            Err(InvalidProxy::Scheme(super::excerpt(url.scheme(), &[])))
        } else if !url.username().is_empty() || url.password().is_some() {
            Err(InvalidProxy::UserInfo)
        } else if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            Err(InvalidProxy::Path)
        } else {
            // What the URL standard overlooks, a line break for one, is not for a log.
            let written = if text.contains(super::is_unfit) { url.as_str() } else { text };
            Ok(Self { written: written.into(), url })
        }
    }
}

impl FromStr for Proxy {
    type Err = InvalidProxy;

    fn from_str(text: &str) -> Result<Self, InvalidProxy> {
        match text.trim() {
            "environment" => Ok(Self::Environment),
            "none" => Ok(Self::Never),
            address => address.parse().map(Self::Through),
        }
    }
}

impl TryFrom<String> for Proxy {
    type Error = InvalidProxy;

    fn try_from(text: String) -> Result<Self, InvalidProxy> {
        text.parse()
    }
}

impl From<Proxy> for String {
    fn from(proxy: Proxy) -> String {
        proxy.to_string()
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Environment => "environment",
            Self::Never => "none",
            Self::Through(proxy) => &proxy.written,
        })
    }
}

/// What went wrong on the way through a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It wants to know who asks, or does not believe it.
    Credentials,
    /// It was not there, or did not speak as a proxy does.
    Unreachable,
    /// It was asked for the connection, and there is none.
    Refused,
}

impl Trouble {
    /// Finds it among the causes of an error. The library gives it no type that can be named, only words.
    pub(super) fn find(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(words) = error.to_string().strip_prefix("tunnel error: ") {
                return Some(match words {
                    "proxy authorization required" => Self::Credentials,
                    "unsuccessful" => Self::Refused,
                    _ => Self::Unreachable,
                });
            }
            cause = error.source();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_word_or_an_address_without_credentials() {
        assert_eq!("environment".parse(), Ok(Proxy::Environment));
        assert_eq!("none".parse(), Ok(Proxy::Never));
        for address in ["http://proxy.example.com:3128", "https://[2001:db8::1]", "http://10.0.0.1:8080/"] {
            assert_eq!(address.parse::<Proxy>().unwrap().to_string(), address);
        }
        let broken = "http://proxy.example\n.com:3128";
        assert_eq!(broken.parse::<Proxy>().unwrap().to_string(), "http://proxy.example.com:3128/", "fit for a line");
        for (wrong, sentence) in [
            ("", "neither"),
            ("None", "neither"),
            ("proxy.example.com:3128", "neither"),
            ("socks5://proxy.example.com", "it begins with socks5:"),
            ("http://canary@proxy.example.com", "as runtime-agent(8) shows"),
            ("http://canary:canary@proxy.example.com", "as runtime-agent(8) shows"),
            ("http://proxy.example.com/canary", "nothing belongs there"),
            ("http://proxy.example.com/?canary", "nothing belongs there"),
        ] {
            let error = wrong.parse::<Proxy>().unwrap_err().to_string();
            assert!(error.contains(sentence) && !error.contains("canary"), "{wrong}: {error}");
        }
    }
}
