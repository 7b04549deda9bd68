//! `runtime-agent diff`: what differs between two generations, without the secrets.

use std::io::{self, BufWriter, IsTerminal as _, Write as _};
use std::process::ExitCode;

use super::generations::nothing_published;
use super::{complain, exit, look_as_the_owner};
use crate::cli::{Color, Which};
use crate::comparison::{DiffLine, Tone, Verdict, compare};
use crate::config::Paths;
use crate::output::View;
use crate::output::manifest::GenerationNumber;

pub(super) fn execute(paths: &Paths, old: Option<Which>, new: Option<Which>, color: Color) -> ExitCode {
    // Credentials pass through here.
    crate::seclusion::seclude();
    let view = View::new(&paths.config());
    let chosen = look_as_the_owner(paths).and_then(|()| choose(paths, &view, old, new));
    let paint = match color {
        Color::Always => Paint::Colors,
        Color::Never => Paint::Plain,
        Color::Auto => Paint::as_wanted(),
    };
    let mut out = BufWriter::new(io::stdout().lock());
    // Whoever does not read it to the end does not want it.
    let mut sink = |line: DiffLine| drop(writeln!(out, "{}", paint.line(&line)));
    let compared = chosen.and_then(|(old, new)| compare(&view, old, new, &mut sink).map_err(|error| error.to_string()));
    let _ = out.flush();
    match compared {
        Ok(Verdict::Same) => ExitCode::SUCCESS,
        Ok(Verdict::Different) => ExitCode::from(exit::DIFFERENT),
        Err(why) => {
            complain(&format_args!("the generations cannot be compared: {why}"));
            ExitCode::from(exit::TROUBLE)
        }
    }
}

/// The two that are meant.
fn choose(
    paths: &Paths,
    view: &View,
    old: Option<Which>,
    new: Option<Which>,
) -> Result<(GenerationNumber, GenerationNumber), String> {
    let known = view.generations().map_err(|error| error.to_string())?;
    if known.is_empty() {
        return Err(nothing_published(paths));
    }
    let current = || match view.current() {
        Ok(Some(number)) => Ok(number),
        Ok(None) => Err(nothing_published(paths)),
        Err(error) => Err(error.to_string()),
    };
    let number = |which: Which| match which {
        Which::Current => current(),
        Which::Number(number) if known.contains(&number) => Ok(number),
        Which::Number(number) => {
            let known: Vec<String> = known.iter().map(ToString::to_string).collect();
            Err(format!("there is no generation {number}; there are: {}", known.join(", ")))
        }
    };
    let new = number(new.unwrap_or(Which::Current))?;
    let old = match old {
        Some(old) => number(old)?,
        None => *known.range(..new).next_back().ok_or_else(|| {
            format!("no generation before {new} is kept; `runtime-agent generations` lists those that are")
        })?,
    };
    Ok((old, new))
}

/// Whether lines are coloured.
#[derive(Debug, Clone, Copy)]
enum Paint {
    Colors,
    Plain,
}

impl Paint {
    /// On a terminal that can, unless `NO_COLOR` is set (<https://no-color.org>).
    fn as_wanted() -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if io::stdout().is_terminal() && !set("NO_COLOR") && !dumb { Self::Colors } else { Self::Plain }
    }

    fn line(self, line: &DiffLine) -> String {
        let code = match line.tone {
            Tone::Header => "1",
            Tone::Place => "36",
            Tone::Removed => "31",
            Tone::Added => "32",
            Tone::Context | Tone::Remark => "",
        };
        match self {
            Self::Colors if !code.is_empty() => format!("\u{1b}[{code}m{}\u{1b}[0m", line.text),
            Self::Colors | Self::Plain => line.text.clone(),
        }
    }
}
