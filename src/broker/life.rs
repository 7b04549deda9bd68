//! The life of a binding, as pure functions: which request to the plane is next, and what follows from its answer.
//!
//! ```text
//!             ask                  the application answers
//!   Asking ─────────▶ Waiting ───────────────────────────▶ Ready ◀─┐
//!     │  └──────────────────────────────────────────────────▲      │ other credentials
//!     │                   │                │                └──────┘
//!     └────────▶ Failed ◀─┴────────────────┘  it refuses, or they are no longer there
//!
//!   any ─▶ Returning ─▶ Gone           Returning ─▶ Kept: the plane does not take them back
//! ```
//!
//! Asking the plane for credentials is not idempotent. So the wish is written down first; and whenever it is not certain
//! what became of a request (its answer was lost, or the agent was ended meanwhile), the next one is not the same again but
//! a look at what the plane has of this binding, which it tells by the context that was sent along. Only when it has had
//! nothing of it for as long as a request can be under way, it is asked again.

use std::time::Duration;

use jiff::Timestamp;

use super::order;
use super::record::{Phase, Promise, SecretText, Told};
use crate::clock;
use crate::director::{Outcome, Refusal, RefusalKind};
use crate::ids::InstanceAuthId;

/// A request to the plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// For credentials.
    Ask,
    /// Whether it has any for this binding.
    Look,
    /// What has become of these.
    See(InstanceAuthId),
    /// To take them back.
    GiveBack(InstanceAuthId),
}

/// An instance auth, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its id.
    pub auth: InstanceAuthId,
    /// Where it stands.
    pub state: SeenState,
}

/// Where an instance auth stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeenState {
    /// The application has not answered.
    Pending,
    /// There are credentials: the answer to the client.
    Given(SecretText),
    /// There are credentials, says the plane, and gave none. It contradicts itself, which settles nothing.
    Withheld,
    /// There are none that can be handed out; why, a sentence without its full stop.
    Failed(Box<str>),
    /// It was given back.
    Unused,
}

/// What the plane has of a binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// This.
    Found(Seen),
    /// Nothing.
    Nothing,
    /// That cannot be seen: the application or the bundle is not there for this host, now or for ever.
    Hidden,
}

/// The answer to a [`Step`].
#[derive(Debug, Clone)]
pub enum Heard {
    /// To [`Step::Ask`].
    Asked(Result<Seen, Refusal>),
    /// To [`Step::Look`].
    Looked(Result<Sight, Refusal>),
    /// To [`Step::See`].
    Saw(Result<Option<Seen>, Refusal>),
    /// To [`Step::GiveBack`].
    GaveBack(Result<Seen, Refusal>),
}

/// Whether a client waits for what comes of the operation, and has not been answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// One does.
    Present,
    /// None does.
    Absent,
}

/// What else matters when an answer comes.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
    /// Now.
    pub now: Timestamp,
    /// Since when it is not certain what became of the last request.
    pub doubt: Option<Timestamp>,
    /// How long a request can be under way that nobody waits for any more.
    pub settling: Duration,
    /// Who waits.
    pub audience: Audience,
}

/// What becomes of a binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Nothing new.
    Same,
    /// It goes on in its life.
    Becomes(Phase),
    /// It is forgotten, as if nobody had asked for it.
    Ends,
}

/// When the next request may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// At once.
    AtOnce,
    /// After a while, longer each time; not before that much has passed, where the plane says so.
    Later(Option<Duration>),
}

/// What follows from an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// What becomes of the binding.
    pub fate: Fate,
    /// Since when it is not certain what became of the last request.
    pub doubt: Option<Timestamp>,
    /// When the next request may follow.
    pub pace: Pace,
    /// What those who wait are told, where the operation ends without what they wanted, or is not promised to go on.
    pub word: Option<order::Refusal>,
}

