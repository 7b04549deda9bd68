//! `runtime-agent generations`: which generations of files lie on this host, and which one readers see.

use std::process::ExitCode;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::status::relative;
use super::{complain, exit, look_as_the_owner, on_runtime, say};
use crate::clock::{Clock as _, Wall};
use crate::config::Paths;
use crate::control::Client;
use crate::output::manifest::{GenerationNumber, Manifest};
use crate::output::{View, ViewError};

/// The version of the JSON; keys can be added within one.
const VERSION: u32 = 1;

/// What scripts get.
#[derive(Debug, Serialize)]
struct Document {
    version: u32,
    /// The one that readers see.
    current: Option<GenerationNumber>,
    /// The last one that the applier applied, with all hooks well; none where the agent cannot be asked.
    applied: Option<GenerationNumber>,
    /// The newest first.
    generations: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Line {
    generation: GenerationNumber,
    /// Without these, it cannot be read.
    published_at: Option<Timestamp>,
    applications: Option<usize>,
    /// How many files templates made.
    template_files: Option<u32>,
    /// Why it cannot be read.
    damage: Option<String>,
}

pub(super) fn execute(paths: &Paths, json: bool) -> ExitCode {
    let applied = applied(paths);
    let document = match look_as_the_owner(paths).and_then(|()| document(paths, applied)) {
        Ok(document) => document,
        Err(why) => {
            complain(&format_args!("the generations cannot be listed: {why}"));
            return ExitCode::from(exit::FAILED);
        }
    };
    if json {
        match serde_json::to_string_pretty(&document) {
            Ok(text) => say(&text),
            Err(error) => {
                complain(&error);
                return ExitCode::from(exit::FAILED);
            }
        }
    } else if !document.generations.is_empty() {
        say(document.page(Wall.now(), &TimeZone::system()).trim_end());
    }
    if document.generations.is_empty() {
        complain(&nothing_published(paths));
        return ExitCode::from(exit::NOTHING);
    }
    ExitCode::SUCCESS
}

/// The sentence for a host on which there is no generation.
pub(super) fn nothing_published(paths: &Paths) -> String {
    format!(
        "nothing is published in {} yet; the agent publishes once this host is paired and the plane has answered, see \
         `runtime-agent status`",
        paths.config().display()
    )
}

/// Which generation the applier applied last, where the agent says so.
fn applied(paths: &Paths) -> Option<GenerationNumber> {
    let status = on_runtime(async { Client::new(&paths.control())?.status(None).await }).ok()?.ok()?;
    status.apply.filter(|apply| apply.succeeded)?.generation
}

fn document(paths: &Paths, applied: Option<GenerationNumber>) -> Result<Document, String> {
    let view = View::new(&paths.config());
    let current = view.current().map_err(|error| error.to_string())?;
    let mut generations = Vec::new();
    for number in view.generations().map_err(|error| error.to_string())?.into_iter().rev() {
        match view.manifest(number) {
            Ok(manifest) => generations.push(Line::of(&manifest)),
            // It was removed in the meantime.
            Err(ViewError::Disk(error))
                if error.is_absent() && !view.generations().is_ok_and(|all| all.contains(&number)) => {}
            Err(error) => generations.push(Line {
                generation: number,
                published_at: None,
                applications: None,
                template_files: None,
                damage: Some(error.to_string()),
            }),
        }
    }
    Ok(Document { version: VERSION, current, applied, generations })
}

impl Line {
    fn of(manifest: &Manifest) -> Self {
        Self {
            generation: manifest.generation,
            published_at: Some(manifest.published_at),
            applications: Some(manifest.applications.len()),
            template_files: Some(manifest.rendered.as_ref().map_or(0, |rendered| rendered.files)),
            damage: None,
        }
    }
}

impl Document {
    /// One line for each.
    fn page(&self, now: Timestamp, zone: &TimeZone) -> String {
        let mut page =
            format!("{:>10}  {:<34}  {:>12}  {:>14}\n", "generation", "published", "applications", "template files");
        for line in &self.generations {
            let mut notes = Vec::new();
            if self.current == Some(line.generation) {
                notes.push("current".to_owned());
            }
            if self.applied == Some(line.generation) {
                notes.push("applied".to_owned());
            }
            notes.extend(line.damage.clone());
            let count = |count: Option<String>| count.unwrap_or_else(|| "?".to_owned());
            let published = line
                .published_at
                .map(|at| format!("{} ({})", at.to_zoned(zone.clone()).strftime("%F %H:%M:%S"), relative(at, now)));
            let row = format!(
                "{:>10}  {:<34}  {:>12}  {:>14}  {}",
                line.generation.to_string(),
                count(published),
                count(line.applications.map(|count| count.to_string())),
                count(line.template_files.map(|count| count.to_string())),
                notes.join(", ")
            );
            page.push_str(row.trim_end());
            page.push('\n');
        }
        page
    }
}
