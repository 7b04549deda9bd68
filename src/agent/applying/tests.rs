//! The queue against a stand-in for the applier, with a clock that jumps.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};

use super::super::status::Status;
use super::super::world::World;
use super::*;
use crate::clock::Clock as _;

const SECOND: Duration = Duration::from_secs(1);
const DONE: &str = r#"{"outcome":{"result":"done"}}"#;
const FAILED: &str = r#"{"outcome":{"result":"failed","message":"hook 10-x ended with 1"}}"#;
/// It hangs up.
const SILENCE: &str = "";
const REFUSED: &str = r#"{"install":{"written":0,"removed":0,"units":[],"warnings":[],"refused":{"at":"2026-11-22T12:00:00Z","message":"validate failed","output":["line 7: no"]}}}
{"outcome":{"result":"refused","reason":"install-refused","message":"validate failed"}}"#;

struct Scene {
    world: Rc<World>,
    started: Timestamp,
    board: Board,
    /// After how many seconds the applier was asked, and for what.
    asked: Rc<RefCell<Vec<(i64, String)>>>,
    /// What it answers, first to last; then that all is done.
    answers: Rc<RefCell<VecDeque<&'static str>>>,
    notices: mpsc::UnboundedSender<Notice>,
    published: watch::Sender<Option<GenerationNumber>>,
    applied: watch::Receiver<Option<GenerationNumber>>,
    by_a_person: watch::Sender<PersonAsked>,
    settings: watch::Sender<Rc<Settings>>,
}

fn number(number: u64) -> Option<GenerationNumber> {
    Some(GenerationNumber(number.try_into().unwrap()))
}

