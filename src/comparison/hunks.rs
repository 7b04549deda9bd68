//! Unified differences of texts without secrets.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use similar::{Algorithm, DiffOp, capture_diff_slices_deadline, group_diff_ops};

use super::mask::{Line, LineEnd, Piece};

/// How many lines are shown around what differs.
const CONTEXT: usize = 3;

/// How long a small difference of two large texts is looked for; then any will do.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a line of a difference is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Which file it is.
    Header,
    /// Where in it.
    Place,
    /// In both.
    Context,
    /// In the old one only.
    Removed,
    /// In the new one only.
    Added,
    /// Something else about the file.
    Remark,
}

/// A line of a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiffLine {
    /// What it is.
    pub tone: Tone,
    /// Its text, with nothing in it that would move a cursor but tabs.
    pub text: String,
}

/// How a secret is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Secret,
    Changed,
}

/// What leads from `old` to `new`, without a heading.
pub fn unified(old: &[Line], new: &[Line]) -> Vec<DiffLine> {
    let ops = capture_diff_slices_deadline(Algorithm::Myers, old, new, Some(Instant::now() + PATIENCE));
    let mut lines = Vec::new();
    for group in group_diff_ops(ops, CONTEXT) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let range = |start: usize, end: usize| match end - start {
            // Of nothing, the line before is told.
            0 => format!("{start},0"),
            1 => format!("{}", start + 1),
            count => format!("{},{count}", start + 1),
        };
        lines.push(DiffLine {
            tone: Tone::Place,
            text: format!(
                "@@ -{} +{} @@",
                range(first.old_range().start, last.old_range().end),
                range(first.new_range().start, last.new_range().end)
            ),
        });
        for op in group {
            add(&mut lines, op, old, new);
        }
    }
    lines
}

fn add(lines: &mut Vec<DiffLine>, op: DiffOp, old: &[Line], new: &[Line]) {
    let (removed, added) = (&old[op.old_range()], &new[op.new_range()]);
    match op {
        DiffOp::Equal { .. } => added.iter().for_each(|line| push(lines, Tone::Context, &show(line, |_| Word::Secret))),
        DiffOp::Delete { .. } | DiffOp::Insert { .. } => {
            removed.iter().for_each(|line| push(lines, Tone::Removed, &show(line, |_| Word::Secret)));
            added.iter().for_each(|line| push(lines, Tone::Added, &show(line, |_| Word::Secret)));
        }
        DiffOp::Replace { .. } => {
            let (before, after) = (hidden_in(removed), hidden_in(added));
            let show_all = |side: &[Line], other: &BTreeSet<usize>| -> Vec<Shown> {
                let word = |number| if other.contains(&number) { Word::Secret } else { Word::Changed };
                side.iter().map(|line| show(line, word)).collect()
            };
            let (mut first, mut second) = (show_all(removed, &after), show_all(added, &before));
            // Secrets that changed places: lines that differ are not to look alike.
            if first.iter().any(|line| second.contains(line)) {
                first = removed.iter().map(|line| show(line, |_| Word::Changed)).collect();
                second = added.iter().map(|line| show(line, |_| Word::Changed)).collect();
            }
            first.iter().for_each(|line| push(lines, Tone::Removed, line));
            second.iter().for_each(|line| push(lines, Tone::Added, line));
        }
    }
}

#[derive(PartialEq, Eq)]
struct Shown {
    text: String,
    end: LineEnd,
}

fn hidden_in(lines: &[Line]) -> BTreeSet<usize> {
    let hidden = |piece: &Piece| match piece {
        Piece::Hidden(number) => Some(*number),
        Piece::Plain(_) => None,
    };
    lines.iter().flat_map(|line| &line.pieces).filter_map(hidden).collect()
}

fn show(line: &Line, word: impl Fn(usize) -> Word) -> Shown {
    let mut text = String::new();
    for piece in &line.pieces {
        match piece {
            Piece::Plain(plain) => {
                text.extend(plain.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }));
            }
            Piece::Hidden(number) => text.push_str(match word(*number) {
                Word::Secret => "[secret]",
                Word::Changed => "[secret changed]",
            }),
        }
    }
    Shown { text, end: line.end }
}

fn push(lines: &mut Vec<DiffLine>, tone: Tone, shown: &Shown) {
    let mark = match tone {
        Tone::Removed => '-',
        Tone::Added => '+',
        Tone::Header | Tone::Place | Tone::Context | Tone::Remark => ' ',
    };
    lines.push(DiffLine { tone, text: format!("{mark}{}", shown.text) });
    if shown.end == LineEnd::Text {
        lines.push(DiffLine { tone: Tone::Remark, text: "\\ No newline at end of file".to_owned() });
    }
}
