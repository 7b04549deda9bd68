//! Values of the configuration that cannot hold nonsense.

use std::fmt;
use std::time::Duration;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

/// A duration of `MIN` to `MAX` seconds, written as `90s`, `3m`, `2h 30m`, `7days`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds<const MIN: u64, const MAX: u64>(Duration);

impl<const MIN: u64, const MAX: u64> Seconds<MIN, MAX> {
    /// A duration of so many seconds; meant for constants.
    ///
    /// # Panics
    /// When the number is out of bounds, at compile time where the call is constant.
    pub const fn new(seconds: u64) -> Self {
        assert!(seconds >= MIN && seconds <= MAX, "a built-in duration is out of its own bounds");
        Self(Duration::from_secs(seconds))
    }

    /// The duration.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl<const MIN: u64, const MAX: u64> fmt::Display for Seconds<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl<const MIN: u64, const MAX: u64> fmt::Debug for Seconds<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const MIN: u64, const MAX: u64> Serialize for Seconds<MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Seconds<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written<const MIN: u64, const MAX: u64>;

        impl<const MIN: u64, const MAX: u64> Visitor<'_> for Written<MIN, MAX> {
            type Value = Seconds<MIN, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration, written as \"90s\", \"3m\" or \"2h 30m\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                let duration = humantime::parse_duration(text).map_err(|error| {
                    E::custom(format_args!(
                        "{text:?} is not a duration ({error}); write it as \"90s\", \"3m\" or \"2h 30m\""
                    ))
                })?;
                if (Duration::from_secs(MIN)..=Duration::from_secs(MAX)).contains(&duration) {
                    return Ok(Seconds(duration));
                }
                let bound = |seconds| humantime::format_duration(Duration::from_secs(seconds)).to_string();
                let (min, max) = (bound(MIN), bound(MAX));
                Err(E::custom(format_args!("{text:?} is out of bounds: it must be from {min} to {max}")))
            }
        }

        deserializer.deserialize_str(Written)
    }
}

/// A share of something, from 0 to 1, both included.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
pub struct Share(f64);

impl Share {
    /// A share; meant for constants.
    ///
    /// # Panics
    /// When it is not from 0 to 1.
    pub const fn new(share: f64) -> Self {
        assert!(share >= 0.0 && share <= 1.0, "a built-in share is out of its own bounds");
        Self(share)
    }

    /// The share.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let share = f64::deserialize(deserializer)?;
        if (0.0..=1.0).contains(&share) {
            Ok(Self(share))
        } else {
            Err(D::Error::custom(format_args!("{share} is out of bounds: it must be from 0.0 to 1.0")))
        }
    }
}

/// The name of a label as planes take it: 1 to 256 ASCII letters, digits and underscores.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct LabelName(Box<str>);

impl LabelName {
    /// The longest name.
    const MAX_BYTES: usize = 256;

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for LabelName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Box::<str>::deserialize(deserializer)?;
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if plain && (1..=Self::MAX_BYTES).contains(&name.len()) {
            Ok(Self(name))
        } else {
            Err(D::Error::custom(format_args!(
                "{name:?} is not the name of a label: that has 1 to 256 letters, digits and underscores"
            )))
        }
    }
}

/// A number of bytes of `MIN` to `MAX`, written as `64 KiB`, `32 MiB` or a plain number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ByteSize<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> ByteSize<MIN, MAX> {
    /// So many bytes; meant for constants.
    ///
    /// # Panics
    /// When the number is out of bounds.
    pub const fn new(bytes: u64) -> Self {
        assert!(bytes >= MIN && bytes <= MAX, "a built-in size is out of its own bounds");
        Self(bytes)
    }

    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl<const MIN: u64, const MAX: u64> fmt::Display for ByteSize<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", bytesize::ByteSize(self.0).display().iec())
    }
}

impl<const MIN: u64, const MAX: u64> fmt::Debug for ByteSize<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const MIN: u64, const MAX: u64> Serialize for ByteSize<MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for ByteSize<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = bytesize::ByteSize::deserialize(deserializer)?.as_u64();
        if (MIN..=MAX).contains(&bytes) {
            Ok(Self(bytes))
        } else {
            let bound = |bytes| bytesize::ByteSize(bytes).display().iec().to_string();
            Err(D::Error::custom(format_args!(
                "{} is out of bounds: it must be from {} to {}",
                bound(bytes),
                bound(MIN),
                bound(MAX)
            )))
        }
    }
}

/// An `https` address with a host and without a user name or password in it; it is shown as it was written, if that is fit
/// for a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HttpsUrl {
    written: Box<str>,
    url: Url,
}

/// Why a text is no [`HttpsUrl`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidUrl {
    /// It is no URL.
    #[error("it is not a URL ({0})")]
    Malformed(url::ParseError),
    /// It has another scheme.
    #[error("it begins with {0}:, and only https: is accepted")]
    NotHttps(String),
    /// It carries credentials.
    #[error("it carries a user name or password, which would end up in logs")]
    UserInfo,
}

impl HttpsUrl {
    /// The URL.
    pub fn as_url(&self) -> &Url {
        &self.url
    }

    /// Host, and port where one is written.
    pub fn host(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// The host alone, for comparing: in lower case, an IPv6 address in brackets.
    pub fn host_name(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }
}

impl TryFrom<Url> for HttpsUrl {
    type Error = InvalidUrl;

    fn try_from(url: Url) -> Result<Self, InvalidUrl> {
        if url.scheme() != "https" {
            Err(InvalidUrl::NotHttps(crate::transport::excerpt(url.scheme(), &[])))
        } else if !url.username().is_empty() || url.password().is_some() {
            Err(InvalidUrl::UserInfo)
        } else {
            // The URL standard lets no https URL be without a host.
            Ok(Self { written: url.as_str().into(), url })
        }
    }
}

impl std::str::FromStr for HttpsUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let text = text.trim();
        let parsed: Self = Url::parse(text).map_err(InvalidUrl::Malformed)?.try_into()?;
        // What the URL standard overlooks, a line break for one, is not for a log: then it is shown as it is understood.
        Ok(if text.contains(crate::transport::is_unfit) { parsed } else { Self { written: text.into(), ..parsed } })
    }
}

impl TryFrom<String> for HttpsUrl {
    type Error = InvalidUrl;

    fn try_from(text: String) -> Result<Self, InvalidUrl> {
        text.parse()
    }
}

impl From<HttpsUrl> for String {
    fn from(url: HttpsUrl) -> String {
        url.written.into()
    }
}

impl fmt::Display for HttpsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.written.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_as_it_was_written_unless_that_would_break_a_line() {
        let shown = |text: &str| text.parse::<HttpsUrl>().unwrap().to_string();
        for written in ["https://plane.example.com", "https://PLANE.example.com:443/a?b#c", "https://plane.exämple/ü"]
        {
            assert_eq!(shown(&format!(" {written}\n")), written);
        }
        for (written, understood) in [
            ("https://plane.example\n.com/\tgraphql", "https://plane.example.com/graphql"),
            ("https://plane.example.com/a\u{1b}[31mb c", "https://plane.example.com/a%1B[31mb%20c"),
            ("https://plane.example.com/\u{202e}txt", "https://plane.example.com/%E2%80%AEtxt"),
        ] {
            assert_eq!(shown(written), understood);
            assert_eq!(written.parse::<HttpsUrl>().unwrap().as_url().as_str(), understood);
        }
    }
}