/// The next request for a binding, if there is one to be made.
pub fn step(phase: &Phase, doubt: Option<Timestamp>) -> Option<Step> {
    match (phase, doubt) {
        (Phase::Asking { .. }, None) => Some(Step::Ask),
        (Phase::Asking { .. } | Phase::Returning { auth: None, .. }, _) => Some(Step::Look),
        (Phase::Waiting { auth }, _) => Some(Step::See(auth.clone())),
        (Phase::Returning { auth: Some(auth), told: Told::No }, None) => Some(Step::GiveBack(auth.clone())),
        (Phase::Returning { auth: Some(auth), .. }, _) => Some(Step::See(auth.clone())),
        // A doubt about credentials is one that the plane's list of them brought up.
        (Phase::Ready { auth, .. }, Some(_)) => Some(Step::See(auth.clone())),
        (Phase::Ready { .. } | Phase::Failed { .. } | Phase::Kept { .. } | Phase::Gone { .. }, _) => None,
    }
}

/// What follows from an answer.
pub fn hear(phase: &Phase, heard: Heard, around: Circumstances) -> Turn {
    match (phase, heard) {
        (Phase::Asking { promise }, Heard::Asked(Ok(seen)) | Heard::Looked(Ok(Sight::Found(seen)))) => {
            granted(seen, *promise)
        }
        (Phase::Asking { promise }, Heard::Asked(Err(refusal))) => refused(*promise, &refusal, around),
        (Phase::Asking { promise }, Heard::Looked(Ok(Sight::Nothing))) => not_found(*promise, around),
        (Phase::Returning { auth: None, .. }, Heard::Looked(Ok(Sight::Found(seen)))) => {
            becomes(Phase::Returning { auth: Some(seen.auth), told: Told::No })
        }
        // What cannot be seen cannot be given back either, and what was to go has to go in the end.
        (Phase::Returning { auth: None, .. }, Heard::Looked(Ok(Sight::Nothing | Sight::Hidden))) if settled(around) => {
            gone(around.now)
        }
        (Phase::Waiting { .. }, Heard::Saw(Ok(Some(seen)))) => match seen.state {
            SeenState::Pending | SeenState::Withheld => later(around.doubt),
            SeenState::Given(_) | SeenState::Failed(_) | SeenState::Unused => granted(seen, Promise::Made),
        },
        // Its id is kept: what cannot be seen now may come back with its application, and be given back then.
        (Phase::Waiting { auth } | Phase::Ready { auth, .. }, Heard::Saw(Ok(None))) => becomes(Phase::Failed {
            auth: Some(auth.clone()),
            why: "the plane has no such credentials any more, or does not show them to this host".into(),
        }),
        (Phase::Ready { credentials, .. }, Heard::Saw(Ok(Some(seen)))) => match &seen.state {
            // The plane asks the application anew; until then, what was given stands.
            SeenState::Pending | SeenState::Withheld => later(None),
            SeenState::Given(given) if given == credentials => later(None),
            SeenState::Given(_) | SeenState::Failed(_) | SeenState::Unused => granted(seen, Promise::Made),
        },
        (Phase::Returning { auth: Some(auth), .. }, Heard::GaveBack(Ok(_))) => {
            becomes(Phase::Returning { auth: Some(auth.clone()), told: Told::Yes })
        }
        (Phase::Returning { auth: Some(auth), .. }, Heard::GaveBack(Err(refusal))) => {
            not_taken_back(auth, &refusal, around)
        }
        (Phase::Returning { auth: Some(_), .. }, Heard::Saw(Ok(None))) => gone(around.now),
        (Phase::Returning { auth: Some(auth), told }, Heard::Saw(Ok(Some(seen)))) => {
            match (seen.state, told) {
                (SeenState::Unused, Told::Yes) => later(None),
                (SeenState::Unused, Told::No) => Turn {
                    pace: Pace::Later(None),
                    ..becomes(Phase::Returning { auth: Some(auth.clone()), told: Told::Yes })
                },
                // It was not heard, after all.
                (SeenState::Pending | SeenState::Given(_) | SeenState::Withheld | SeenState::Failed(_), Told::No) => {
                    Turn { pace: Pace::AtOnce, ..later(None) }
                }
                (SeenState::Pending | SeenState::Given(_) | SeenState::Withheld | SeenState::Failed(_), Told::Yes) => {
                    Turn {
                        pace: Pace::Later(None),
                        ..becomes(Phase::Returning { auth: Some(auth.clone()), told: Told::No })
                    }
                }
            }
        }
        (_, Heard::Looked(Err(refusal)) | Heard::Saw(Err(refusal))) => {
            Turn { pace: pace_after(&refusal), word: Some(unavailable(&refusal)), ..later(around.doubt) }
        }
        // Not settled yet; or an answer to what is no longer asked.
        (_, Heard::Asked(_) | Heard::Looked(_) | Heard::Saw(_) | Heard::GaveBack(_)) => later(around.doubt),
    }
}

