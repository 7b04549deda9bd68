//! Other people's words, made fit for a log line: one line, short, and without the secrets we sent.

use secrecy::{ExposeSecret, SecretString};

/// What stands for a secret.
const REDACTED: &str = "[redacted]";

/// How much of a foreign text is quoted, in characters.
const LONGEST: usize = 240;

/// A secret of fewer characters stands in many a word by chance, and would show where it was cut out: it is taken out
/// only where it is a word.
const SHORT: usize = 4;

/// Quotes `text` for a person: control characters become spaces, runs of white space one space, what is too long is
/// cut with `…`, and every occurrence of a secret in `secrets` becomes `[redacted]`.
pub fn excerpt(text: &str, secrets: &[&SecretString]) -> String {
    cut(text, secrets, LONGEST)
}

/// Makes a sentence of our own, with whatever foreign words ended up in it, fit for one line and not without end.
pub fn fit(sentence: &str) -> String {
    cut(sentence, &[], 2048)
}

/// Whether a character has no place in a line: it moves the cursor, or turns the direction of what follows round.
pub(crate) fn is_unfit(c: char) -> bool {
    c.is_control() || c.is_whitespace() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn without(text: &str, secret: &str) -> String {
    if secret.chars().count() >= SHORT {
        return text.replace(secret, REDACTED);
    }
    let mut clean = String::new();
    let mut copied = 0;
    for (start, found) in text.match_indices(secret) {
        let end = start + found.len();
        let grows = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        if !grows(text[..start].chars().next_back()) && !grows(text[end..].chars().next()) {
            clean.push_str(&text[copied..start]);
            clean.push_str(REDACTED);
            copied = end;
        }
    }
    clean.push_str(&text[copied..]);
    clean
}

fn cut(text: &str, secrets: &[&SecretString], longest: usize) -> String {
    let mut text = std::borrow::Cow::Borrowed(text);
    for secret in secrets.iter().map(|secret| secret.expose_secret()).filter(|secret| !secret.is_empty()) {
        if text.contains(secret) {
            text = without(&text, secret).into();
        }
    }
    let mut quoted = String::new();
    let mut length = 0;
    for word in text.split(is_unfit).filter(|word| !word.is_empty()) {
        if length > 0 {
            quoted.push(' ');
            length += 1;
        }
        for c in word.chars() {
            if length >= longest {
                quoted.push('…');
                return quoted;
            }
            quoted.push(c);
            length += 1;
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_text_cannot_forge_a_log_line_or_give_our_token_away() {
        let token = SecretString::from("canary-token");
        assert_eq!(excerpt("no\r\nMESSAGE=x canary-token!", &[&token]), "no MESSAGE=x [redacted]!");
        let short = SecretString::from("no");
        assert_eq!(excerpt("no: not one no-one (no)", &[&short]), "[redacted]: not one [redacted]-one ([redacted])");
        assert_eq!(excerpt(&"x".repeat(1000), &[]).chars().count(), LONGEST + 1);
    }
}
