//! The forms in which a file may hold a secret: as it is, in parts, and as the notations of files write it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use url::{Url, form_urlencoded};

/// What is shorter is not looked for inside of other text: nearly every text would have it somewhere.
pub(super) const SHORTEST: usize = 4;

/// A word of a secret counts as one by itself from this length on.
const SHORTEST_WORD: usize = 8;

/// How often one notation may be written in another: JSON in a word for a shell, for example.
const NESTED: usize = 2;

/// How much there may be of all forms, in bytes: 8 MiB. An ordinary secret has a few kilobytes of them, an odd or a long
/// one hundreds, and what looks for them takes ten times as much memory.
const MOST: usize = 8 * 1024 * 1024;

/// What a form takes beside its text, in bytes, so that many small ones are no way around the bound.
const EACH: usize = 32;

/// How much there may still be of forms.
#[derive(Debug)]
pub(super) struct Room(usize);

/// There is no room for another form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoRoom;

impl Default for Room {
    fn default() -> Self {
        Self(MOST)
    }
}

impl Room {
    /// Puts a form into a set, if there is room for it.
    pub(super) fn put(&mut self, form: String, into: &mut BTreeSet<String>) -> Result<(), NoRoom> {
        if !into.contains(&form) {
            self.0 = self.0.checked_sub(form.len() + EACH).ok_or(NoRoom)?;
            into.insert(form);
        }
        Ok(())
    }
}

/// The forms of a secret of at least [`SHORTEST`] bytes. Whether there is room is asked before each, so what is beyond it
/// takes neither memory nor time.
pub(super) fn forms_of(secret: &str, room: &mut Room) -> Result<BTreeSet<String>, NoRoom> {
    let mut found = BTreeSet::new();
    for part in parts(secret) {
        room.put(part.to_owned(), &mut found)?;
    }
    let others = [secret.to_uppercase(), secret.to_lowercase()];
    for form in others.into_iter().chain(encoded(secret.as_bytes())) {
        room.put(form, &mut found)?;
    }
    let mut last = found.clone();
    for _ in 0..NESTED {
        let mut next = BTreeSet::new();
        for form in last.iter().flat_map(|form| written(form)) {
            if !found.contains(&form) {
                room.put(form, &mut next)?;
            }
        }
        found.extend(next.iter().cloned());
        last = next;
    }
    found.retain(|form| form.len() >= SHORTEST);
    Ok(found)
}

/// The secret, and what templates may take out of it: its lines and long words, without those that mark PEM.
fn parts(secret: &str) -> impl Iterator<Item = &str> {
    let telling = |part: &&str| !part.contains("-----");
    let lines = secret.lines().map(str::trim).filter(|line| line.len() >= SHORTEST).filter(telling);
    let words = secret.split_whitespace().filter(|word| word.len() >= SHORTEST_WORD).filter(telling);
    [secret, secret.trim()].into_iter().chain(lines).chain(words)
}

/// As base64, of all kinds.
pub(super) fn encoded(bytes: &[u8]) -> impl Iterator<Item = String> {
    [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD].into_iter().map(move |engine| engine.encode(bytes))
}

/// What the base64 of any longer text has in common that holds these bytes: by where they begin, three possibilities.
pub(super) fn cores(bytes: &[u8]) -> impl Iterator<Item = String> {
    (0..3).flat_map(move |before| {
        let padded: Vec<u8> = std::iter::repeat_n(0, before).chain(bytes.iter().copied()).collect();
        // Only digits whose six bits are all of the secret.
        let (first, end) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
        [STANDARD_NO_PAD, URL_SAFE_NO_PAD].into_iter().filter_map(move |engine| {
            let core = engine.encode(&padded).get(first..end)?.to_owned();
            (core.len() >= SHORTEST).then_some(core)
        })
    })
}

/// Whether this can be a digit of base64.
pub(super) fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=')
}