/// What a client's wish to give a binding back makes of it.
pub fn give_back(phase: &Phase, now: Timestamp) -> Phase {
    match phase {
        Phase::Asking { .. } => Phase::Returning { auth: None, told: Told::No },
        Phase::Waiting { auth } | Phase::Ready { auth, .. } | Phase::Kept { auth, .. } => {
            Phase::Returning { auth: Some(auth.clone()), told: Told::No }
        }
        // The plane has nothing of it.
        Phase::Failed { auth: None, .. } => Phase::Gone { at: now },
        Phase::Failed { auth, .. } => Phase::Returning { auth: auth.clone(), told: Told::No },
        Phase::Returning { .. } | Phase::Gone { .. } => phase.clone(),
    }
}

fn granted(seen: Seen, promise: Promise) -> Turn {
    let Seen { auth, state } = seen;
    match (state, promise) {
        (SeenState::Given(credentials), _) => becomes(Phase::Ready { auth, credentials }),
        (SeenState::Pending | SeenState::Withheld, Promise::Made) => {
            Turn { pace: Pace::Later(None), ..becomes(Phase::Waiting { auth }) }
        }
        // The bundle's own credentials were taken away meanwhile. Nobody is going to look for what comes of this.
        (SeenState::Pending, Promise::NotMade) => Turn {
            word: Some(order::Refusal::AsyncRequired(
                "The application is asked for credentials, which takes time: the request has to say \
                 accepts_incomplete=true."
                    .into(),
            )),
            ..becomes(Phase::Returning { auth: Some(auth), told: Told::No })
        },
        (SeenState::Withheld, Promise::NotMade) => {
            failed(auth, "the plane says that there are credentials, and gave none".into(), promise)
        }
        (SeenState::Failed(why), _) => failed(auth, why, promise),
        (SeenState::Unused, _) => failed(auth, "the credentials were given back by somebody else".into(), promise),
    }
}

fn failed(auth: InstanceAuthId, why: Box<str>, promise: Promise) -> Turn {
    match promise {
        Promise::Made => becomes(Phase::Failed { auth: Some(auth), why }),
        // Whoever is refused leaves nothing behind.
        Promise::NotMade => Turn {
            word: Some(order::Refusal::BadRequest(format!("There are no credentials: {why}."))),
            ..becomes(Phase::Returning { auth: Some(auth), told: Told::No })
        },
    }
}

