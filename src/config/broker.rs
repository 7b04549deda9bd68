//! The service broker: whether there is one, who may use it, and where.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::metrics::LoopbackAddress;
use super::system::GroupName;

/// `[broker]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Broker {
    /// Whether there is one.
    pub enabled: Brokerage,
    /// Whose members may use it, at its socket.
    pub clients: GroupName,
    /// Where it is served besides, to those who know its password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<LoopbackAddress>,
    /// The file with its user and password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// What becomes of credentials at the plane that no binding here stands for.
    pub orphans: Orphans,
}

impl Default for Broker {
    fn default() -> Self {
        Self {
            enabled: Brokerage::Closed,
            clients: GroupName::constant("runtime-agent-broker"),
            listen: None,
            password_file: None,
            orphans: Orphans::Report,
        }
    }
}

/// Whether there is a service broker: `true` or `false` in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "bool", into = "bool")]
pub enum Brokerage {
    /// There is.
    Open,
    /// There is none.
    Closed,
}

impl From<bool> for Brokerage {
    fn from(open: bool) -> Self {
        if open { Self::Open } else { Self::Closed }
    }
}

impl From<Brokerage> for bool {
    fn from(brokerage: Brokerage) -> bool {
        matches!(brokerage, Brokerage::Open)
    }
}

/// What becomes of credentials that were asked for by this runtime, and that no binding here stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Orphans {
    /// They are told of.
    Report,
    /// They are given back.
    Remove,
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::parse;

    fn refusal(text: &str) -> String {
        parse(text, Path::new("agent.toml")).unwrap_err().to_string()
    }

    #[test]
    fn the_broker_is_off_for_its_group_alone_and_tells_of_orphans_unless_it_is_said_otherwise() {
        let broker = parse("", Path::new("x")).unwrap().broker;
        assert_eq!((broker.enabled, broker.orphans, broker.listen), (Brokerage::Closed, Orphans::Report, None));
        assert_eq!(broker.clients.as_str(), "runtime-agent-broker");
        let text =
            "[broker]\nenabled = true\nlisten = \"127.0.0.1:8089\"\npassword_file = \"/p\"\norphans = \"remove\"\n";
        let broker = parse(text, Path::new("x")).unwrap().broker;
        assert_eq!((broker.enabled, broker.orphans), (Brokerage::Open, Orphans::Remove));
    }

    #[test]
    fn what_could_not_be_served_is_refused_with_its_reason() {
        for (text, why) in [
            ("[broker]\nlisten = \"0.0.0.0:8089\"\n", "not a loopback address"),
            ("[broker]\npassword_file = \"p\"\n", "absolute path"),
            ("[broker]\norphans = \"keep\"\n", "`report`"),
            ("[broker]\nlisten = \"[::1]:1\"\n[metrics]\nlisten = \"[::1]:1\"\n", "cannot both be served"),
        ] {
            assert!(refusal(text).contains(why), "{text}: {}", refusal(text));
        }
    }
}
