//! The commands of rules: what checks files, and what follows when they changed.

use std::path::Path;

use serde::Serialize;

use super::super::ApplierSettings;
use super::super::output::Output;
use super::super::process::{self, Ending, Program};
use super::super::request::PROTOCOL_VERSION;
use super::super::stop::Stop;
use super::super::task::Task;
use super::failure::Failure;
use crate::config::{ArgList, TemplateName};
use crate::transport::{excerpt, fit};

/// What stands in a command for the path of the file that it is to check.
const FILE: &str = "{}";

/// How commands are run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Commands<'a> {
    pub settings: &'a ApplierSettings,
    pub task: &'a Task,
}

/// What a program came to.
pub(super) struct Ran {
    pub ending: Ending,
    pub output: Vec<String>,
}

/// What a command reads that runs because files changed.
#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    event: &'static str,
    template: &'a TemplateName,
    generation: Option<crate::output::manifest::GenerationNumber>,
    changed: &'a [String],
    removed: &'a [String],
}

/// Whether a command checks one file at a time.
pub(super) fn takes_a_file(command: &ArgList) -> bool {
    command.arguments().iter().any(|argument| argument.contains(FILE))
}

impl Commands<'_> {
    /// Runs a program as hooks are run. `said` is what its lines are called in the journal.
    pub(super) async fn run(
        &self,
        program: &Path,
        arguments: &[&str],
        input: &[u8],
        said: Said<'_>,
        stop: &Stop,
    ) -> Ran {
        let program = Program {
            path: program,
            arguments,
            environment: &self.task.environment(),
            input,
            timeout: self.settings.timeout,
            grace: self.settings.grace,
        };
        let (name, limit, redaction) = match said {
            Said::InJournal(name) => (name, self.settings.output_limit, Some(self.task.redaction())),
            Said::Nowhere => ("systemctl", 0, None),
        };
        let mut output = Output::new(name, limit, redaction);
        let (ending, _) = process::run(&program, &mut output, stop).await;
        Ran { ending, output: output.end() }
    }

    /// Runs the command that checks a rule's files; on one file, where there is a path.
    pub(super) async fn validate(
        &self,
        template: &TemplateName,
        command: &ArgList,
        file: Option<&Path>,
        stop: &Stop,
    ) -> Result<(), Failure> {
        let file = file.map(|file| file.to_string_lossy());
        let argument = |argument: &String| match &file {
            Some(file) => argument.replace(FILE, file),
            None => argument.clone(),
        };
        let arguments: Vec<_> = command.arguments().iter().map(argument).collect();
        self.command(template, "validate", command, &arguments, b"", stop).await
    }

    /// Runs the command that follows when files of a rule changed.
    pub(super) async fn follow(
        &self,
        template: &TemplateName,
        command: &ArgList,
        changed: &[String],
        removed: &[String],
        stop: &Stop,
    ) -> Result<(), Failure> {
        let document = Document {
            version: PROTOCOL_VERSION,
            event: self.task.argument(),
            template,
            generation: self.task.generation(),
            changed,
            removed,
        };
        let mut input = serde_json::to_vec(&document)
            .map_err(|error| Failure::again(format!("the document for commands cannot be made: {error}")))?;
        input.push(b'\n');
        self.command(template, "on_change", command, command.arguments(), &input, stop).await
    }

    async fn command(
        &self,
        template: &TemplateName,
        key: &str,
        command: &ArgList,
        arguments: &[String],
        input: &[u8],
        stop: &Stop,
    ) -> Result<(), Failure> {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let label = format!("{template} {key}");
        let ran = self.run(Path::new(command.command()), &arguments, input, Said::InJournal(&label), stop).await;
        // As it is configured: without temporary names.
        let line: Vec<String> = command.clone().into();
        ran.success(&format!("{key} of the template {template}, `{}`,", excerpt(&line.join(" "), &[])))
    }
}

/// Where the lines of a program go.
#[derive(Debug, Clone, Copy)]
pub(super) enum Said<'a> {
    /// To the journal, under this name; the last ones to the report, too.
    InJournal(&'a str),
    /// To whoever reads them here.
    Nowhere,
}

impl Ran {
    /// Whether it succeeded; `what` begins the sentence that says how it did not.
    pub(super) fn success(self, what: &str) -> Result<(), Failure> {
        let how = match self.ending {
            Ending::Exited(0) => return Ok(()),
            Ending::Exited(code) => format!("failed with exit code {code}"),
            Ending::Signalled(signal) => format!("was killed by signal {signal}"),
            Ending::TimedOut => "took too long and was ended".to_owned(),
            Ending::Stopped => {
                return Err(Failure::again(format!("{what} was ended because the applier was told to stop")));
            }
            Ending::NotStarted(error) => format!("could not start: {error}"),
        };
        Err(Failure::Refused { message: fit(&format!("{what} {how}")), output: self.output })
    }
}
