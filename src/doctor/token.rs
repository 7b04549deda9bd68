//! The token: whether one lies unread, and whether the agent can read it. It is neither sent nor moved.

use jiff::Timestamp;

use super::{Finding, Rights};
use crate::clock::{Clock as _, Wall};
use crate::config::{HttpsUrl, Paths};
use crate::token::{Dropped, peek};

const CHECK: &str = "token";

/// Looks where tokens are dropped. Blocks.
pub(super) fn look(paths: &Paths, runs: bool, rights: Rights) -> Finding {
    let path = paths.token();
    if rights == Rights::Stranger {
        return Finding::skipped(CHECK, "needs root, or the agent's user");
    }
    let shown = path.display();
    match peek(&path) {
        None | Some(Dropped::Gone) => Finding::ok(CHECK, format!("none lies in {shown}")),
        Some(Dropped::Stuck(why)) => {
            Finding::failure(CHECK, format!("{shown} is not taken: {why}"), "do so, or remove it")
        }
        Some(Dropped::NoToken(error)) => {
            Finding::failure(CHECK, format!("{shown} is no token: {error}"), "drop one as the plane gave it")
        }
        Some(Dropped::Token(token)) => {
            judge(&shown.to_string(), token.expires_at, token.connector_url.is_some(), runs, Wall.now())
        }
    }
}

fn judge(path: &str, expires_at: Option<Timestamp>, names_connector: bool, runs: bool, now: Timestamp) -> Finding {
    match expires_at {
        Some(at) if at <= now => {
            Finding::failure(CHECK, format!("the token in {path} expired at {at}"), "have a new one made, and drop it")
        }
        _ if runs => Finding::warning(
            CHECK,
            format!("a token lies in {path}, and the agent has not used it up"),
            "see in `runtime-agent status` what becomes of it",
        ),
        _ => Finding::warning(
            CHECK,
            format!(
                "a token lies in {path} and waits for the agent{}",
                if names_connector { "" } else { "; it does not name its Connector, and plane.connector_url must" }
            ),
            "start the agent (`systemctl start runtime-agent`)",
        ),
    }
}

/// The Connector that a waiting token names.
pub(super) fn connector(paths: &Paths) -> Option<HttpsUrl> {
    match peek(&paths.token())? {
        Dropped::Token(token) => token.connector_url,
        Dropped::NoToken(_) | Dropped::Stuck(_) | Dropped::Gone => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_token_that_nobody_reads_is_told_with_what_it_waits_for() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let over = judge("/t", Some(at(10)), true, true, at(10));
        assert_eq!(over.verdict, Verdict::Failure);
        assert!(over.what.contains("expired"), "{over:?}");
        let waits = judge("/t", Some(at(10)), false, false, at(9));
        assert!(waits.what.contains("plane.connector_url") && waits.remedy.unwrap().contains("systemctl start"));
        assert!(judge("/t", None, true, true, at(9)).remedy.unwrap().contains("runtime-agent status"));
    }
}
