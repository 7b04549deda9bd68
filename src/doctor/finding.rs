//! What a check found, and what all of them come to.

use serde::{Deserialize, Serialize};

use crate::transport::fit;

/// The version of the JSON form; fields are added, not changed, under one.
const VERSION: u32 = 1;

/// How a check ended. What is worse comes later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It could not be made.
    Skipped,
    /// Nothing is wrong.
    Ok,
    /// Something should be otherwise, and the agent works all the same.
    Warning,
    /// A person is needed.
    Failure,
}

impl Verdict {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at, in one word that does not change.
    pub check: String,
    /// How it is.
    pub verdict: Verdict,
    /// The same in a sentence without its end.
    pub what: String,
    /// What a person can do, where something is wrong.
    pub remedy: Option<String>,
}

impl Finding {
    fn new(check: &str, verdict: Verdict, what: impl Into<String>, remedy: Option<String>) -> Self {
        Self { check: check.to_owned(), verdict, what: fit(&what.into()), remedy: remedy.map(|text| fit(&text)) }
    }

    pub(super) fn ok(check: &str, what: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, what, None)
    }

    pub(super) fn skipped(check: &str, why: impl Into<String>) -> Self {
        Self::new(check, Verdict::Skipped, why, None)
    }

    pub(super) fn warning(check: &str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(check, Verdict::Warning, what, Some(remedy.into()))
    }

    pub(super) fn failure(check: &str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(check, Verdict::Failure, what, Some(remedy.into()))
    }
}

/// All findings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The version of this form.
    pub version: u32,
    /// The worst of the verdicts.
    pub verdict: Verdict,
    /// Each finding.
    pub findings: Vec<Finding>,
}

impl Report {
    /// What the findings come to.
    pub fn new(findings: Vec<Finding>) -> Self {
        let worst = findings.iter().map(|finding| finding.verdict).max();
        Self { version: VERSION, verdict: worst.unwrap_or(Verdict::Skipped), findings }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_decides_and_one_that_could_not_be_made_does_not() {
        let ok = Finding::ok("a", "a");
        let skipped = Finding::skipped("a", "a");
        let warning = Finding::warning("a", "a", "do");
        let failure = Finding::failure("a", "a", "do");
        let verdict = |findings: &[&Finding]| Report::new(findings.iter().map(|f| (*f).clone()).collect()).verdict;
        assert_eq!(verdict(&[&skipped, &ok]), Verdict::Ok);
        assert_eq!(verdict(&[&warning, &ok]), Verdict::Warning);
        assert_eq!(verdict(&[&warning, &failure, &skipped]), Verdict::Failure);
    }
}