fn refused(promise: Promise, refusal: &Refusal, around: Circumstances) -> Turn {
    if refusal.outcome == Outcome::Unknown {
        let word = order::Refusal::Unavailable {
            why: format!(
                "It is not known whether the plane has made credentials, for its answer did not come: {}. The agent finds \
                 out; repeat the same request, or delete the binding.",
                refusal.message
            ),
            ask_again_in: None,
        };
        return Turn { doubt: Some(around.now), pace: pace_after(refusal), word: Some(word), ..later(None) };
    }
    match (promise, around.audience, refusal.kind) {
        (Promise::Made, Audience::Absent, RefusalKind::Concurrent | RefusalKind::Unavailable(_)) => {
            Turn { pace: pace_after(refusal), ..later(None) }
        }
        (Promise::Made, Audience::Absent, RefusalKind::Missing | RefusalKind::Invalid | RefusalKind::Unsupported) => {
            becomes(Phase::Failed { auth: None, why: format!("the plane refused: {}", refusal.message).into() })
        }
        (Promise::Made, Audience::Present, _) | (Promise::NotMade, ..) => {
            Turn { fate: Fate::Ends, doubt: None, pace: Pace::AtOnce, word: Some(word(refusal)) }
        }
    }
}

fn not_found(promise: Promise, around: Circumstances) -> Turn {
    match (promise, around.audience) {
        _ if !settled(around) => later(around.doubt),
        (Promise::Made, _) | (Promise::NotMade, Audience::Present) => Turn { pace: Pace::AtOnce, ..later(None) },
        // Whoever asked has been told that it may have come to nothing, and it has.
        (Promise::NotMade, Audience::Absent) => Turn { fate: Fate::Ends, doubt: None, pace: Pace::AtOnce, word: None },
    }
}

fn not_taken_back(auth: &InstanceAuthId, refusal: &Refusal, around: Circumstances) -> Turn {
    match (refusal.outcome, refusal.kind) {
        (Outcome::Undone, RefusalKind::Missing) => gone(around.now),
        (Outcome::Undone, RefusalKind::Invalid | RefusalKind::Unsupported) => Turn {
            word: Some(word(refusal)),
            ..becomes(Phase::Kept { auth: auth.clone(), why: refusal.message.clone() })
        },
        (Outcome::Undone, RefusalKind::Concurrent | RefusalKind::Unavailable(_)) => {
            Turn { pace: pace_after(refusal), word: Some(word(refusal)), ..later(None) }
        }
        (Outcome::Unknown, _) => {
            Turn { pace: pace_after(refusal), word: Some(unavailable(refusal)), ..later(Some(around.now)) }
        }
    }
}

fn settled(around: Circumstances) -> bool {
    around.doubt.is_none_or(|since| around.now >= clock::after(since, around.settling))
}

fn becomes(phase: Phase) -> Turn {
    Turn { fate: Fate::Becomes(phase), doubt: None, pace: Pace::AtOnce, word: None }
}

fn gone(now: Timestamp) -> Turn {
    becomes(Phase::Gone { at: now })
}

fn later(doubt: Option<Timestamp>) -> Turn {
    Turn { fate: Fate::Same, doubt, pace: Pace::Later(None), word: None }
}

fn pace_after(refusal: &Refusal) -> Pace {
    match refusal.kind {
        RefusalKind::Unavailable(wait) => Pace::Later(wait),
        RefusalKind::Missing | RefusalKind::Invalid | RefusalKind::Unsupported | RefusalKind::Concurrent => {
            Pace::Later(None)
        }
    }
}

fn word(refusal: &Refusal) -> order::Refusal {
    let sentence = format!("The plane refused: {}.", refusal.message);
    match refusal.kind {
        RefusalKind::Missing | RefusalKind::Invalid => order::Refusal::BadRequest(sentence),
        RefusalKind::Unsupported => order::Refusal::Unsupported(sentence),
        RefusalKind::Concurrent => order::Refusal::Concurrency(sentence),
        RefusalKind::Unavailable(_) => unavailable(refusal),
    }
}

fn unavailable(refusal: &Refusal) -> order::Refusal {
    let ask_again_in = match refusal.kind {
        RefusalKind::Unavailable(wait) => wait,
        RefusalKind::Missing | RefusalKind::Invalid | RefusalKind::Unsupported | RefusalKind::Concurrent => None,
    };
    let why = format!("The plane could not be asked, or gave no usable answer: {}.", refusal.message);
    order::Refusal::Unavailable { why, ask_again_in }
}

#[cfg(test)]
mod tests;
