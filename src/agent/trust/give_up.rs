//! Unpairing: the certificate is revoked at the plane, and everything that came by it is removed here.

use std::time::Duration;

use tokio::sync::oneshot;

use super::{Files, TrustLoop};
use crate::agent::configuration::ClearOrder;
use crate::agent::link;
use crate::agent::standing::Standing;
use crate::agent::status::Area;
use crate::apply::Notice;
use crate::config::Settings;
use crate::connector;
use crate::event;
use crate::identity::Identity;
use crate::ids::RuntimeId;
use crate::pairing::Verdict;

/// How long the configuration loop may be at work before it empties the files: two hours, as long as its longest poll.
const LONGEST_POLL: Duration = Duration::from_secs(2 * 60 * 60);

impl TrustLoop {
    /// Gives the identity up. What fails half-way can be done again: it begins at the plane, and ends with the files.
    pub(super) async fn unpair(&mut self, files: Files) -> Result<String, String> {
        self.around.pulse.within(LONGEST_POLL);
        let used = self.current.as_ref().map(|used| used.identity.clone());
        let published = self.around.board.read(|status| status.output.as_ref().is_some_and(|it| it.applications > 0));
        let nothing = used.is_none() && self.by_token.is_none() && self.lost.is_none();
        if nothing && (files == Files::Keep || !published) {
            return Err("This host is not paired; there is nothing to give up.".to_owned());
        }
        let revoked = match &used {
            Some(identity) if self.standing() == Standing::Expired => {
                Err(format!("the certificate expired on {}, and counts for nothing", identity.leaf.not_after))
            }
            Some(identity) => revoke(&self.settings(), identity).await,
            None => Err("there is no certificate here to revoke".to_owned()),
        };
        if let Err(why) = &revoked {
            match &used {
                // Nobody has to do anything about a certificate that counts for nothing.
                Some(_) if self.standing() != Standing::Expired => event::Pairing::NotRevoked { why }.emit(),
                Some(_) | None => event::Pairing::NothingToRevoke { why }.emit(),
            }
        }
        // From here on nothing is asked of the plane any more.
        self.around.identity.send_replace(None);
        let done = match files {
            Files::Empty => self.empty_files(used.and_then(|identity| identity.record.runtime.clone())).await,
            Files::Keep => Ok(()),
        };
        if let Err(error) = done.and_then(|()| self.forget_everything()) {
            self.around.identity.send_replace(self.current.as_ref().map(|used| used.identity.clone()));
            return Err(format!("This host is not unpaired: {error}. Run the command again."));
        }
        self.notify(Notice::Unpaired);
        event::Pairing::Unpaired.emit();
        Ok(sentence(&revoked, files))
    }

    async fn empty_files(&self, runtime: Option<RuntimeId>) -> Result<(), String> {
        let (sender, receiver) = oneshot::channel();
        // The configuration loop lives as long as this one.
        let _ = self.around.clearing.send(ClearOrder { runtime, answer: sender }).await;
        receiver.await.unwrap_or_else(|_| Err("the agent is ending".to_owned()))
    }

    fn forget_everything(&mut self) -> Result<(), String> {
        let fingerprint = self.files.outcome().and_then(|outcome| outcome.fingerprint);
        // With this on disk, the next start goes on with what a kill interrupts here.
        self.conclude(fingerprint, Verdict::Unpaired, "this host was unpaired");
        self.store.clear().map_err(|error| format!("the identity cannot be removed: {error}"))?;
        self.forget_pending();
        for endeavour in [self.by_token.take(), self.waiting.take()].into_iter().flatten() {
            if let super::Step::Introduce { file: Some(file), .. } = endeavour.step {
                self.remove_token(&file);
            }
        }
        (self.current, self.renewal, self.lost) = (None, None, None);
        for area in [Area::Renewal, Area::Pairing, Area::Certificate] {
            self.around.board.withdraw(area);
        }
        self.around.board.update(|status| status.identity = None);
        self.tell_endeavours();
        Ok(())
    }

    fn standing(&self) -> Standing {
        *self.around.standing.borrow()
    }
}

/// Has the certificate of an identity revoked by its plane.
///
/// # Errors
/// When that did not happen, with the reason.
pub async fn revoke(settings: &Settings, identity: &Identity) -> Result<(), String> {
    let connector = link::connector_with_identity(settings, identity).map_err(|error| error.to_string())?;
    match connector::revoke(&connector).await {
        Ok(true) => Ok(()),
        Ok(false) => Err("the plane answered that it did not revoke it".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// What was done, for whoever asked for it.
pub fn sentence(revoked: &Result<(), String>, files: Files) -> String {
    let plane = match revoked {
        Ok(()) => "Its certificate is revoked.".to_owned(),
        Err(why) => format!(
            "WARNING: its certificate is not revoked: {}. Nobody holds the key any more, but have the runtime removed at \
             the plane.",
            why.trim_end_matches('.')
        ),
    };
    let files = match files {
        Files::Empty => "The published files are emptied.",
        Files::Keep => "The published files stay as they are.",
    };
    format!("This host is unpaired. {plane} {files}")
}
