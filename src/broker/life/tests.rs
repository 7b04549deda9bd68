//! The life of a binding against a plane that loses requests and answers, with a host that is killed at any moment.

use proptest::prelude::*;

use super::*;

/// How long a request of this plane can be under way after its sender has gone: a minute.
const SETTLING: Duration = Duration::from_secs(60);

fn instant(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn auth(number: usize) -> InstanceAuthId {
    format!("auth-{number}").parse().unwrap()
}

fn credentials(number: usize) -> SecretText {
    SecretText::new(format!("{{\"credentials\":{number}}}"))
}

fn refusal(kind: RefusalKind, outcome: Outcome) -> Refusal {
    Refusal { kind, code: None, message: "why".into(), outcome }
}

const LOST: (RefusalKind, Outcome) = (RefusalKind::Unavailable(None), Outcome::Unknown);

/// An instance auth at the plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Pending,
    Given,
    Unused,
}

/// What becomes of one request and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    /// Both arrive.
    Works,
    /// The request is carried out at once, and nobody hears of it.
    AnswerLost,
    /// The request is carried out a while later, and nobody hears of it.
    Late,
    /// The request never arrives, and nobody knows.
    RequestLost,
    /// There is no connection.
    Down,
}

/// What happens next.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// The next request is made, and this becomes of it.
    Request(Wire),
    /// Time passes, in seconds.
    Pass(u8),
    /// The host is killed, and starts again.
    Kill,
    /// The application answers or revokes.
    Application,
    /// A client asks for the end.
    Delete,
}

fn event() -> impl Strategy<Value = Event> {
    let wire = prop_oneof![
        4 => Just(Wire::Works),
        1 => Just(Wire::AnswerLost),
        1 => Just(Wire::Late),
        1 => Just(Wire::RequestLost),
        1 => Just(Wire::Down)
    ];
    prop_oneof![
        6 => wire.prop_map(Event::Request),
        3 => (1_u8..100).prop_map(Event::Pass),
        1 => Just(Event::Kill),
        2 => Just(Event::Application),
        1 => Just(Event::Delete),
    ]
}

/// A host with one binding, and its plane.
struct World {
    now: i64,
    phase: Option<Phase>,
    doubt: Option<Timestamp>,
    /// Whether the bundle has credentials of its own.
    at_once: bool,
    auths: Vec<Option<At>>,
    /// Creations that are still under way, with the time at which they arrive.
    under_way: Vec<i64>,
    deleted: bool,
}

impl World {
    fn create(&mut self) -> usize {
        self.auths.push(Some(if self.at_once { At::Given } else { At::Pending }));
        self.auths.len() - 1
    }

    fn seen(&self, number: usize) -> Option<Seen> {
        let state = match self.auths[number]? {
            At::Pending => SeenState::Pending,
            At::Given => SeenState::Given(credentials(number)),
            At::Unused => SeenState::Unused,
        };
        Some(Seen { auth: auth(number), state })
    }

    fn number(&self, wanted: &InstanceAuthId) -> usize {
        (0..self.auths.len()).find(|number| auth(*number) == *wanted).unwrap()
    }

    fn request(&mut self, wire: Wire, audience: Audience) {
        let Some(step) = self.phase.as_ref().and_then(|phase| step(phase, self.doubt)) else { return };
        let carried_out = matches!(wire, Wire::Works | Wire::AnswerLost);
        let heard = wire == Wire::Works;
        let failure = || match wire {
            Wire::Down => refusal(RefusalKind::Unavailable(None), Outcome::Undone),
            Wire::Works | Wire::AnswerLost | Wire::Late | Wire::RequestLost => refusal(LOST.0, LOST.1),
        };
        let heard = match step {
            Step::Ask => {
                let made = carried_out.then(|| self.create());
                if wire == Wire::Late {
                    self.under_way.push(self.now + 59);
                }
                Heard::Asked(made.filter(|_| heard).and_then(|number| self.seen(number)).ok_or_else(failure))
            }
            Step::Look => {
                let found = (0..self.auths.len()).filter_map(|number| self.seen(number)).next();
                let sight = found.map_or(Sight::Nothing, Sight::Found);
                Heard::Looked(if heard { Ok(sight) } else { Err(failure()) })
            }
            Step::See(wanted) => {
                let seen = self.seen(self.number(&wanted));
                Heard::Saw(if heard { Ok(seen) } else { Err(failure()) })
            }
            Step::GiveBack(wanted) => {
                let number = self.number(&wanted);
                let there = self.auths[number].is_some();
                let answer = Seen { auth: wanted, state: SeenState::Unused };
                if carried_out && there {
                    self.auths[number] = (!self.at_once).then_some(At::Unused);
                }
                Heard::GaveBack(match (heard, there) {
                    (true, true) => Ok(answer),
                    (true, false) => Err(refusal(RefusalKind::Missing, Outcome::Undone)),
                    (false, _) => Err(failure()),
                })
            }
        };
        let around = Circumstances { now: instant(self.now), doubt: self.doubt, settling: SETTLING, audience };
        let turn = hear(self.phase.as_ref().unwrap(), heard, around);
        self.doubt = turn.doubt;
        match turn.fate {
            Fate::Same => {}
            Fate::Becomes(phase) => self.phase = Some(phase),
            Fate::Ends => self.phase = None,
        }
    }

