//! What the identity loop is about: the steps from a token, or from a certificate that nears its end, to a new
//! identity.

use std::fmt;

use jiff::Timestamp;

use crate::clock::Due;
use crate::identity::{Identity, PrivateKey};
use crate::pairing::Pending;
use crate::token::{OneTimeToken, TokenFile};

/// A step, when it is due, and how often it failed.
pub(super) struct Endeavour {
    /// The step.
    pub step: Step,
    /// When it is to be taken.
    pub due: Due,
    /// How often it failed in a row.
    pub failures: u32,
}

/// A step towards a new identity.
pub(super) enum Step {
    /// Present the token from a file, to learn what to ask for.
    Introduce {
        /// The token.
        token: Box<OneTimeToken>,
        /// Its file, which stays until the token is spent or refused; none, where it came as a credential.
        file: Option<TokenFile>,
        /// Whether an answer was lost: a refusal then probably means that the token was spent by that request.
        lost: bool,
    },
    /// Have a certificate signed with the second token.
    Enrol {
        /// The pairing.
        pending: Box<Pending>,
        /// The key, once it is made; a retry uses it again.
        key: Option<PrivateKey>,
    },
    /// Have a certificate signed by showing the one in use.
    Renew,
    /// Try a new identity at the Director.
    Prove(Box<Identity>),
}

impl Endeavour {
    /// A step that is due.
    pub(super) fn new(step: Step, now: Timestamp) -> Self {
        Self { step, due: Due::now(now), failures: 0 }
    }
}

impl fmt::Display for Endeavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.step {
            Step::Introduce { .. } => "presenting the token to the Connector",
            Step::Enrol { .. } => "asking the Connector for a certificate",
            Step::Renew => "renewing the certificate",
            Step::Prove(_) => "trying the new certificate at the Director",
        })?;
        if self.failures > 0 {
            write!(f, " (tries that failed so far: {})", self.failures)?;
        }
        Ok(())
    }
}
