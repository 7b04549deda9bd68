//! Which parts of a text are secret: every value that the files of credentials hold, in every form that is known.
//!
//! A secret of fewer than four bytes would be found nearly everywhere. It is hidden where it stands in quotes in a file of
//! credentials; another file that may hold credentials, and in which it stands as a word, is not shown at all. The words
//! `true`, `false` and `null`, as values of headers, are hidden in files of credentials only.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use aho_corasick::AhoCorasick;
use serde::Deserialize;
use serde_json::Value;
use url::{Url, form_urlencoded};

use super::forms::{self, NoRoom, Room, SHORTEST};

/// Values of these keys are no secrets by themselves; that of any other is.
const PLAIN: [&str; 3] = ["username", "client_id", "token_url"];

/// Values that a header may have and every JSON file has, too.
const WORDS: [&str; 3] = ["true", "false", "null"];

/// The version of these files that is understood.
const VERSION: u32 = 1;

/// Secrets, as they are collected.
#[derive(Default)]
pub struct Secrets {
    /// Texts that are hidden wherever they stand.
    forms: BTreeSet<String>,
    /// Texts that are hidden with all the base64 around them.
    cores: BTreeSet<String>,
    short: BTreeSet<String>,
    words: BTreeSet<String>,
    /// What the first two were made of, so that it is done once for all generations that have it.
    known: BTreeSet<String>,
    room: Room,
    /// Whether there was no room for some; nothing is learned any more then.
    full: Option<NoRoom>,
}

/// A file of credentials that is not one. It does not say how, for that could be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no file of credentials that this program understands")]
pub struct NotUnderstood;

type Lists = BTreeMap<String, Vec<String>>;

#[derive(Deserialize)]
struct File {
    version: u32,
    credentials: BTreeMap<String, Value>,
    headers: Lists,
    query_parameters: Lists,
    csrf: Option<Csrf>,
    target_urls: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Csrf {
    url: String,
    credentials: BTreeMap<String, Value>,
    headers: Lists,
    query_parameters: Lists,
}

impl Secrets {
    /// Learns those of a `credentials.json`, or of the file of a binding, which has the same keys for them.
    ///
    /// # Errors
    /// When it is none. What was learned before then is kept.
    pub fn learn(&mut self, credentials: &[u8]) -> Result<(), NotUnderstood> {
        let file: File = serde_json::from_slice(credentials).map_err(|_| NotUnderstood)?;
        if file.version != VERSION {
            return Err(NotUnderstood);
        }
        self.learn_credentials(&file.credentials)?;
        self.learn_lists([&file.headers, &file.query_parameters]);
        if let Some(csrf) = &file.csrf {
            self.learn_credentials(&csrf.credentials)?;
            self.learn_lists([&csrf.headers, &csrf.query_parameters]);
            self.learn_address(&csrf.url);
        }
        for url in file.target_urls.values() {
            self.learn_address(url);
        }
        Ok(())
    }

    fn learn_credentials(&mut self, credentials: &BTreeMap<String, Value>) -> Result<(), NotUnderstood> {
        for (key, value) in credentials {
            let value = value.as_str().ok_or(NotUnderstood)?;
            if !PLAIN.contains(&key.as_str()) {
                self.add(value);
            } else if key == "token_url" {
                self.learn_address(value);
            }
        }
        let text = |key: &str| credentials.get(key).and_then(Value::as_str);
        if let (Some(user), Some(password)) =
            (text("username").or(text("client_id")), text("password").or(text("client_secret")))
        {
            self.add_pair(user, password);
        }
        Ok(())
    }

    fn learn_lists<'a>(&mut self, lists: impl IntoIterator<Item = &'a Lists>) {
        for value in lists.into_iter().flat_map(BTreeMap::values).flatten() {
            self.add(value);
        }
    }

