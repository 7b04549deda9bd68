//! How cases are chosen, run and counted: from a seed, in a bounded time, and so that each can be repeated.
//!
//! | variable | |
//! |---|---|
//! | `FAULTS_SEED` | what all that is chosen is chosen by; printed where it is not given |
//! | `FAULTS_SECONDS` | how long each family goes on; without it, a fixed part of the cases is run |
//! | `FAULTS_ONLY` | runs the families whose names hold this, and no others |
//! | `FAULTS_CASE` | runs the cases whose names hold this, and no others |
//! | `FAULTS_RESULTS` | a file to which each case adds a line of JSON |

use std::fmt::Write as _;
use std::future::Future;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use fastrand::Rng;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use serde_json::json;

use crate::oracle::{Breach, Promise};

/// The seed of the fixed part.
const SEED: u64 = 20_261_128;

/// How long a case may take before it counts as one that does not end.
const LONGEST: Duration = Duration::from_secs(180);

/// One case.
#[derive(Debug, Clone)]
pub struct Case {
    pub family: &'static str,
    pub name: String,
    /// What is chosen in it is chosen by this: always the same for the seed of a run and the name of the case.
    pub seed: u64,
}

impl Case {
    /// What makes the choices.
    pub fn dice(&self) -> Rng {
        Rng::with_seed(self.seed)
    }
}

/// Cases that belong together.
pub struct Family {
    name: &'static str,
    seed: u64,
    cases: Vec<String>,
    in_order: bool,
    endless: bool,
    short: usize,
    at_once: usize,
}

/// A family of this name.
pub fn family(name: &'static str) -> Family {
    Family { name, seed: seed(), cases: Vec::new(), in_order: false, endless: false, short: usize::MAX, at_once: 6 }
}

/// What a variable says, where it says anything.
fn said(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|text| !text.is_empty())
}

/// The seed of this run.
pub fn seed() -> u64 {
    said("FAULTS_SEED").and_then(|text| text.trim().parse().ok()).unwrap_or(SEED)
}

/// How long each family goes on, where that is said.
pub fn seconds() -> Option<Duration> {
    said("FAULTS_SECONDS")?.trim().parse().ok().map(Duration::from_secs)
}

/// Tells that a family cannot be run here, and why.
pub fn skipped(family: &str, why: &str) {
    println!("faults {family}: not run, because {why}");
    record(&json!({ "family": family, "skipped": why }));
}

/// Notes that what was to go wrong in a case did not come about: the case counts, but says less.
pub fn missed(case: &Case) {
    println!("faults: nothing went wrong in {:?}", case.name);
    record(&json!({ "family": case.family, "missed": case.name }));
}

impl Family {
    /// Of these cases.
    #[must_use]
    pub fn of(self, cases: impl IntoIterator<Item = String>) -> Self {
        Self { cases: cases.into_iter().collect(), ..self }
    }

    /// Of these cases, and in this order.
    #[must_use]
    pub fn in_order(self, cases: Vec<String>) -> Self {
        Self { cases, in_order: true, ..self }
    }

    /// Of cases without end, each of which chooses for itself what it is.
    #[must_use]
    pub fn endless(self) -> Self {
        Self { endless: true, ..self }
    }

    /// Of which so many are enough where no time is given; they are chosen by the seed.
    #[must_use]
    pub fn short(self, cases: usize) -> Self {
        Self { short: cases, ..self }
    }

    /// So many of which are run at once: they wait more than they work.
    #[must_use]
    pub fn at_once(self, cases: usize) -> Self {
        Self { at_once: cases, ..self }
    }

