//! The queue to the applier: the newest generation, and notices; a failing hook is tried again and holds up nobody.
//!
//! A generation whose files the applier refuses to install is not asked for again by itself: only once another one is
//! current, the settings are read anew, or a person asked.

mod burst;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use self::burst::Burst;
use super::board::Board;
use super::pulse::Pulse;
use super::status::{ApplyStatus, Area, Severity};
use crate::apply::{self, ApplyError, Attempt, Event, HookReport, Notice, Outcome, Refusal, Report, Request, Route};
use crate::backoff::Backoff;
use crate::clock::{Due, SharedClock};
use crate::config::{ApplyMode, Location, Settings};
use crate::event::{Answered, Applying, Retry, Said};
use crate::output::manifest::GenerationNumber;

/// How many notices wait at the most; the oldest go first.
const MOST_NOTICES: usize = 16;

/// How many hooks' time is waited for at the most.
const MOST_HOOKS: u32 = 32;

/// What the queue needs of others.
pub struct Surroundings {
    /// The time.
    pub clock: SharedClock,
    /// The settings in force.
    pub settings: watch::Receiver<Rc<Settings>>,
    /// Where the configuration is, for an applier that is started as a child.
    pub location: Location,
    /// Where things are told.
    pub board: Board,
    /// Proof of life.
    pub pulse: Pulse,
    /// Notices.
    pub notices: mpsc::UnboundedReceiver<Notice>,
    /// The generation that is current.
    pub published: watch::Receiver<Option<GenerationNumber>>,
    /// The generation that was last applied with success.
    pub applied: watch::Sender<Option<GenerationNumber>>,
    /// That a person has asked that what is published be applied, whatever became of it before.
    pub asked: watch::Receiver<PersonAsked>,
}

/// That a person has asked, once more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PersonAsked {
    /// How often by now.
    pub times: u64,
    /// Which generation was current then. One that became current only by the asking is tried in any case, and need not
    /// be tried twice.
    pub current: Option<GenerationNumber>,
}

impl PersonAsked {
    /// Notes that a person asked while this generation was current.
    pub fn note(asked: &watch::Sender<Self>, current: Option<GenerationNumber>) {
        asked.send_modify(|asked| *asked = Self { times: asked.times + 1, current });
    }
}

/// A wait before the next try, after so many failures in a row.
type Wait = Option<(Due, u32)>;

/// Serves the queue until the process ends.
pub async fn run(mut around: Surroundings) {
    let mut waiting: VecDeque<Notice> = VecDeque::new();
    // A hook that fails for a generation holds up no notice; an applier that cannot be reached holds up both.
    let mut generation_wait: Wait = None;
    let mut notice_wait: Wait = None;
    let mut standing = Standing::Fresh;
    let mut attempt = Attempt::Ordinary;
    let mut burst: Option<Burst> = None;
    // What is current at the start is no change that others may follow.
    let mut seen = *around.published.borrow();
    loop {
        let current = *around.published.borrow_and_update();
        let due = current.filter(|_| *around.applied.borrow() != current);
        let now = around.clock.now();
        if current != seen {
            seen = current;
            // Another generation deserves a try of its own.
            (generation_wait, standing) = (None, Standing::Fresh);
            let wait = burst::wait(&around.settings.borrow().template);
            burst = wait.map(|wait| Burst::with(burst, now, wait));
            if due.is_none() {
                // Back at what is applied: what kept another one from being applied is of no concern any more.
                around.board.solved(Area::Apply);
            }
        }
        // A clock that was set back makes nobody wait longer.
        for wait in [&mut generation_wait, &mut notice_wait].into_iter().flatten() {
            wait.0 = wait.0.seen(now);
        }
        burst = burst.map(|burst| burst.seen(now));
        let ready = |wait: Wait| wait.is_none_or(|(at, _)| at.is_over(now));
        if ready(notice_wait)
            && let Some(notice) = waiting.front().copied()
        {
            match around.serve(Request::Notice(notice)).await {
                // A notice is told once: what failed is shown, and the next event is on its way.
                Served::Succeeded | Served::Failed | Served::Refused => {
                    waiting.pop_front();
                    notice_wait = None;
                }
                Served::Unreachable => notice_wait = around.later(notice_wait),
            }
            continue;
        }
        let due = due.filter(|_| standing == Standing::Fresh);
        if ready(generation_wait)
            && burst.is_none_or(|burst| burst.is_over(now))
            && let Some(generation) = due
        {
            burst = None;
            let served = around.serve(Request::ConfigChanged(generation, attempt)).await;
            if matches!(served, Served::Failed | Served::Unreachable) {
                // Its files may be installed and some hooks told: whoever goes back to the one before has that applied again.
                around.applied.send_if_modified(|applied| applied.take().is_some());
            }
            match served {
                Served::Succeeded => {
                    around.applied.send_replace(Some(generation));
                    (generation_wait, attempt) = (None, Attempt::Ordinary);
                }
                Served::Refused => (generation_wait, attempt, standing) = (None, Attempt::Ordinary, Standing::Refused),
                Served::Failed => (generation_wait, attempt) = (around.later(generation_wait), Attempt::Ordinary),
                Served::Unreachable => generation_wait = around.later(generation_wait),
            }
            continue;
        }
        around.pulse.idle();
        let wake = [
            notice_wait.filter(|_| !waiting.is_empty()).map(|(wait, _)| wait.at(now)),
            due.map(|_| {
                let rest = burst.map_or(now, |burst| burst.at(now));
                generation_wait.map_or(rest, |(wait, _)| wait.at(now).max(rest))
            }),
        ];
        let wake = wake.into_iter().flatten().min().unwrap_or(Timestamp::MAX);
        let clock = Rc::clone(&around.clock);
        tokio::select! {
            Some(notice) = around.notices.recv() => {
                if !waiting.contains(&notice) {
                    waiting.push_back(notice);
                }
                if waiting.len() > MOST_NOTICES {
                    waiting.pop_front();
                }
            }
            Ok(()) = around.published.changed() => {}
            Ok(()) = around.asked.changed() => {
                // Who asks does not wait; where all is applied there is nothing to be done again.
                if *around.applied.borrow() != seen {
                    (generation_wait, burst) = (None, None);
                    if around.asked.borrow().current == seen {
                        (standing, attempt) = (Standing::Fresh, Attempt::Again);
                    }
                }
            }
            changed = around.settings.changed() => {
                if changed.is_ok() { (generation_wait, notice_wait, standing) = (None, None, Standing::Fresh); }
            }
            () = clock.sleep_until(wake) => {}
        }
    }
}

