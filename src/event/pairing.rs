//! What is said of tokens, and of what becomes of them.

use std::fmt::Display;
use std::path::Path;

use jiff::Timestamp;

use super::Message;
use crate::ids::RuntimeId;
use crate::metrics::metrics;

/// Something about tokens and pairing. Tokens are told by their fingerprints.
pub enum Pairing<'a> {
    /// A token was dropped.
    Dropped {
        /// Which.
        token: &'a str,
    },
    /// A token came as a systemd credential.
    CameAsCredential {
        /// Which.
        token: &'a str,
    },
    /// The token of the identity in use was dropped once more.
    DroppedAgain {
        /// Which.
        token: &'a str,
    },
    /// The Connector on this host accepted the token.
    Accepted {
        /// The Connector's host.
        connector: &'a str,
    },
    /// A token is of no use, while the identity in use stays.
    RefusedWhilePaired {
        /// What failed and why.
        sentence: &'a str,
    },
    /// A pairing that was interrupted goes on.
    GoesOn,
    /// The token file named another runtime than the plane does.
    NamedOtherwise {
        /// What the token file named.
        named: &'a RuntimeId,
        /// What the plane says.
        runtime: &'a RuntimeId,
    },
    /// The host is paired.
    Paired {
        /// The Director's host.
        host: &'a str,
        /// The runtime.
        runtime: &'a RuntimeId,
        /// Until when the certificate is valid.
        until: Timestamp,
    },
    /// The certificate that was given up still counts at the plane.
    NotRevoked {
        /// Why.
        why: &'a str,
    },
    /// There was nothing to revoke.
    NothingToRevoke {
        /// Why.
        why: &'a str,
    },
    /// The host is unpaired.
    Unpaired,
    /// What became of the token is not on disk.
    NotNoted(&'a dyn Display),
    /// What was kept of a finished pairing stays on disk.
    NotForgotten(&'a dyn Display),
    /// The folder for tokens is watched again.
    Watched {
        /// The folder.
        folder: &'a Path,
    },
    /// The folder for tokens cannot be watched.
    Unwatchable {
        /// The folder.
        folder: &'a Path,
        /// Why.
        why: &'a std::io::Error,
        /// What a person can do, or nothing.
        remedy: &'a str,
    },
}

impl Pairing<'_> {
    /// Says it, and counts what became of a token.
    pub fn emit(self) {
        match self {
            Self::Dropped { token } => {
                tracing::info!(message_id = Message::TokenDropped.id(), token, "a token was dropped");
            }
            Self::CameAsCredential { token } => {
                tracing::info!(message_id = Message::TokenDropped.id(), token, "a token came as a systemd credential");
            }
            Self::DroppedAgain { token } => {
                tracing::info!(token, "the token that paired this host was dropped again; it is removed");
            }
            Self::Accepted { connector } => {
                tracing::info!(message_id = Message::TokenAccepted.id(), connector, "the Connector accepted the token");
            }
            Self::RefusedWhilePaired { sentence } => tracing::error!(
                message_id = Message::TokenRefused.id(),
                "{sentence} The identity in use stays. To pair anew, drop a new token."
            ),
            Self::GoesOn => tracing::info!("going on with the pairing that was interrupted"),
            Self::NamedOtherwise { named, runtime } => tracing::warn!(
                runtime_id = %runtime,
                "the token file named the runtime {named}, but the plane knows this host as {runtime}; the plane is \
                 believed"
            ),
            Self::Paired { host, runtime, until } => {
                metrics().paired();
                tracing::info!(
                    message_id = Message::Paired.id(),
                    runtime_id = %runtime, plane = host, not_after = %until,
                    "paired with {host} as the runtime {runtime}; the certificate is valid until {until}"
                );
            }
            Self::NotRevoked { why } => tracing::error!(
                message_id = Message::NotRevoked.id(),
                "the certificate is not revoked at the plane: {why}"
            ),
            Self::NothingToRevoke { why } => tracing::info!("the certificate is not revoked at the plane: {why}"),
            Self::Unpaired => tracing::info!(message_id = Message::Unpaired.id(), "this host is unpaired"),
            Self::NotNoted(error) => tracing::warn!(%error, "what became of the token cannot be written down"),
            Self::NotForgotten(error) => tracing::warn!(%error, "the finished pairing cannot be removed"),
            Self::Watched { folder } => {
                tracing::info!(path = %folder.display(), "the folder for tokens is watched again");
            }
            Self::Unwatchable { folder, why, remedy } => tracing::warn!(
                path = %folder.display(),
                "the folder for tokens, {}, cannot be watched: {why}; it is looked into twice a second instead{remedy}",
                folder.display()
            ),
        }
    }
}
