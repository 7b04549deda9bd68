//! Where metrics go besides the control socket: an address of this host, and a file for node_exporter.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `[metrics]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Where metrics and health are served over HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<LoopbackAddress>,
    /// The file that metrics are written to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub textfile: Option<TextFile>,
}

/// An address that only this host reaches, with a port: `127.0.0.1:9464`, `[::1]:9464`.
///
/// What is served there is not for others, so no other address is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LoopbackAddress(SocketAddr);

/// Why a text is no [`LoopbackAddress`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotLoopback {
    /// It is no address and port.
    #[error("{0:?} is not an address and a port; write it as \"127.0.0.1:9464\" or \"[::1]:9464\"")]
    NoAddress(String),
    /// Others could reach it.
    #[error(
        "{0} is not a loopback address, and nobody but this host is to reach what is served there: use one as in \
         \"127.0.0.1:9464\", and let a proxy with a door of its own pass it on"
    )]
    Open(SocketAddr),
    /// Nobody would know which.
    #[error("{0} names no port")]
    NoPort(SocketAddr),
}

impl LoopbackAddress {
    /// The address.
    pub fn get(self) -> SocketAddr {
        self.0
    }
}

impl FromStr for LoopbackAddress {
    type Err = NotLoopback;

    fn from_str(text: &str) -> Result<Self, NotLoopback> {
        let address: SocketAddr = text.parse().map_err(|_| NotLoopback::NoAddress(text.to_owned()))?;
        if !address.ip().is_loopback() {
            return Err(NotLoopback::Open(address));
        }
        if address.port() == 0 {
            return Err(NotLoopback::NoPort(address));
        }
        Ok(Self(address))
    }
}

impl TryFrom<String> for LoopbackAddress {
    type Error = NotLoopback;

    fn try_from(text: String) -> Result<Self, NotLoopback> {
        text.parse()
    }
}

impl From<LoopbackAddress> for String {
    fn from(address: LoopbackAddress) -> Self {
        address.to_string()
    }
}

impl fmt::Display for LoopbackAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The path of a file that node_exporter reads: from the root on, and with the ending that it looks for, `.prom`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "PathBuf", into = "PathBuf")]
pub struct TextFile(PathBuf);

/// Why a path is no [`TextFile`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotATextFile {
    /// It depends on where the agent was started.
    #[error("{0:?} must be an absolute path")]
    Relative(PathBuf),
    /// Nobody would read it.
    #[error("{0:?} must end in \".prom\": node_exporter reads no other file")]
    Unread(PathBuf),
}

impl TextFile {
    /// The path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl TryFrom<PathBuf> for TextFile {
    type Error = NotATextFile;

    fn try_from(path: PathBuf) -> Result<Self, NotATextFile> {
        if !path.is_absolute() {
            return Err(NotATextFile::Relative(path));
        }
        if path.extension().is_none_or(|ending| ending != "prom") {
            return Err(NotATextFile::Unread(path));
        }
        Ok(Self(path))
    }
}

impl From<TextFile> for PathBuf {
    fn from(file: TextFile) -> Self {
        file.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_served_to_this_host_alone() {
        for address in ["127.0.0.1:9464", "127.1.2.3:1", "[::1]:9464"] {
            assert_eq!(address.parse::<LoopbackAddress>().unwrap().to_string(), address);
        }
        for (address, why) in [
            ("0.0.0.0:9464", "not a loopback address"),
            ("[::]:9464", "not a loopback address"),
            ("192.0.2.1:9464", "not a loopback address"),
            ("[::ffff:127.0.0.1]:9464", "not a loopback address"),
            ("localhost:9464", "write it as"),
            ("127.0.0.1", "write it as"),
            ("127.0.0.1:0", "names no port"),
        ] {
            let error = address.parse::<LoopbackAddress>().unwrap_err().to_string();
            assert!(error.contains(why), "{address}: {error}");
        }
    }

    #[test]
    fn a_file_that_nobody_would_read_is_refused() {
        assert!(TextFile::try_from(PathBuf::from("/var/lib/x/agent.prom")).is_ok());
        for path in ["agent.prom", "/var/lib/x/agent.txt", "/var/lib/x/"] {
            assert!(TextFile::try_from(PathBuf::from(path)).is_err(), "{path}");
        }
    }
}