/// What became of the generation that is current.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It may be tried.
    Fresh,
    /// Its files were refused, and would be refused again.
    Refused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Served {
    Succeeded,
    /// A hook failed, or files could not be installed; another try may work.
    Failed,
    /// Files were not installed, and the same would not be either.
    Refused,
    Unreachable,
}

impl From<Served> for Answered {
    fn from(served: Served) -> Self {
        match served {
            Served::Succeeded => Self::Succeeded,
            Served::Failed => Self::Failed,
            Served::Refused => Self::Refused,
            Served::Unreachable => Self::Unreachable,
        }
    }
}

impl Surroundings {
    fn later(&self, before: Wait) -> Wait {
        let failures = before.map_or(0, |(_, failures)| failures).saturating_add(1);
        let cap = self.settings.borrow().apply.retry_cap.get();
        let wait = Backoff::new(Duration::from_secs(10), cap).wait(failures, fastrand::f64(), None);
        Retry::Apply.emit();
        Some((Due::after(self.clock.now(), wait), failures))
    }

    fn route(&self, settings: &Settings) -> Option<Route> {
        match settings.apply.mode {
            ApplyMode::Off => None,
            ApplyMode::Socket => Some(Route::Socket(settings.apply.socket.clone())),
            ApplyMode::Inline => Some(Route::Inline {
                program: "/proc/self/exe".into(),
                arguments: ["apply".into(), "--stdio".into()].into_iter().chain(self.location.arguments()).collect(),
            }),
        }
    }

    async fn serve(&mut self, request: Request) -> Served {
        let settings = self.settings.borrow().clone();
        let Some(route) = self.route(&settings) else {
            self.board.solved(Area::Apply);
            return Served::Succeeded;
        };
        let limit = (settings.hooks.timeout.get() + settings.hooks.grace.get()) * MOST_HOOKS + Duration::from_secs(60);
        self.pulse.within(limit);
        match apply::request(&route, &request, limit).await {
            Ok(report) => self.tell(request, report),
            Err(error) => {
                Applying::Answered(Answered::Unreachable).emit();
                self.not_reached(request, &error, settings.apply.mode);
                Served::Unreachable
            }
        }
    }

