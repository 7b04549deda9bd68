//! Promise 7: every failure is a sentence, the same one in the status and in the journal, and told to the service manager.

use std::collections::BTreeSet;

use runtime_agent::agent::status::{State, Status};

use super::{Breach, Observed, Promise};

/// The longest sentence, in characters: with what is said of it, a line that is still read.
const LONGEST: usize = 2100;

/// What a command that can be copied begins with.
const COMMANDS: [&str; 9] =
    ["systemctl", "runtime-agent", "journalctl", "chmod", "chown", "install", "rm", "mv", "timedatectl"];

pub(super) fn judge(observed: &Observed) -> Vec<Breach> {
    let mut wrong = BTreeSet::new();
    for status in &observed.seen.statuses {
        if is_troubled(status.state) && status.problems.is_empty() {
            wrong.insert(format!("the state is {}, and nothing says why: {}", status.state.as_str(), status.headline));
        }
        for (area, problem) in &status.problems {
            if !is_sentence(&problem.what) {
                wrong.insert(format!("{area:?} is not told in a sentence: {:?}", problem.what));
            }
            if !is_sentence(&problem.remedy) {
                wrong.insert(format!("what is done about {area:?} is no sentence: {:?}", problem.remedy));
            }
            if !observed.log.contains(&problem.what) {
                wrong.insert(format!("the journal was not told what the status says of {area:?}: {:?}", problem.what));
            }
        }
        if !is_line(&status.headline) {
            wrong.insert(format!("the headline is no line: {:?}", status.headline));
        }
    }
    if let Some(last) = observed.last.as_ref().filter(|_| !observed.bounds.notices_may_be_lost)
        && !was_told(&observed.told, last)
    {
        wrong.insert(format!("the service manager was not told: {:?}", last.headline));
    }
    wrong.into_iter().map(|what| Breach::of(Promise::Sentences, what)).collect()
}

fn is_troubled(state: State) -> bool {
    match state {
        State::Degraded | State::Expired | State::Rejected | State::Lost | State::ActionNeeded => true,
        State::Unpaired | State::Pairing | State::Healthy => false,
    }
}

fn was_told(told: &str, status: &Status) -> bool {
    told.lines().any(|line| line.strip_prefix("STATUS=") == Some(&status.headline))
}

fn is_line(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= 2 * LONGEST && !text.chars().any(char::is_control)
}

/// Whether it begins like a sentence, and ends like one or with a command that can be copied.
fn is_sentence(text: &str) -> bool {
    let last = text.rsplit(": ").next().unwrap_or_default();
    let command = last != text && COMMANDS.iter().any(|command| last.starts_with(command));
    let ended = text.ends_with('.') || command;
    let begun = text.chars().next().is_some_and(|first| !first.is_lowercase());
    let words = text.split_whitespace().count();
    is_line(text) && text.chars().count() <= LONGEST && ended && begun && words >= 3 && !text.ends_with("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_ends_in_a_full_stop_or_in_a_command() {
        for good in [
            "The plane cannot be asked.",
            "Change metrics.listen and then: systemctl reload runtime-agent",
            "`a b` is odd.",
        ] {
            assert!(is_sentence(good), "{good}");
        }
        for bad in
            ["", "no", "broken pipe", "The plane cannot be asked", "It ends..", "Two\nlines of it.", "Then: what"]
        {
            assert!(!is_sentence(bad), "{bad}");
        }
    }
}
