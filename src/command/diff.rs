//! `runtime-agent diff`: what differs between two generations, without the secrets.

use std::io::{self, BufWriter, Write as _};
use std::process::ExitCode;

use super::generations::nothing_published;
use super::paint::{Ink, Paint};
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
    let paint = Paint::of(color);
    let mut out = BufWriter::new(io::stdout().lock());
    // Whoever does not read it to the end does not want it.
    let mut sink = |line: DiffLine| drop(writeln!(out, "{}", painted(paint, &line)));
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

fn painted(paint: Paint, line: &DiffLine) -> String {
    match line.tone {
        Tone::Header => paint.text(Ink::Bold, &line.text),
        Tone::Place => paint.text(Ink::Place, &line.text),
        Tone::Removed => paint.text(Ink::Bad, &line.text),
        Tone::Added => paint.text(Ink::Good, &line.text),
        Tone::Context | Tone::Remark => line.text.clone(),
    }
}