/// Has the queue serve while `play` goes on.
async fn scene(rules: &str, play: impl AsyncFnOnce(&Scene)) {
    let folder = tempfile::tempdir().unwrap();
    let started: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
    let world = World::at(started);
    let socket = folder.path().join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    let mut settings: Settings = toml::from_str(rules).unwrap();
    settings.apply.socket = socket;
    let clock: SharedClock = world.clone();
    let board = Board::new(Status::new(String::new(), started), clock.clone());
    let (settings, settings_receiver) = watch::channel(Rc::new(settings));
    let (published, published_receiver) = watch::channel(None);
    let (applied_sender, applied) = watch::channel(None);
    let (by_a_person, asked_receiver) = watch::channel(PersonAsked::default());
    let (notice_sender, notices) = mpsc::unbounded_channel();
    let queue = run(Surroundings {
        clock,
        settings: settings_receiver,
        location: crate::config::Location::system(None),
        board: board.clone(),
        pulse: Pulse::default(),
        notices,
        published: published_receiver,
        applied: applied_sender,
        asked: asked_receiver,
    });
    let (asked, answers) = <(Rc<RefCell<Vec<_>>>, Rc<RefCell<VecDeque<_>>>)>::default();
    let notices = notice_sender;
    let scene = Scene { world, started, board, asked, answers, notices, published, applied, by_a_person, settings };
    let applier = async {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut line = String::new();
            BufReader::new(&mut stream).read_line(&mut line).await.unwrap();
            let seconds = scene.world.now().as_second() - scene.started.as_second();
            scene.asked.borrow_mut().push((seconds, line.trim_end().replace(r#"{"version":1,"event":"#, "{")));
            let answer = scene.answers.borrow_mut().pop_front().unwrap_or(DONE);
            if answer == SILENCE {
                continue;
            }
            stream.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
        }
    };
    tokio::select! {
        () = queue => unreachable!("it serves for ever"),
        () = applier => unreachable!("it serves for ever"),
        () = play(&scene) => {}
    }
}

impl Scene {
    /// Has something happen in so many seconds.
    fn after(&self, seconds: u32, happening: impl FnOnce() + 'static) {
        self.world.after(SECOND * seconds, move |_| happening());
    }

    fn publish_after(&self, seconds: u32, generation: u64) {
        let published = self.published.clone();
        self.after(seconds, move || {
            published.send_replace(number(generation));
        });
    }

    fn tell_after(&self, seconds: u32, notice: Notice) {
        let notices = self.notices.clone();
        self.after(seconds, move || notices.send(notice).unwrap());
    }

    /// Lets time pass until it is so: the applier answers in real time, which none of the clock's seconds waits for.
    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        for _ in 0..100_000 {
            if holds() {
                return;
            }
            self.world.pass(SECOND).await;
        }
        panic!("waited in vain for {what}");
    }

    fn problem(&self) -> Option<String> {
        self.board.read(|status| status.problems.get(&Area::Apply).map(|problem| problem.what.clone()))
    }

    fn person_asks(&self) {
        let (asks, published) = (self.by_a_person.clone(), self.published.clone());
        self.after(1, move || PersonAsked::note(&asks, *published.borrow()));
    }

    fn asked(&self) -> Vec<(i64, String)> {
        self.asked.take()
    }
}

fn changed(generation: u64) -> String {
    format!(r#"{{"config-changed","generation":{generation}}}"#)
}

const RULE: &str = "[[template]]\nname = \"a\"\ncontent = \"\"\ndestination = \"/etc/x/y\"\n";

#[tokio::test]
async fn without_a_wait_a_generation_is_applied_at_once() {
    scene(RULE, async |scene| {
        scene.publish_after(1, 1);
        scene.publish_after(3, 2);
        scene.world.pass(SECOND * 5).await;
        assert_eq!(scene.asked(), [(1, changed(1)), (3, changed(2))]);
    })
    .await;
}

#[tokio::test]
async fn a_burst_of_generations_is_applied_once_it_has_come_to_rest_or_lasted_long_enough() {
    scene(&format!("{RULE}wait = \"5s:20s\""), async |scene| {
        for (seconds, generation) in [(1, 1), (3, 2), (5, 3)] {
            scene.publish_after(seconds, generation);
        }
        scene.world.pass(SECOND * 60).await;
        assert_eq!(scene.asked(), [(10, changed(3))], "five seconds after the last change");
        for generation in 4..=13 {
            scene.publish_after(2 * u32::try_from(generation).unwrap(), generation);
        }
        scene.world.pass(SECOND * 60).await;
        assert_eq!(scene.asked(), [(88, changed(13))], "twenty seconds after the first change, at 68");
    })
    .await;
}

#[tokio::test]
async fn what_was_refused_is_asked_for_again_only_when_something_changed_or_a_person_asked() {
    scene(RULE, async |scene| {
        scene.answers.borrow_mut().extend([REFUSED, REFUSED, REFUSED]);
        scene.publish_after(1, 1);
        scene.world.pass(SECOND * 24 * 60 * 60).await;
        assert_eq!(scene.asked(), [(1, changed(1))], "no storm of the same refusal");
        let problem = scene.board.read(|status| status.problems[&Area::Apply].clone());
        assert!(problem.what.contains("validate failed"), "{problem:?}");
        assert!(problem.remedy.contains("runtime-agent sync"), "{problem:?}");
        let output = scene.board.read(|status| status.apply.clone().unwrap().install.unwrap().refused.unwrap().output);
        assert_eq!(output, ["line 7: no"]);

        let settings = scene.settings.clone();
        scene.after(1, move || settings.send_modify(|_| {}));
        scene.world.pass(SECOND * 2).await;
        assert_eq!(scene.asked().len(), 1, "the rules may be others");
        scene.publish_after(1, 2);
        scene.world.pass(SECOND * 2).await;
        assert_eq!(scene.asked().len(), 1);
        scene.person_asks();
        scene.world.pass(SECOND * 2).await;
        assert_eq!(scene.asked()[0].1, r#"{"config-changed","generation":2,"again":true}"#);
        assert_eq!(*scene.applied.borrow(), number(2));
        assert!(scene.board.read(|status| status.problems.is_empty()));
        scene.person_asks();
        scene.world.pass(SECOND * 2).await;
        assert!(scene.asked().is_empty(), "what is applied is not applied again");
    })
    .await;
}

#[tokio::test]
async fn that_the_applier_could_not_be_asked_is_over_once_a_notice_was_told() {
    for answer in [DONE, FAILED] {
        scene(RULE, async |scene| {
            scene.answers.borrow_mut().extend([SILENCE, answer]);
            scene.tell_after(1, Notice::Paired);
            scene.until("the complaint", || scene.problem().is_some()).await;
            let problem = scene.problem().unwrap();
            assert!(problem.starts_with("Hooks for paired were not run") && problem.ends_with('.'), "{problem}");
            scene.until("the end of it", || scene.problem().is_none()).await;
            assert_eq!(scene.asked().len(), 2);
        })
        .await;
    }
}

#[tokio::test]
async fn what_needs_a_person_stays_to_be_seen_whatever_becomes_of_a_notice() {
    scene(RULE, async |scene| {
        scene.answers.borrow_mut().extend([REFUSED, SILENCE, DONE, DONE]);
        scene.publish_after(1, 1);
        scene.until("the refusal", || scene.problem().is_some()).await;
        let refused = scene.problem();
        scene.tell_after(1, Notice::Renewed);
        // It cannot be told, then it is; and what comes after it shows that this was taken note of.
        scene.until("two tries", || scene.asked.borrow().len() == 3).await;
        scene.tell_after(1, Notice::Expiring);
        scene.until("another notice", || scene.asked.borrow().len() == 4).await;
        assert_eq!(scene.problem(), refused);
    })
    .await;
}

#[tokio::test]
async fn who_goes_back_after_a_failure_has_the_one_before_applied_again() {
    scene(RULE, async |scene| {
        scene.answers.borrow_mut().extend([DONE, FAILED]);
        scene.publish_after(1, 1);
        scene.until("the first", || *scene.applied.borrow() == number(1)).await;
        scene.publish_after(1, 2);
        scene.until("the failure", || scene.problem().is_some()).await;
        scene.asked();
        scene.publish_after(1, 1);
        scene.until("the first again", || scene.problem().is_none()).await;
        let asked: Vec<_> = scene.asked().into_iter().map(|(_, what)| what).collect();
        assert_eq!(asked.last(), Some(&changed(1)), "files of the second may be there");
        assert_eq!(*scene.applied.borrow(), number(1));
    })
    .await;
}

#[tokio::test]
async fn a_refusal_is_over_once_what_is_applied_is_current_again() {
    scene(RULE, async |scene| {
        scene.answers.borrow_mut().extend([DONE, REFUSED]);
        scene.publish_after(1, 1);
        scene.until("the first", || *scene.applied.borrow() == number(1)).await;
        scene.publish_after(1, 2);
        scene.until("the refusal", || scene.problem().is_some()).await;
        scene.publish_after(1, 1);
        scene.until("the end of it", || scene.problem().is_none()).await;
        scene.world.pass(SECOND * 600).await;
        assert_eq!(scene.asked().len(), 2, "its files are there as they were");
    })
    .await;
}