    /// Says that the applier could not be asked.
    fn not_reached(&self, request: Request, error: &ApplyError, mode: ApplyMode) {
        let event = request.event();
        if matches!(request, Request::Notice(_)) && self.severity() == Some(Severity::ActionNeeded) {
            // What needs a person stays to be seen.
            return Applying::NoticeFailed { event, message: &error.to_string() }.emit();
        }
        let what = error.to_string();
        self.board.problem(
            Area::Apply,
            Severity::Transient,
            format!("Hooks for {event} were not run: {}.", what.trim_end_matches('.')),
            match mode {
                ApplyMode::Socket => {
                    "The agent tries again by itself; `systemctl status runtime-agent-apply.socket` may tell more."
                }
                ApplyMode::Inline | ApplyMode::Off => "The agent tries again by itself.",
            },
        );
    }

    /// The applier answered to a notice. That it could not be asked is over, then; what it says of a generation stands.
    fn reached(&self) {
        if self.severity() == Some(Severity::Transient) {
            self.board.solved(Area::Apply);
        }
    }

    /// How bad the problem with applying is that is shown.
    fn severity(&self) -> Option<Severity> {
        self.board.read(|status| status.problems.get(&Area::Apply).map(|problem| problem.severity))
    }

    fn tell(&self, request: Request, report: Report) -> Served {
        let Report { hooks, skipped, install, outcome } = report;
        // Where files were refused, hooks are told of that, and of nothing else.
        let event = match &outcome {
            Outcome::Refused { reason: Refusal::InstallRefused, .. } => Event::ApplyFailed,
            Outcome::Done | Outcome::Failed { .. } | Outcome::Refused { .. } => request.event(),
        };
        for hook in &hooks {
            let generation = request.generation();
            let said = self.said_before(hook, event, generation);
            Applying::HookRan { report: hook, event, generation, said }.emit();
        }
        if let Some(install) = &install {
            Applying::Installed(install).emit();
        }
        let served = match (&outcome, request) {
            (Outcome::Refused { reason: Refusal::Busy, .. }, _) => Served::Unreachable,
            (Outcome::Done, Request::ConfigChanged(..)) => {
                self.board.solved(Area::Apply);
                Served::Succeeded
            }
            (Outcome::Done, Request::Notice(_)) => {
                self.reached();
                Served::Succeeded
            }
            (Outcome::Refused { reason: Refusal::InstallRefused, message }, Request::ConfigChanged(generation, _)) => {
                let refused = install.as_ref().and_then(|install| install.refused.as_ref());
                let message = refused.map_or(message, |refused| &refused.message);
                self.board.problem(
                    Area::Apply,
                    Severity::ActionNeeded,
                    format!(
                        "The files of generation {generation} were not installed: {}.",
                        message.trim_end_matches('.')
                    ),
                    "All files are as they were. It is tried again when the configuration changes, or at once by \
                     `runtime-agent sync`.",
                );
                Served::Refused
            }
            // Told once and not again, so it cannot be mended either: it is shown with the hooks, not as a problem.
            (Outcome::Failed { message } | Outcome::Refused { message, .. }, Request::Notice(_)) => {
                self.reached();
                Applying::NoticeFailed { event, message }.emit();
                Served::Failed
            }
            (Outcome::Failed { message } | Outcome::Refused { message, .. }, Request::ConfigChanged(..)) => {
                let own_words = match self.settings.borrow().apply.mode {
                    ApplyMode::Socket => "`journalctl -u runtime-agent-apply`",
                    ApplyMode::Inline | ApplyMode::Off => "the agent's log",
                };
                self.board.problem(
                    Area::Apply,
                    Severity::ActionNeeded,
                    format!("Hooks for {event} did not all work: {}.", message.trim_end_matches('.')),
                    format!(
                        "They are run again by themselves, less and less often, until they work. Their own words are in \
                         {own_words}."
                    ),
                );
                Served::Failed
            }
        };
        Applying::Answered(served.into()).emit();
        self.board.update(|status| {
            status.apply = Some(ApplyStatus {
                event: event.as_str().to_owned(),
                generation: request.generation(),
                at: self.clock.now(),
                succeeded: served == Served::Succeeded,
                hooks,
                skipped,
                install,
            });
        });
        served
    }

    /// Whether the last report told the same of a hook: one that is tried again and again is not complained of each time.
    fn said_before(&self, hook: &HookReport, event: Event, generation: Option<GenerationNumber>) -> Said {
        let before = self.board.read(|status| {
            status.apply.as_ref().is_some_and(|last| {
                let the_same = |known: &HookReport| known.name == hook.name && known.outcome == hook.outcome;
                last.event == event.as_str() && last.generation == generation && last.hooks.iter().any(the_same)
            })
        });
        if before { Said::Before } else { Said::Newly }
    }
}