    /// Learns the password that an address holds, or the user where that stands alone.
    fn learn_address(&mut self, address: &str) {
        if !address.contains('@') {
            return;
        }
        match Url::parse(address) {
            Ok(url) if url.has_host() => match (url.username(), url.password()) {
                ("", None) => {}
                (user, Some(password)) => {
                    self.add_encoded(password);
                    self.add_pair(&decoded(user), &decoded(password));
                }
                (user, None) => self.add_encoded(user),
            },
            // Where nobody can say what is the password, all of it is.
            _ => self.add(address.rsplit_once('@').map_or(address, |(before, _)| before)),
        }
    }

    /// Adds what an address holds, as it stands there and as it is meant.
    fn add_encoded(&mut self, text: &str) {
        self.add(text);
        self.add(&decoded(text));
    }

    /// As HTTP Basic has them.
    fn add_pair(&mut self, user: &str, password: &str) {
        if password.is_empty() {
            return;
        }
        for (user, password) in [(user.to_owned(), password.to_owned()), (decoded_form(user), decoded_form(password))] {
            for form in forms::encoded(format!("{user}:{password}").as_bytes()) {
                self.add_forms(&form, Around::Kept);
            }
        }
    }

    fn add(&mut self, secret: &str) {
        if secret.is_empty() {
        } else if WORDS.contains(&secret) {
            self.words.insert(secret.to_owned());
        } else if secret.len() < SHORTEST {
            self.short.insert(secret.to_owned());
        } else {
            self.add_forms(secret, Around::Hidden);
        }
    }

    /// Adds the forms of a secret, as far as there is room for them.
    fn add_forms(&mut self, secret: &str, around: Around) {
        if self.full.is_none() {
            self.full = self.try_to_add(secret, around).err();
        }
    }

    fn try_to_add(&mut self, secret: &str, around: Around) -> Result<(), NoRoom> {
        if around == Around::Hidden {
            for core in forms::cores(secret.as_bytes()) {
                self.room.put(core, &mut self.cores)?;
            }
        }
        if self.known.insert(secret.to_owned()) {
            self.forms.extend(forms::forms_of(secret, &mut self.room)?);
        }
        Ok(())
    }

    /// Makes ready to look for them.
    ///
    /// # Errors
    /// When there are too many of them to be looked for.
    pub fn into_mask(self) -> Result<Mask, TooMany> {
        let Self { forms, cores, short, words, full, .. } = self;
        if full.is_some() {
            return Err(TooMany);
        }
        let (forms, cores): (Vec<_>, Vec<_>) = (forms.into_iter().collect(), cores.into_iter().collect());
        let quoted: BTreeSet<String> = short
            .iter()
            .chain(&words)
            .flat_map(|word| [forms::json(word), forms::environment(word)])
            .map(|word| format!("\"{word}\""))
            .collect();
        let finder = |patterns: &mut dyn Iterator<Item = &String>| AhoCorasick::new(patterns).map_err(|_| TooMany);
        Ok(Mask {
            whole: forms.len(),
            anywhere: finder(&mut forms.iter().chain(&cores))?,
            quoted: finder(&mut quoted.iter())?,
            short: short.into_iter().collect(),
            seen: BTreeMap::new(),
        })
    }
}

// Nothing of what it holds.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets([redacted])")
    }
}

/// The credentials are so many, or so long and odd, that they cannot be looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the credentials are too many, or too long and odd, to be looked for in all their notations and hidden")]
pub struct TooMany;

/// What becomes of the base64 in which a secret stands as a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Around {
    Kept,
    Hidden,
}

/// What an address means by a part of it.
fn decoded(text: &str) -> String {
    decoded_form(&text.replace('+', "%2B"))
}

fn decoded_form(text: &str) -> String {
    let pair = format!("v={}", text.replace('&', "%26"));
    form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// Where a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a file of credentials.
    Credentials,
    /// In any other.
    Elsewhere,
}

/// Finds secrets.
pub struct Mask {
    anywhere: AhoCorasick,
    /// How many of those are hidden as they are, without what is around them.
    whole: usize,
    quoted: AhoCorasick,
    short: Vec<String>,
    /// What was hidden so far, with a number for each; the allocator wipes it.
    seen: BTreeMap<String, usize>,
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mask([redacted])")
    }
}

/// A line of a text, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line {
    /// What it is made of.
    pub pieces: Vec<Piece>,
    /// How it ends.
    pub end: LineEnd,
}