/// As the notations of files write it, without the quotes around it; nothing where all of them leave it as it is.
pub(super) fn written(text: &str) -> Vec<String> {
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Vec::new();
    }
    let json = json(text);
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let in_unit = |byte: u8| byte.is_ascii_alphanumeric() || b":_.".contains(&byte);
    let unit = bytes(text, in_unit, |out, byte| write!(out, "\\x{byte:02x}"));
    let mut forms = vec![
        environment(text),
        escaped(text, |c| matches!(c, '"' | '\\')),
        escaped(text, |c| matches!(c, '\'' | '\\')),
        text.replace('\'', "'\\''"),
        text.replace('\'', "''"),
        text.replace('\'', "'\"'\"'"),
        text.replace('%', "%%"),
        text.replace('$', "$$"),
        non_ascii(&json, |out, unit| write!(out, "\\u{unit:04x}")),
        non_ascii(&json, |out, unit| write!(out, "\\u{unit:04X}")),
        not_printable(&json),
        minijinja::HtmlEscape(text).to_string(),
        bytes(text, unreserved, |out, byte| write!(out, "%{byte:02X}")),
        bytes(text, unreserved, |out, byte| write!(out, "%{byte:02x}")),
        bytes(text, |byte| byte.is_ascii_alphanumeric(), |out, byte| write!(out, "%{byte:02X}")),
        form_urlencoded::byte_serialize(text.as_bytes()).collect(),
        unit.replace("\\x2f", "-"),
        unit,
        json,
    ];
    if let Ok(word) = shlex::try_quote(text) {
        forms.push(unquoted(&word));
    }
    // In the middle of a longer word, quotes begin before it and end after it, and others can be in between.
    for (before, after) in [("", " "), (" ", ""), (" ", " ")] {
        if let Ok(word) = shlex::try_quote(&format!("{before}{text}{after}")) {
            forms.push(word.trim_matches(['\'', '"']).trim_matches(' ').trim_matches(['\'', '"']).to_owned());
        }
    }
    let mut toml = String::new();
    if serde::Serialize::serialize(text, toml::ser::ValueSerializer::new(&mut toml)).is_ok() {
        forms.push(unquoted(&toml));
    }
    // As the crate for addresses writes it between `//` and `@`, and in a path.
    if let Ok(mut url) = Url::parse("https://x.invalid/") {
        if url.set_password(Some(text)).is_ok() {
            forms.extend(url.password().map(ToOwned::to_owned));
        }
        url.set_path(text);
        forms.push(url.path().trim_start_matches('/').to_owned());
    }
    forms.retain(|form| form != text);
    forms
}

/// As JSON writes it.
pub(super) fn json(text: &str) -> String {
    serde_json::to_string(text).map(|quoted| unquoted(&quoted)).unwrap_or_default()
}

/// As `EnvironmentFile=` has it.
pub(super) fn environment(text: &str) -> String {
    escaped(text, |c| matches!(c, '"' | '\\' | '`' | '$'))
}

fn unquoted(text: &str) -> String {
    for quotes in ["\"\"\"", "'''", "\"", "'"] {
        let inside = text.strip_prefix(quotes).and_then(|rest| rest.strip_suffix(quotes));
        if let Some(inside) = inside {
            return inside.to_owned();
        }
    }
    text.to_owned()
}

fn escaped(text: &str, is_special: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_special(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn non_ascii(text: &str, write: impl Fn(&mut String, u16) -> std::fmt::Result) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String does not fail.
                let _ = write(&mut out, *unit);
            }
        }
    }
    out
}

/// As the filter for YAML writes what is JSON already.
fn not_printable(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// Byte by byte, with what is not plain written as `write` does.
fn bytes(text: &str, is_plain: impl Fn(u8) -> bool, write: impl Fn(&mut String, u8) -> std::fmt::Result) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_plain(byte) {
            out.push(byte.into());
        } else {
            // Writing to a String does not fail.
            let _ = write(&mut out, byte);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_in_the_base64_of_whatever_it_stands_in() {
        let secret = "canary+/?secret\u{ff}";
        for before in 0..7 {
            for after in 0..4 {
                let text = format!("{}{secret}{}", "u".repeat(before), "x".repeat(after));
                for written in encoded(text.as_bytes()) {
                    assert!(cores(secret.as_bytes()).any(|core| written.contains(&core)), "{text}: {written}");
                }
            }
        }
    }

    #[test]
    fn quotes_go_and_nothing_else() {
        assert_eq!(unquoted("\"a'b\""), "a'b");
        assert_eq!(unquoted("'''a'''"), "a");
        assert_eq!(unquoted("a\"b"), "a\"b");
    }
}
