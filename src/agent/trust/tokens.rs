//! Tokens as they arrive, and what becomes of them.

use super::TrustLoop;
use super::endeavour::{Endeavour, Step};
use crate::agent::status::{Area, Severity};
use crate::clock::Due;
use crate::event::Pairing;
use crate::pairing::{TokenOutcome, Verdict};
use crate::token::{Arrival, Dropped, OneTimeToken, TokenFile, credential};

impl TrustLoop {
    pub(super) fn receive(&mut self, Arrival { file, dropped }: Arrival) {
        if !matches!(dropped, Dropped::Stuck(_)) {
            self.around.board.solved(Area::TokenFile);
        }
        match dropped {
            Dropped::Token(token) => self.take(token, file),
            Dropped::NoToken(error) => {
                self.refuse(None, &format!("The file {} holds no token: {error}.", file.path.display()));
                self.remove_token(&file);
            }
            Dropped::Stuck(why) => self.around.board.problem(
                Area::TokenFile,
                Severity::ActionNeeded,
                format!("The token file {} cannot be used: {why}.", file.path.display()),
                "The agent looks again when the file changes.",
            ),
            Dropped::Gone => {}
        }
    }

    fn take(&mut self, token: OneTimeToken, file: TokenFile) {
        let fingerprint = token.fingerprint();
        let known = self.known(&fingerprint);
        if known == Some(Verdict::Paired) {
            // Spent for certain. One that was refused may have been refused for a reason that is gone.
            self.remove_token(&file);
            Pairing::DroppedAgain { token: &fingerprint }.emit();
        } else if self.uses(&fingerprint) {
            // Dropped once more while its first use goes on, which a second use would only disturb.
            match self.introduced(&fingerprint) {
                Some(first) => *first = Some(file),
                None => self.remove_token(&file),
            }
        } else {
            Pairing::Dropped { token: &fingerprint }.emit();
            self.conclude(Some(fingerprint), Verdict::InUse, "it is being used to pair");
            // Written down before it was presented, by a process that ended before the answer came.
            let lost = known == Some(Verdict::InUse);
            let step = Step::Introduce { token: Box::new(token), file: Some(file), lost };
            let endeavour = Some(Endeavour::new(step, self.now()));
            if matches!(&self.by_token, Some(Endeavour { step: Step::Enrol { .. }, .. })) {
                self.waiting = endeavour;
                if let Some(enrol) = &mut self.by_token {
                    // If it is stuck, it makes room.
                    enrol.due = Due::now(self.around.clock.now());
                }
            } else {
                self.by_token = endeavour;
            }
            self.tell_endeavours();
        }
    }

    /// What became of a token, if it is known here.
    fn known(&self, fingerprint: &str) -> Option<Verdict> {
        if self.current.as_ref().is_some_and(|used| used.identity.record.token.as_deref() == Some(fingerprint)) {
            return Some(Verdict::Paired);
        }
        let outcome = self.files.outcome()?;
        (outcome.fingerprint.as_deref() == Some(fingerprint)).then_some(outcome.verdict)
    }

    /// Whether a token is what is being worked on.
    fn uses(&self, fingerprint: &str) -> bool {
        [&self.by_token, &self.waiting].into_iter().flatten().any(|endeavour| match &endeavour.step {
            Step::Introduce { token, .. } => token.fingerprint() == fingerprint,
            Step::Enrol { pending, .. } => pending.fingerprint == fingerprint,
            Step::Prove(candidate) => candidate.record.token.as_deref() == Some(fingerprint),
            Step::Renew => false,
        })
    }

    /// The place for the file of a token that waits to be accepted, and stays until then.
    fn introduced(&mut self, fingerprint: &str) -> Option<&mut Option<TokenFile>> {
        [&mut self.by_token, &mut self.waiting].into_iter().flatten().find_map(|endeavour| match &mut endeavour.step {
            Step::Introduce { token, file, .. } if token.fingerprint() == fingerprint => Some(file),
            _ => None,
        })
    }

    /// The step that a token among the systemd credentials asks for: only on a host that has nothing else to go on
    /// with, and only once, because a credential cannot be removed and is there again after every start.
    pub(super) fn credential(&self) -> Option<Endeavour> {
        if self.current.is_some() {
            return None;
        }
        let unusable = |why: String| {
            self.refuse(None, &format!("The systemd credential {} cannot be used: {why}.", credential::NAME));
            None
        };
        match credential::read()? {
            Dropped::Token(token) => {
                let fingerprint = token.fingerprint();
                let known = self.known(&fingerprint);
                if !matches!(known, None | Some(Verdict::InUse)) {
                    return None;
                }
                Pairing::CameAsCredential { token: &fingerprint }.emit();
                self.conclude(Some(fingerprint), Verdict::InUse, "it is being used to pair");
                let lost = known == Some(Verdict::InUse);
                Some(Endeavour::new(Step::Introduce { token: Box::new(token), file: None, lost }, self.now()))
            }
            Dropped::NoToken(error) => unusable(error.to_string()),
            Dropped::Stuck(why) => unusable(why),
            Dropped::Gone => None,
        }
    }

    /// A token is of no use: says so, in the journal, in the status and for the next start.
    pub(super) fn refuse(&self, fingerprint: Option<String>, sentence: &str) {
        self.conclude(fingerprint, Verdict::Refused, sentence);
        let now = self.now();
        if self.current.as_ref().is_some_and(|used| !used.is_over(now)) {
            // Nothing is wrong with the host; who dropped the token sees in the status what became of it.
            self.around.board.solved(Area::Pairing);
            Pairing::RefusedWhilePaired { sentence }.emit();
        } else {
            self.around.board.problem(Area::Pairing, Severity::ActionNeeded, sentence, "Drop a new token.");
        }
    }

    /// Writes down what became of a token. What holds no token does not hide what becomes of one that is in use.
    pub(super) fn conclude(&self, fingerprint: Option<String>, verdict: Verdict, detail: &str) {
        let matters = self.around.board.read(|status| {
            status.token.as_ref().is_some_and(|token| matches!(token.verdict, Verdict::InUse | Verdict::Unpaired))
        });
        if fingerprint.is_none() && matters && verdict == Verdict::Refused {
            return;
        }
        let detail = crate::transport::fit(detail);
        let outcome = TokenOutcome { fingerprint, at: self.now(), verdict, detail };
        if let Err(error) = self.files.conclude(&outcome) {
            Pairing::NotNoted(&error).emit();
        }
        self.around.board.update(|status| status.token = Some(outcome));
    }

    /// A kill came between the end of a token's use and the note of it: makes the note now.
    pub(super) fn conclude_interrupted(&self) {
        let Some(outcome) = self.files.outcome().filter(|outcome| outcome.verdict == Verdict::InUse) else { return };
        let Some(fingerprint) = outcome.fingerprint else { return };
        if self.known(&fingerprint) == Some(Verdict::Paired) {
            self.conclude(Some(fingerprint), Verdict::Paired, "this host was paired by it");
        } else if self.by_token.is_none() && !self.settings().paths.token().exists() {
            self.refuse(Some(fingerprint), "A pairing was interrupted, and nothing is left of it to go on with.");
        }
    }

    pub(super) fn remove_token(&self, file: &TokenFile) {
        if let Err(error) = file.remove() {
            self.around.board.problem(
                Area::TokenFile,
                Severity::ActionNeeded,
                format!("A token that was used or refused stays on disk: {error}."),
                "Remove it by hand.",
            );
        }
    }
}