/// How a line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LineEnd {
    /// With a line break.
    Break,
    /// With the text.
    Text,
}

/// A part of a line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Piece {
    /// What can be shown.
    Plain(String),
    /// What is hidden. The same number stands for the same text.
    Hidden(usize),
}

impl Mask {
    /// Whether nothing of a text can be shown, for a secret that is too short to be hidden is in it.
    pub fn withholds(&self, text: &str) -> bool {
        let beside = |c: Option<char>| !c.is_some_and(char::is_alphanumeric);
        self.short.iter().any(|secret| {
            text.match_indices(secret.as_str()).any(|(at, _)| {
                beside(text[..at].chars().next_back()) && beside(text[at + secret.len()..].chars().next())
            })
        })
    }

    /// The lines of a text, without its secrets. A secret of several lines becomes a part of one.
    pub fn lines(&mut self, text: &str, place: Place) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut line = Vec::new();
        let mut plain = |text: &str, line: &mut Vec<Piece>| {
            for part in text.split_inclusive('\n') {
                let (part, ends) = part.strip_suffix('\n').map_or((part, false), |part| (part, true));
                if !part.is_empty() {
                    line.push(Piece::Plain(part.to_owned()));
                }
                if ends {
                    lines.push(Line { pieces: std::mem::take(line), end: LineEnd::Break });
                }
            }
        };
        let mut done = 0;
        for secret in self.secrets(text, place) {
            plain(&text[done..secret.start], &mut line);
            let next = self.seen.len();
            line.push(Piece::Hidden(*self.seen.entry(text[secret.clone()].to_owned()).or_insert(next)));
            done = secret.end;
        }
        plain(&text[done..], &mut line);
        if !line.is_empty() {
            lines.push(Line { pieces: line, end: LineEnd::Text });
        }
        lines
    }

    /// A text of any place, with `[redacted]` for each of its secrets.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let secrets = self.secrets(text, Place::Elsewhere);
        if secrets.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut shown = String::new();
        let mut done = 0;
        for secret in secrets {
            shown.push_str(&text[done..secret.start]);
            shown.push_str("[redacted]");
            done = secret.end;
        }
        shown.push_str(&text[done..]);
        Cow::Owned(shown)
    }

    /// Where secrets are, in order and apart from each other.
    fn secrets(&self, text: &str, place: Place) -> Vec<Range<usize>> {
        let mut apart = Vec::new();
        for at in self.anywhere.find_overlapping_iter(text) {
            if at.pattern().as_usize() < self.whole {
                join(at.range(), &mut apart);
            } else if !apart.last().is_some_and(|last: &Range<usize>| last.start <= at.start() && at.end() <= last.end)
            {
                join(run(text, at.range()), &mut apart);
            }
        }
        if place == Place::Credentials {
            // Without the quotes.
            let quoted = self.quoted.find_overlapping_iter(text).map(|at| at.start() + 1..at.end() - 1);
            let mut all: Vec<_> = std::mem::take(&mut apart).into_iter().chain(quoted).collect();
            all.sort_by_key(|range| (range.start, range.end));
            all.into_iter().for_each(|range| join(range, &mut apart));
        }
        apart
    }
}

/// Adds a place to others that are in order and apart from each other, and that none of them lies behind. They never are
/// more than the text is long, however many secrets overlap in it.
fn join(mut place: Range<usize>, apart: &mut Vec<Range<usize>>) {
    while let Some(last) = apart.pop_if(|last| place.start <= last.end) {
        place = last.start.min(place.start)..last.end.max(place.end);
    }
    apart.push(place);
}

/// All the base64 around a place.
fn run(text: &str, place: Range<usize>) -> Range<usize> {
    let before = text.as_bytes()[..place.start].iter().rev().take_while(|byte| forms::is_base64(**byte)).count();
    let after = text.as_bytes()[place.end..].iter().take_while(|byte| forms::is_base64(**byte)).count();
    place.start - before..place.end + after
}

#[cfg(test)]
#[path = "mask/tests.rs"]
mod tests;
