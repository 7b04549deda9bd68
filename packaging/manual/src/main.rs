//! Writes the manual pages and the shell completions of `runtime-agent` into a folder: `manual OUTDIR`.
//!
//! The page of the command and the completions are made from the definition of the command line, so they cannot
//! disagree with the program. The other pages are written by hand, in `pages/`.

mod command_page;
mod edition;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::{Shell, generate_to};
use runtime_agent::cli::Cli;

use crate::edition::Edition;

/// The pages that are written by hand, by their file names.
const PAGES: [(&str, &str); 5] = [
    ("runtime-agent.toml.5", include_str!("../pages/runtime-agent.toml.5")),
    ("runtime-agent-broker.7", include_str!("../pages/runtime-agent-broker.7")),
    ("runtime-agent-files.7", include_str!("../pages/runtime-agent-files.7")),
    ("runtime-agent-hooks.7", include_str!("../pages/runtime-agent-hooks.7")),
    ("runtime-agent-templates.7", include_str!("../pages/runtime-agent-templates.7")),
];

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [folder] = arguments.as_slice() else {
        eprintln!("usage: manual OUTDIR");
        return ExitCode::from(2);
    };
    match write(Path::new(folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err((path, error)) => {
            eprintln!("manual: cannot write {}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path) -> Result<(), (PathBuf, io::Error)> {
    let man = folder.join("man");
    let completions = folder.join("completions");
    for folder in [&man, &completions] {
        fs::create_dir_all(folder).map_err(|error| (folder.clone(), error))?;
    }

    let edition = Edition::of_this_build().map_err(|error| (man.clone(), error))?;
    let command_page = command_page::source(Cli::command()).map_err(|error| (man.clone(), error))?;
    let written = PAGES.into_iter().map(|(name, source)| (name, source.to_owned()));
    for (name, source) in written.chain([("runtime-agent.8", command_page)]) {
        let path = man.join(name);
        fs::write(&path, edition.fill_in(&source)).map_err(|error| (path, error))?;
    }

    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut Cli::command(), "runtime-agent", &completions)
            .map_err(|error| (completions.clone(), error))?;
    }
    Ok(())
}
