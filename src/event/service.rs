//! What is said of the process itself: its start and its end, its configuration, its sockets.

use std::fmt::Display;

use super::Message;

/// Something about the process itself.
pub enum Service<'a> {
    /// It has started, with this configuration file.
    Started(&'a dyn Display),
    /// It begins without an identity.
    WaitingForToken {
        /// How things are, in one line.
        headline: &'a str,
    },
    /// It begins with an identity.
    Begins {
        /// In one word.
        state: &'static str,
        /// How things are, in one line.
        headline: &'a str,
    },
    /// How things are has changed; whatever changed it says so itself.
    Changed {
        /// In one word.
        state: &'static str,
        /// How things are, in one line.
        headline: &'a str,
    },
    /// It ends on a signal of this name.
    Ends(&'static str),
    /// It cannot run.
    CannotRun(&'a dyn std::error::Error),
    /// The configuration was read again and is in force.
    Reloaded,
    /// The configuration was read again, and some of it takes a restart.
    ReloadedInPart {
        /// The keys that do.
        held: &'a [String],
        /// What is to be restarted.
        service: &'a str,
    },
    /// A loop of this name hangs.
    LoopHangs(&'static str),
    /// Core dumps cannot be turned off.
    CoreDumps(nix::Error),
}

impl Service<'_> {
    /// Says it.
    pub fn emit(self) {
        match self {
            Self::Started(config) => tracing::info!(
                message_id = Message::Started.id(),
                version = env!("CARGO_PKG_VERSION"),
                config = %config,
                "runtime-agent has started"
            ),
            Self::WaitingForToken { headline } => {
                tracing::info!(message_id = Message::WaitingForToken.id(), state = "unpaired", "{headline}");
            }
            Self::Begins { state, headline } => tracing::info!(state, "{headline}"),
            Self::Changed { state, headline } => tracing::debug!(state, "{headline}"),
            Self::Ends(signal) => {
                tracing::info!(message_id = Message::Ended.id(), signal, "runtime-agent ends on {signal}");
            }
            Self::CannotRun(error) => {
                tracing::error!(message_id = Message::CannotRun.id(), "runtime-agent cannot run: {error}");
            }
            Self::Reloaded => {
                tracing::info!(message_id = Message::Reloaded.id(), "the configuration was read again and is in force");
            }
            Self::ReloadedInPart { held, service } => tracing::warn!(
                message_id = Message::Reloaded.id(),
                "the configuration was read again and is in force, except for changes of {}: those take `systemctl \
                 restart {service}`",
                held.join(", ")
            ),
            Self::LoopHangs(name) => tracing::warn!(
                message_id = Message::LoopHangs.id(),
                "the {name} loop hangs; systemd's watchdog will restart the agent"
            ),
            Self::CoreDumps(failed) => tracing::warn!("core dumps cannot be turned off: {failed}"),
        }
    }
}
