//! The lines that `strace` writes: calls, with their arguments and what they gave.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// What is put to the path of a file that has no name any more, or never had one.
pub(super) const DELETED: &str = " (deleted)";

const UNFINISHED: &str = " <unfinished ...>";

/// A call that has come to its end.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) name: String,
    pub(super) when: usize,
    pub(super) thread: usize,
    arguments: Vec<String>,
    result: String,
}

/// The calls of a log, each where it ended.
pub(super) struct Lines<'a> {
    lines: std::str::Lines<'a>,
    threads: Vec<&'a str>,
    counts: BTreeMap<(usize, String), usize>,
    unfinished: BTreeMap<usize, (usize, &'a str)>,
}

impl<'a> Lines<'a> {
    pub(super) fn of(log: &'a str) -> Self {
        Self { lines: log.lines(), threads: Vec::new(), counts: BTreeMap::new(), unfinished: BTreeMap::new() }
    }

    fn count(&mut self, thread: usize, text: &str) -> usize {
        let name = text.split('(').next().unwrap_or_default();
        let count = self.counts.entry((thread, name.to_owned())).or_default();
        *count += 1;
        *count
    }
}

impl Iterator for Lines<'_> {
    type Item = Finished;

    fn next(&mut self) -> Option<Finished> {
        loop {
            let (thread, line) = self.lines.next()?.split_once(' ')?;
            let line = line.trim_start();
            let known = self.threads.iter().position(|known| *known == thread);
            let thread = known.unwrap_or_else(|| {
                self.threads.push(thread);
                self.threads.len() - 1
            });
            let finished = if let Some(begun) = line.strip_suffix(UNFINISHED) {
                let when = self.count(thread, begun);
                self.unfinished.insert(thread, (when, begun));
                continue;
            } else if let Some(resumed) = line.strip_prefix("<... ") {
                let Some((when, begun)) = self.unfinished.remove(&thread) else { continue };
                let Some((_, rest)) = resumed.split_once(" resumed>") else { continue };
                Finished::parse(&format!("{begun}{rest}"), when, thread)
            } else if line.starts_with(|first: char| first.is_ascii_alphabetic()) {
                let when = self.count(thread, line);
                Finished::parse(line, when, thread)
            } else {
                continue;
            };
            if finished.is_some() {
                return finished;
            }
        }
    }
}

impl Finished {
    fn parse(text: &str, when: usize, thread: usize) -> Option<Self> {
        let (name, rest) = text.split_once('(')?;
        let (arguments, rest) = arguments(rest)?;
        let result = rest.trim_start().strip_prefix("= ")?.to_owned();
        Some(Self { name: name.to_owned(), when, thread, arguments, result })
    }

    /// What it gave, where it did what it was to do.
    pub(super) fn result(&self) -> Option<u64> {
        let digits = self.result.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    }

    /// How it reads.
    pub(super) fn text(&self) -> String {
        format!("{}({}) = {}", self.name, self.arguments.join(", "), self.result)
    }

    pub(super) fn argument(&self, index: usize) -> Result<&str, String> {
        self.arguments.get(index).map(|argument| &**argument).ok_or_else(|| format!("it has no argument {index}"))
    }

    pub(super) fn number(&self, index: usize) -> Result<u64, String> {
        let text = self.argument(index)?;
        let octal = text.len() > 1 && text.starts_with('0');
        u64::from_str_radix(text, if octal { 8 } else { 10 }).map_err(|error| format!("argument {index}: {error}"))
    }

    /// The bytes in an argument, be they in pieces.
    pub(super) fn bytes(&self, index: usize) -> Result<Vec<u8>, String> {
        let argument = self.argument(index)?;
        let mut bytes = Vec::new();
        let mut rest = argument;
        while let Some((_, quoted)) = rest.split_once('"') {
            let end = quote_end(quoted).ok_or("a text has no end")?;
            if quoted[end..].starts_with("\"...") {
                return Err("a text was cut".to_owned());
            }
            bytes.extend(unescaped(&quoted[..end]));
            rest = &quoted[end + 1..];
        }
        Ok(bytes)
    }

    /// A path among the arguments, by itself.
    pub(super) fn path(&self, index: usize) -> Result<PathBuf, String> {
        Ok(to_path(self.bytes(index)?))
    }

    /// A path among the arguments, after the folder from which it goes.
    pub(super) fn path_at(&self, index: usize) -> Result<PathBuf, String> {
        let path = self.path(index + 1)?;
        if path.is_absolute() { Ok(path) } else { Ok(self.descriptor(index)?.join(path)) }
    }

    /// The path of an open file or folder.
    pub(super) fn descriptor(&self, index: usize) -> Result<PathBuf, String> {
        Ok(annotated(self.argument(index)?))
    }

    /// The path of what was opened.
    pub(super) fn opened(&self) -> Result<PathBuf, String> {
        Ok(annotated(&self.result))
    }
}

/// The path that is said of a descriptor; for what is no file, something that is none.
fn annotated(text: &str) -> PathBuf {
    let Some((_, rest)) = text.split_once('<') else { return PathBuf::new() };
    let Some((path, rest)) = rest.rsplit_once('>') else { return PathBuf::new() };
    let mut path = unescaped(path);
    if rest.starts_with("(deleted)") {
        path.extend(DELETED.as_bytes());
    }
    to_path(path)
}

fn to_path(bytes: Vec<u8>) -> PathBuf {
    Path::new(&std::ffi::OsString::from_vec(bytes)).to_owned()
}

/// The arguments, and what comes after their closing parenthesis.
fn arguments(text: &str) -> Option<(Vec<String>, &str)> {
    let mut all = Vec::new();
    let (mut begin, mut depth, mut at) = (0, 0, 0);
    let bytes = text.as_bytes();
    loop {
        match bytes.get(at)? {
            b'"' => at += 1 + quote_end(&text[at + 1..])?,
            b'<' if depth == 0 => at += text[at..].find('>')?,
            b'[' | b'{' | b'(' => depth += 1,
            b')' if depth == 0 => {
                if begin < at {
                    all.push(text[begin..at].trim().to_owned());
                }
                return Some((all, &text[at + 1..]));
            }
            b']' | b'}' | b')' => depth -= 1,
            b',' if depth == 0 => {
                all.push(text[begin..at].trim().to_owned());
                begin = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
}

/// Where the closing quote is in what follows an opening one.
fn quote_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let is_end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        is_end
    })
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes().peekable();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next() {
            Some(digit @ b'0'..=b'7') => {
                let mut value = u32::from(digit - b'0');
                for _ in 0..2 {
                    let Some(digit) = rest.next_if(|next| (b'0'..=b'7').contains(next)) else { break };
                    value = value * 8 + u32::from(digit - b'0');
                }
                bytes.push(value.try_into().unwrap());
            }
            Some(letter) => bytes.push(match letter {
                b'n' => b'\n',
                b't' => b'\t',
                b'r' => b'\r',
                b'v' => 0x0b,
                b'f' => 0x0c,
                other => other,
            }),
            None => {}
        }
    }
    bytes
}
