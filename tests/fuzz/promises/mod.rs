//! What holds for every input, however mad; shared by the fuzzers and by the test that runs their corpora.

pub mod answer;
pub mod applier;
pub mod broker;
pub mod certificates;
pub mod configuration;
pub mod control;
mod http;
mod landscape;
mod readers;
pub mod subject;
pub mod templates;
pub mod token;

/// Where a case says this in a place of a secret, a secret is put.
const PLACE: &str = "CANARY";
const SECRET: &str = "canary_4f2c81d7";

/// What stands between the parts of a case that has several: what ASCII has for that.
const BETWEEN: char = '\u{1e}';

/// The parts of a case, as text.
fn parts(case: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(case).split(BETWEEN).map(str::to_owned).collect()
}

/// Whether a case spells the secret itself, so that nothing can be told of where it comes out.
fn spells_the_secret(case: &[u8]) -> bool {
    case.windows(SECRET.len()).any(|bytes| bytes == SECRET.as_bytes())
}

/// Puts the secret into every place of a case.
fn planted(case: &[u8]) -> Vec<u8> {
    replaced(case, PLACE.as_bytes(), SECRET.as_bytes())
}

fn replaced(case: &[u8], place: &[u8], secret: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(case.len());
    let mut rest = case;
    while let Some(at) = rest.windows(place.len()).position(|bytes| bytes == place) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(secret);
        rest = &rest[at + place.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// Holds a sentence to what may stand in a line of the journal.
fn fits_a_line(said: &str, longest: usize) {
    assert!(said.chars().count() <= longest, "too much is said: {said}");
    assert!(!said.contains(char::is_control), "what is said is not fit for a line: {said:?}");
}