    fn pass(&mut self, seconds: i64) {
        self.now += seconds;
        let (arrived, others) = self.under_way.drain(..).partition(|at: &i64| *at <= self.now);
        self.under_way = others;
        let arrived: Vec<i64> = arrived;
        for _ in arrived {
            self.create();
        }
    }

    fn application_answers(&mut self) {
        for auth in &mut self.auths {
            *auth = match auth {
                Some(At::Pending | At::Given) => Some(At::Given),
                Some(At::Unused) | None => None,
            };
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Request(wire) => self.request(wire, Audience::Absent),
            Event::Pass(seconds) => self.pass(seconds.into()),
            Event::Kill => {
                // What the loop does at its start.
                let ready = matches!(self.phase, Some(Phase::Ready { .. }));
                self.doubt = (!ready).then(|| instant(self.now));
            }
            Event::Application => self.application_answers(),
            Event::Delete => {
                if let Some(phase) = &self.phase {
                    self.phase = Some(give_back(phase, instant(self.now)));
                    self.deleted = true;
                }
            }
        }
    }

    /// All that is under way comes to its end.
    fn settle(&mut self) {
        for _ in 0..40 {
            self.pass(30);
            self.application_answers();
            self.request(Wire::Works, Audience::Absent);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_is_lost_the_plane_and_the_host_agree_in_the_end_and_never_on_two(
        at_once: bool, promised: bool, events in prop::collection::vec(event(), 0..60)
    ) {
        let promise = if promised { Promise::Made } else { Promise::NotMade };
        prop_assume!(promised || at_once);
        let mut world = World {
            now: 1_000_000,
            phase: Some(Phase::Asking { promise }),
            doubt: None,
            at_once,
            auths: Vec::new(),
            under_way: Vec::new(),
            deleted: false,
        };
        for event in events {
            world.happen(event);
            prop_assert!(world.auths.iter().flatten().count() <= 1, "asked twice: {:?}", world.auths);
        }
        world.settle();
        let left: Vec<_> = (0..world.auths.len()).filter(|number| world.auths[*number].is_some()).collect();
        match (&world.phase, left.as_slice()) {
            (Some(Phase::Ready { auth: ours, credentials: given }), [number]) => {
                prop_assert!(!world.deleted);
                prop_assert_eq!(ours, &auth(*number));
                prop_assert_eq!(given, &credentials(*number));
            }
            (Some(Phase::Gone { .. }), []) => prop_assert!(world.deleted),
            (None, []) => prop_assert!(!promised, "a promise was broken"),
            (phase, left) => prop_assert!(false, "{phase:?} here, {left:?} at the plane"),
        }
    }

    #[test]
    fn no_answer_to_an_earlier_question_does_harm(
        number in 0_usize..3, state in 0_u8..5, question in 0_u8..4, phase in 0_usize..8
    ) {
        let seen = Seen {
            auth: auth(number),
            state: match state {
                0 => SeenState::Pending,
                1 => SeenState::Given(credentials(number)),
                2 => SeenState::Unused,
                3 => SeenState::Withheld,
                _ => SeenState::Failed("why".into()),
            },
        };
        let heard = match question {
            0 => Heard::Asked(Ok(seen)),
            1 => Heard::Looked(Ok(Sight::Found(seen))),
            2 => Heard::Saw(Ok(Some(seen))),
            _ => Heard::GaveBack(Ok(seen)),
        };
        let phases = [
            Phase::Asking { promise: Promise::Made },
            Phase::Waiting { auth: auth(0) },
            Phase::Ready { auth: auth(0), credentials: credentials(0) },
            Phase::Failed { auth: None, why: "why".into() },
            Phase::Returning { auth: None, told: Told::No },
            Phase::Returning { auth: Some(auth(0)), told: Told::Yes },
            Phase::Kept { auth: auth(0), why: "why".into() },
            Phase::Gone { at: instant(0) },
        ];
        let around =
            Circumstances { now: instant(100), doubt: None, settling: SETTLING, audience: Audience::Absent };
        let turn = hear(&phases[phase], heard, around);
        // What is over stays over, and what is given back is never handed out again.
        match phases[phase] {
            Phase::Failed { .. } | Phase::Kept { .. } | Phase::Gone { .. } => prop_assert_eq!(turn.fate, Fate::Same),
            Phase::Returning { .. } => {
                let handed_out = matches!(turn.fate, Fate::Becomes(Phase::Ready { .. }));
                prop_assert!(!handed_out);
            }
            Phase::Asking { .. } | Phase::Waiting { .. } | Phase::Ready { .. } => {}
        }
    }
}

fn asked(promise: Promise, refused: (RefusalKind, Outcome), audience: Audience) -> Turn {
    let around = Circumstances { now: instant(100), doubt: None, settling: SETTLING, audience };
    hear(&Phase::Asking { promise }, Heard::Asked(Err(refusal(refused.0, refused.1))), around)
}

#[test]
fn a_client_that_is_refused_leaves_nothing_behind_and_one_that_was_promised_finds_out_why() {
    for (kind, word) in [
        (RefusalKind::Missing, "The plane refused: why."),
        (RefusalKind::Invalid, "The plane refused: why."),
        (RefusalKind::Unsupported, "The plane refused: why."),
        (RefusalKind::Concurrent, "The plane refused: why."),
        (RefusalKind::Unavailable(None), "The plane could not be asked, or gave no usable answer: why."),
    ] {
        for promise in [Promise::Made, Promise::NotMade] {
            let turn = asked(promise, (kind, Outcome::Undone), Audience::Present);
            assert_eq!(turn.fate, Fate::Ends);
            assert_eq!(turn.word.unwrap().to_string(), word);
        }
        let turn = asked(Promise::Made, (kind, Outcome::Undone), Audience::Absent);
        match kind {
            RefusalKind::Concurrent | RefusalKind::Unavailable(_) => assert_eq!(turn.fate, Fate::Same),
            RefusalKind::Missing | RefusalKind::Invalid | RefusalKind::Unsupported => {
                assert!(matches!(turn.fate, Fate::Becomes(Phase::Failed { auth: None, .. })), "{turn:?}");
            }
        }
    }
}

#[test]
fn a_client_that_cannot_wait_gets_no_credentials_that_come_later() {
    let around = Circumstances { now: instant(1), doubt: None, settling: SETTLING, audience: Audience::Present };
    let seen = Seen { auth: auth(1), state: SeenState::Pending };
    let turn = hear(&Phase::Asking { promise: Promise::NotMade }, Heard::Asked(Ok(seen)), around);
    assert_eq!(turn.fate, Fate::Becomes(Phase::Returning { auth: Some(auth(1)), told: Told::No }));
    assert!(matches!(turn.word, Some(order::Refusal::AsyncRequired(_))));
}

#[test]
fn credentials_that_the_plane_speaks_of_and_does_not_give_settle_nothing() {
    let around = Circumstances { now: instant(1), doubt: None, settling: SETTLING, audience: Audience::Absent };
    let seen = || Seen { auth: auth(1), state: SeenState::Withheld };
    let turn = hear(&Phase::Asking { promise: Promise::Made }, Heard::Asked(Ok(seen())), around);
    assert_eq!(turn.fate, Fate::Becomes(Phase::Waiting { auth: auth(1) }));
    for phase in [Phase::Waiting { auth: auth(1) }, Phase::Ready { auth: auth(1), credentials: credentials(1) }] {
        assert_eq!(hear(&phase, Heard::Saw(Ok(Some(seen()))), around).fate, Fate::Same, "{phase:?}");
    }
    let turn = hear(&Phase::Asking { promise: Promise::NotMade }, Heard::Asked(Ok(seen())), around);
    assert!(matches!(turn.word, Some(order::Refusal::BadRequest(_))), "who cannot wait is told: {turn:?}");
}

#[test]
fn a_plane_that_refuses_to_take_credentials_back_keeps_them_until_somebody_tries_again() {
    let phase = Phase::Returning { auth: Some(auth(1)), told: Told::No };
    let around = Circumstances { now: instant(1), doubt: None, settling: SETTLING, audience: Audience::Absent };
    let heard = Heard::GaveBack(Err(refusal(RefusalKind::Unsupported, Outcome::Undone)));
    let turn = hear(&phase, heard, around);
    let kept = Phase::Kept { auth: auth(1), why: "why".into() };
    assert_eq!(turn.fate, Fate::Becomes(kept.clone()));
    assert_eq!(step(&kept, None), None);
    assert_eq!(give_back(&kept, instant(2)), phase);
}