    /// Runs them, and panics with all that was broken, and how to see it again.
    pub async fn run<Run, Running>(self, run: Run)
    where
        Run: Fn(Case) -> Running,
        Running: Future<Output = Vec<Breach>>,
    {
        let only = said("FAULTS_ONLY");
        if only.is_some_and(|only| !self.name.contains(&only)) {
            return;
        }
        let began = Instant::now();
        let budget = seconds();
        let broken = Mutex::new(Vec::new());
        let count = AtomicUsize::new(0);
        println!("faults {}: FAULTS_SEED={}", self.name, self.seed);
        if !self.endless {
            record(&json!({ "family": self.name, "listed": self.cases.len() }));
        }
        let in_time = |_: &Case| std::future::ready(budget.is_none_or(|budget| began.elapsed() < budget));
        stream::iter(self.chosen(budget.is_some()))
            .take_while(in_time)
            .for_each_concurrent(self.at_once, async |case: Case| {
                let (name, seed, started) = (case.name.clone(), case.seed, Instant::now());
                let breaches = observed(run(case)).await;
                count.fetch_add(1, Ordering::Relaxed);
                self.tell(&name, seed, started.elapsed(), &breaches);
                if !breaches.is_empty() {
                    broken.lock().unwrap_or_else(PoisonError::into_inner).push(self.report(&name, &breaches));
                }
            })
            .await;
        let (cases, seconds) = (count.into_inner(), began.elapsed().as_secs_f64());
        let broken = broken.into_inner().unwrap_or_else(PoisonError::into_inner);
        let wrong = broken.len();
        let listed = if self.endless { String::new() } else { format!(" of {}", self.cases.len()) };
        println!("faults {}: {cases}{listed} cases, {wrong} with breaches, in {seconds:.1} s", self.name);
        assert!(wrong == 0, "{wrong} of {cases} cases of {} broke a promise:\n{}", self.name, broken.concat());
    }

    /// What was broken in a case, and how to see it again.
    fn report(&self, name: &str, breaches: &[Breach]) -> String {
        let mut text = String::new();
        for breach in breaches {
            let _ = writeln!(text, "{name}: {breach}");
        }
        let _ = writeln!(text, "  again: make faults ONLY={} SEED={} CASE='{name}'", self.name, self.seed);
        text
    }

    /// The cases, in the order of this run.
    fn chosen(&self, all: bool) -> Box<dyn Iterator<Item = Case> + Send> {
        let (family, seed) = (self.name, self.seed);
        let case = move |name: String| Case { seed: mixed(seed, family, &name), name, family };
        let wanted = said("FAULTS_CASE");
        if self.endless {
            let most = if all { usize::MAX } else { self.short };
            let named = (1..=most).map(|number| format!("number {number}"));
            return match wanted {
                Some(wanted) => Box::new(std::iter::once(case(wanted))),
                None => Box::new(named.map(case)),
            };
        }
        let mut cases = self.cases.clone();
        if let Some(wanted) = wanted {
            cases.retain(|name| name.contains(&wanted));
        } else {
            if !self.in_order {
                Rng::with_seed(mixed(seed, family, "order")).shuffle(&mut cases);
            }
            if !all {
                cases.truncate(self.short);
            }
        }
        Box::new(cases.into_iter().map(case))
    }

    fn tell(&self, name: &str, seed: u64, took: Duration, breaches: &[Breach]) {
        let broken: Vec<_> =
            breaches.iter().map(|breach| json!({ "promise": breach.promise as u8, "what": breach.what })).collect();
        record(&json!({
            "family": self.name, "case": name, "run": self.seed, "seed": seed,
            "seconds": (took.as_secs_f64() * 1000.0).round() / 1000.0, "breaches": broken,
        }));
    }
}

/// What came of a case: a panic or no end is a breach as well.
async fn observed(running: impl Future<Output = Vec<Breach>>) -> Vec<Breach> {
    match tokio::time::timeout(LONGEST, AssertUnwindSafe(running).catch_unwind()).await {
        Ok(Ok(breaches)) => breaches,
        Ok(Err(panic)) => {
            let text =
                panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
            vec![Breach::of(Promise::Kills, format!("the case did not come to its end: {}", text.unwrap_or("a panic")))]
        }
        Err(_) => vec![Breach::of(Promise::Kills, format!("the case did not end in {LONGEST:?}"))],
    }
}

/// A seed for one thing out of that for all; the same on every machine with the same compiler.
fn mixed(seed: u64, family: &str, name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (seed, family, name).hash(&mut hasher);
    hasher.finish()
}

fn record(line: &serde_json::Value) {
    let Some(path) = said("FAULTS_RESULTS") else { return };
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    // In one call, for other families write there at the same time.
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}
