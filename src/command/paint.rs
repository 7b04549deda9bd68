//! Colours on a terminal.

use std::io::{self, IsTerminal as _};

use crate::cli::Color;

/// Whether texts are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paint {
    Colors,
    Plain,
}

/// What a colour says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Bold,
    Good,
    Doubtful,
    Bad,
    Faint,
    Place,
}

impl Paint {
    /// As the option wants it.
    pub(super) fn of(color: Color) -> Self {
        match color {
            Color::Always => Self::Colors,
            Color::Never => Self::Plain,
            Color::Auto => Self::as_wanted(),
        }
    }

    /// On a terminal that can, unless `NO_COLOR` is set (<https://no-color.org>).
    fn as_wanted() -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if io::stdout().is_terminal() && !set("NO_COLOR") && !dumb { Self::Colors } else { Self::Plain }
    }

    /// A text in this ink. What is in the text must be printable already.
    pub(super) fn text(self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Bold => "1",
            Ink::Good => "32",
            Ink::Doubtful => "33",
            Ink::Bad => "31",
            Ink::Faint => "2",
            Ink::Place => "36",
        };
        match self {
            Self::Colors => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            Self::Plain => text.to_owned(),
        }
    }
}
