//! Who may ask: at the socket, the members of a group, as the kernel names them; at the address, who knows the password.

use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::answer::{Fault, Word};
use super::rate::Client;
use crate::broker::login::Login;
use crate::config::{self, Brokerage, LoopbackAddress};
use crate::peers::{Directory, Peer};

/// The user and the password, while they are known.
pub type Logins = watch::Receiver<Option<Login>>;

/// A way in.
#[derive(Debug, Clone)]
pub enum Door {
    /// A socket of this host.
    Socket(Directory),
    /// An address of this host.
    Address(LoopbackAddress, Logins),
}

/// Why somebody is not let in.
#[derive(Debug)]
pub(super) enum Closed {
    /// Nobody is.
    ToAll(Fault),
    /// They are not known.
    Unknown,
    /// They are known, and not meant.
    NotMeant(Fault),
}

impl Closed {
    /// Whether it may have been a try to get in.
    pub(super) fn is_try(&self) -> bool {
        matches!(self, Self::Unknown | Self::NotMeant(_))
    }

    pub(super) fn into_response(self) -> Response {
        match self {
            Self::ToAll(fault) | Self::NotMeant(fault) => fault.into_response(),
            Self::Unknown => {
                let what = "The user and the password of the broker have to be said, by HTTP Basic authentication.";
                let mut answer = Fault::new(Word::Unauthorized, what).into_response();
                let challenge = HeaderValue::from_static("Basic realm=\"runtime-agent broker\", charset=\"UTF-8\"");
                answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
                answer
            }
        }
    }
}

impl Door {
    /// Who is to be counted for a request. Wrong passwords must not use up what the one who knows it may ask, so that is
    /// looked at first: comparing takes hardly more than counting.
    pub(super) fn client(&self, headers: &HeaderMap, peer: Option<&Peer>) -> Client {
        match (self, peer) {
            (Self::Socket(_), Some(peer)) => Client::User(peer.uid()),
            (Self::Address(_, logins), _) if is_known(headers, logins) => Client::Known,
            (Self::Socket(_), None) | (Self::Address(..), _) => Client::Anybody,
        }
    }

    /// Whether whoever sent the request may ask anything.
    pub(super) async fn admit(
        &self,
        headers: &HeaderMap,
        peer: Option<&Peer>,
        settings: &config::Broker,
    ) -> Result<(), Closed> {
        match self {
            Self::Socket(directory) => {
                let peer = peer.ok_or(Closed::Unknown)?;
                admit_peer(peer, directory, settings).await
            }
            Self::Address(address, logins) => {
                if settings.listen != Some(*address) {
                    let what = format!("The broker is not served at {address} any more.");
                    return Err(Closed::ToAll(Fault::new(Word::ServiceUnavailable, what)));
                }
                if is_known(headers, logins) { Ok(()) } else { Err(Closed::Unknown) }
            }
        }
    }
}

/// Whether the user and the password are said that are in force.
fn is_known(headers: &HeaderMap, logins: &watch::Receiver<Option<Login>>) -> bool {
    said(headers).is_some_and(|said| logins.borrow().as_ref().is_some_and(|login| login.is(&said)))
}

/// Whether anything can be asked at all.
pub(super) fn open(settings: &config::Broker) -> Result<(), Fault> {
    match settings.enabled {
        Brokerage::Open => Ok(()),
        Brokerage::Closed => Err(Fault::new(
            Word::ServiceUnavailable,
            "The service broker of this host is turned off: broker.enabled = true turns it on, and then: systemctl reload \
             runtime-agent.",
        )),
    }
}

async fn admit_peer(peer: &Peer, directory: &Directory, settings: &config::Broker) -> Result<(), Closed> {
    if peer.may_all() {
        return Ok(());
    }
    let clients = settings.clients.clone();
    let member = directory.judge(peer, move |memberships| memberships.include(&clients)).await;
    if member == Some(true) {
        return Ok(());
    }
    let (uid, clients) = (peer.uid(), &settings.clients);
    Err(Closed::NotMeant(Fault::new(
        Word::Forbidden,
        format!(
            "The user {uid} may not use the service broker: it is for root and the members of the group {clients} \
             (broker.clients)."
        ),
    )))
}

/// What somebody says who is asked for user and password: `user:password`.
fn said(headers: &HeaderMap) -> Option<Zeroizing<Vec<u8>>> {
    let mut values = headers.get_all(AUTHORIZATION).into_iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
    let said = BASE64_STANDARD.decode(rest.trim()).ok()?;
    scheme.eq_ignore_ascii_case("basic").then(|| Zeroizing::new(said))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn user_and_password_are_said_once_in_base64() {
        for value in ["Basic YTpi", "basic YTpi", "BASIC  YTpi "] {
            assert_eq!(said(&headers(&[value])).unwrap().as_slice(), b"a:b", "{value}");
        }
        for values in [&[][..], &["Basic"], &["Bearer YTpi"], &["Basic YTp"], &["Basic YTpi", "Basic YTpi"], &["YTpi"]]
        {
            assert!(said(&headers(values)).is_none(), "{values:?}");
        }
    }

    #[tokio::test]
    async fn at_the_socket_root_the_agents_own_user_and_members_are_let_in_and_nobody_else() {
        let directory = Directory::default();
        let settings =
            |clients: &str| config::Broker { clients: clients.parse().unwrap(), ..config::Broker::default() };
        let admitted =
            async |peer: Peer, clients: &str| admit_peer(&peer, &directory, &settings(clients)).await.is_ok();
        assert!(admitted(Peer::somebody(0, 0, 990), "no-such-group").await);
        assert!(admitted(Peer::somebody(990, 990, 990), "no-such-group").await);
        // A user that the host does not know has the group of its process.
        assert!(admitted(Peer::somebody(54_321, 0, 990), "root").await);
        assert!(!admitted(Peer::somebody(54_321, 54_321, 990), "root").await);
        assert!(!admitted(Peer::somebody(54_321, 0, 990), "no-such-group").await);
    }
}
