//! `runtime-agent pair`: puts a token where the agent looks for it, and waits for what comes of it.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::{complain, exit, no_conversation, on_runtime, say};
use crate::agent::status::Area;
use crate::config::Paths;
use crate::control::{Client, ControlError};
use crate::disk::{self, Owner};
use crate::pairing::Verdict;
use crate::seclusion::seclude;
use crate::token::{self, MAX_TOKEN_FILE};

pub(super) fn execute(paths: &Paths, file: &Path, limit: Duration) -> ExitCode {
    seclude();
    let began = Timestamp::now();
    match place(paths, file) {
        Ok(fingerprint) => match on_runtime(tokio_limit(limit, wait(paths, &fingerprint, began))) {
            Ok(Some(Ok(code))) => code,
            Ok(Some(Err(error))) => {
                complain(&format_args!(
                    "the token lies in {} and is used as soon as the agent runs",
                    paths.token().display()
                ));
                no_conversation(&error)
            }
            Ok(None) => {
                complain(&"the time is over, and the agent is still at it; `runtime-agent status` tells more");
                ExitCode::from(exit::FAILED)
            }
            Err(code) => code,
        },
        Err(sentence) => {
            complain(&sentence);
            ExitCode::from(exit::FAILED)
        }
    }
}

async fn tokio_limit<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, future).await.ok()
}

/// Puts the token into the folder, whole, for the agent's user to read. Returns its fingerprint.
fn place(paths: &Paths, file: &Path) -> Result<String, String> {
    let content = read(file).map_err(|error| format!("cannot read the token from {}: {error}", file.display()))?;
    let token = token::parse(&content)
        .map_err(|error| format!("what was given cannot be used as a token: {error}; nothing was done"))?;
    let path = paths.token();
    // As root, the token is given to whom the state belongs: the agent's user. Anybody else can only be that user.
    let owner = match fs::metadata(&paths.state) {
        Ok(state) if nix::unistd::geteuid().is_root() => Owner::Other { user: state.uid(), group: state.gid() },
        _ => Owner::Own,
    };
    disk::write_for(&path, 0o600, owner, &content)
        .map_err(|error| format!("{error}; run the command as root, or as the agent's user"))?;
    Ok(token.fingerprint())
}

fn read(file: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut content = Zeroizing::new(Vec::new());
    let limit = MAX_TOKEN_FILE + 1;
    if file == Path::new("-") {
        io::stdin().lock().take(limit).read_to_end(&mut content)?;
    } else {
        fs::File::open(file)?.take(limit).read_to_end(&mut content)?;
    }
    Ok(content)
}

/// Shows progress until the token has come to an end.
async fn wait(paths: &Paths, fingerprint: &str, began: Timestamp) -> Result<ExitCode, ControlError> {
    let client = Client::new(&paths.control())?;
    let mut status = client.status(None).await?;
    let mut shown = (None, None);
    let mut seen = false;
    loop {
        let ours = status.token.as_ref().filter(|token| token.fingerprint.as_deref() == Some(fingerprint));
        match ours {
            Some(token) if token.verdict == Verdict::Paired && token.at < began => {
                say("This host was paired by this token before; nothing was done.");
                return Ok(ExitCode::SUCCESS);
            }
            Some(token) if token.verdict == Verdict::Paired => {
                say(&status.headline);
                return Ok(ExitCode::SUCCESS);
            }
            // A verdict from before is about to be replaced: what was refused is tried again.
            Some(token) if token.verdict == Verdict::Refused && token.at >= began => {
                complain(&token.detail);
                return Ok(ExitCode::from(exit::ACTION_NEEDED));
            }
            None if seen => {
                complain(&"another token has taken this one's place; `runtime-agent status` tells more");
                return Ok(ExitCode::from(exit::ACTION_NEEDED));
            }
            Some(token) => seen |= token.verdict == Verdict::InUse,
            None => {}
        }
        let problem = [Area::TokenFile, Area::Pairing]
            .iter()
            .find_map(|area| status.problems.get(area).filter(|problem| problem.since >= began));
        let now = (status.endeavour.clone(), problem.map(|problem| format!("{} {}", problem.what, problem.remedy)));
        if now.0 != shown.0
            && let Some(endeavour) = &now.0
        {
            say(&format!("{endeavour} …"));
        }
        if now.1 != shown.1
            && let Some(problem) = &now.1
        {
            say(&format!("  {problem}"));
        }
        shown = now;
        status = client.status(Some(status.revision)).await?;
    }
}
