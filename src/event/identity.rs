//! What is said of the identity: its renewal, where its plane moves to, and what stays on disk of older ones.

use std::fmt::Display;

use jiff::Timestamp;

use super::Message;
use crate::ids::RuntimeId;
use crate::metrics::metrics;

/// Something about the identity.
pub enum Identity<'a> {
    /// The certificate is renewed.
    Renewed {
        /// The runtime.
        runtime: &'a RuntimeId,
        /// Until when the new certificate is valid.
        until: Timestamp,
    },
    /// A renewal failed; what of that is to be told is a problem.
    NotRenewed,
    /// The plane has moved.
    Moved {
        /// Which part of it.
        what: &'static str,
        /// Where it was.
        from: &'a dyn Display,
        /// Where it is.
        to: &'a dyn Display,
    },
    /// The identity in use is damaged, and the one before it took its place.
    FellBack {
        /// What is damaged.
        why: &'a str,
        /// Until when the one before it is valid.
        until: Timestamp,
    },
    /// An identity that was being made cannot be read.
    LeftAside(&'a dyn Display),
    /// An identity that nobody uses stays on disk.
    Stays {
        /// Which kind of identity.
        what: &'static str,
        /// Why.
        error: &'a dyn Display,
    },
    /// A folder is now for these readers.
    ReadersChanged {
        /// The folder.
        folder: &'a dyn Display,
        /// Who they are.
        readers: &'static str,
    },
    /// A folder cannot be given to its readers, or taken from others.
    ReadersNotSet {
        /// The folder.
        folder: &'a dyn Display,
        /// Why.
        error: &'a dyn Display,
        /// What root can run to mend it.
        command: &'a str,
    },
}

impl Identity<'_> {
    /// Says it, and counts renewals.
    pub fn emit(self) {
        match self {
            Self::Renewed { runtime, until } => {
                metrics().renewed();
                tracing::info!(
                    message_id = Message::Renewed.id(),
                    runtime_id = %runtime, not_after = %until,
                    "the certificate is renewed; valid until {until}"
                );
            }
            Self::NotRenewed => metrics().not_renewed(),
            Self::Moved { what, from, to } => tracing::info!(
                message_id = Message::PlaneMoved.id(),
                what, from = %from, to = %to,
                "the plane's {what} has moved from {from} to {to}; the agent follows"
            ),
            Self::FellBack { why, until } => tracing::warn!(
                message_id = Message::IdentityFellBack.id(),
                not_after = %until,
                "the identity in use is damaged: {why}; the one before it, valid until {until}, takes its place and is \
                 renewed now"
            ),
            Self::LeftAside(error) => tracing::warn!(%error, "an identity that was being made is left aside"),
            Self::Stays { what, error } => tracing::warn!(%error, "{what} stays on disk"),
            Self::ReadersChanged { folder, readers } => tracing::info!("{folder} is now for {readers}"),
            Self::ReadersNotSet { folder, error, command } => tracing::warn!(
                message_id = Message::ReadersNotSet.id(),
                command,
                "it cannot be set who may read {folder}: {error}; the agent goes on with it as it is; to mend it, run as \
                 root: {command}"
            ),
        }
    }
}
