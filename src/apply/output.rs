//! What a hook writes: line by line to the journal, its end to the report, the rest to nowhere.

use std::borrow::Cow;

use super::redaction::Redaction;
use crate::transport::excerpt;

/// How much of a line is looked at, in bytes: far more than an excerpt keeps, so that a credential that begins in what is
/// kept is seen whole.
const LONGEST_LINE: usize = 16 * 1024;

/// How much of the end is kept for the report, in bytes.
const TAIL_BYTES: usize = 16 * 1024;

/// How much is told of a line of which the end alone was kept, in characters.
const ENDLESS_CHARS: usize = 200;

/// How many lines of it the report has.
const TAIL_LINES: usize = 8;

/// Takes what a hook writes, in whichever pieces it comes.
#[derive(Debug)]
pub(super) struct Output<'a> {
    hook: &'a str,
    /// Nothing, where what is written goes to nobody but this program.
    redaction: Option<&'a Redaction>,
    /// How many bytes may still go to the journal.
    left: usize,
    line: Vec<u8>,
    tail: Vec<u8>,
    /// Whether the tail's first line has lost its beginning.
    torn: bool,
}

impl<'a> Output<'a> {
    /// Nothing written yet; at most `limit` bytes will go to the journal.
    pub(super) fn new(hook: &'a str, limit: usize, redaction: Option<&'a Redaction>) -> Self {
        Self { hook, redaction, left: limit, line: Vec::new(), tail: Vec::new(), torn: false }
    }

    /// Takes a piece.
    pub(super) fn take(&mut self, piece: &[u8]) {
        self.keep(piece);
        if self.left == 0 {
            return;
        }
        let logged = &piece[..piece.len().min(self.left)];
        for part in logged.split_inclusive(|byte| *byte == b'\n') {
            let ended = part.ends_with(b"\n");
            let room = LONGEST_LINE - self.line.len();
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            if ended {
                self.log();
            }
        }
        self.left -= logged.len();
        if self.left == 0 {
            // What is left of a line may end in the middle of a credential, which nobody would know then.
            self.line.clear();
            let hook = self.hook;
            tracing::warn!(hook, "{hook}: it writes more than the journal takes of one hook; the rest is dropped");
        }
    }

    /// Ends the output, and gives the last lines of it.
    pub(super) fn end(mut self) -> Vec<String> {
        self.log();
        let text = String::from_utf8_lossy(&self.tail);
        let lines: Vec<_> = text.split('\n').skip(usize::from(self.torn)).map(|line| self.fit(line)).collect();
        let mut last: Vec<_> = lines.into_iter().rev().filter(|line| !line.is_empty()).take(TAIL_LINES).collect();
        last.reverse();
        if last.is_empty() && !text.trim().is_empty() {
            // One endless line: its end says more than nothing. What is far before that may be the rest of a credential.
            let shown = self.hide(&text);
            let end = shown.char_indices().rev().take(ENDLESS_CHARS).last().map_or(0, |(at, _)| at);
            last.push(excerpt(&shown[end..], &[]));
        }
        last
    }

    fn fit(&self, line: &str) -> String {
        excerpt(&self.hide(line), &[])
    }

    fn hide<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.redaction.map_or(Cow::Borrowed(text), |redaction| redaction.hide(text))
    }

    fn keep(&mut self, piece: &[u8]) {
        let excess = (self.tail.len() + piece.len()).saturating_sub(TAIL_BYTES);
        if excess > 0 {
            self.torn = true;
            self.tail.drain(..excess.min(self.tail.len()));
        }
        self.tail.extend_from_slice(&piece[piece.len().saturating_sub(TAIL_BYTES)..]);
    }

    fn log(&mut self) {
        let line = self.fit(&String::from_utf8_lossy(&self.line));
        self.line.clear();
        if !line.is_empty() {
            let hook = self.hook;
            tracing::info!(hook, "{hook}: {line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end_of(pieces: &[&[u8]]) -> Vec<String> {
        // Nothing is published there.
        let state = tempfile::tempdir().unwrap();
        let redaction = Redaction::new(state.path());
        let mut output = Output::new("10-test", 1000, Some(&redaction));
        for piece in pieces {
            output.take(piece);
        }
        output.end()
    }

    #[test]
    fn the_report_has_the_last_lines_whatever_pieces_they_came_in() {
        assert_eq!(end_of(&[b"on", b"e\ntw", b"o\n\n", b"three"]), ["one", "two", "three"]);
        let many: String = (0..2000).map(|n| format!("line {n}\n")).collect();
        let last = end_of(&[many.as_bytes()]);
        assert_eq!(last.len(), TAIL_LINES);
        assert_eq!(last.last().unwrap(), "line 1999");
        assert!(end_of(&[]).is_empty());
    }

    #[test]
    fn what_a_hook_writes_cannot_forge_a_line_or_grow() {
        assert_eq!(end_of(&[b"a\r\x1b[2Jb\0c\xff\n"]), ["a [2Jb c\u{fffd}"]);
        let endless = vec![b'x'; 10_000_000];
        let last = end_of(&[&endless, &endless]);
        assert_eq!(last.len(), 1);
        assert!(last[0].len() < 300);
    }
}
