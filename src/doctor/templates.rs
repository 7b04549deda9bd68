//! The templates: whether they compile, and render what the plane last said. Nothing is written.

use std::convert::Infallible;

use super::{Finding, Rights};
use crate::config::Settings;
use crate::kept::SnapshotFile;
use crate::output::{DigestKey, Rendering, View};
use crate::template::{Landscape, RenderError};

const CHECK: &str = "templates";

/// Renders all templates, and forgets the result. Blocks.
pub(super) fn look(settings: &Settings, rights: Rights) -> Finding {
    let rendering = match Rendering::load(settings) {
        Ok(Some(rendering)) => rendering,
        Ok(None) => return Finding::ok(CHECK, "the configuration has none"),
        Err(error) => return wrong(&error.to_string()),
    };
    let count = settings.template.len();
    if rights == Rights::Stranger {
        return Finding::skipped(CHECK, format!("{count} can be used; to render them needs root, or the agent's user"));
    }
    match render(settings, &rendering) {
        Ok(Some(files)) => Finding::ok(CHECK, format!("{count} render {files} files from what the plane last said")),
        Ok(None) => Finding::ok(CHECK, format!("{count} can be used; the plane has not said anything to render yet")),
        Err(why) => wrong(&why),
    }
}

fn wrong(why: &str) -> Finding {
    Finding::failure(CHECK, why, "correct the template; `runtime-agent render --dry-run` shows what it makes")
}

/// How many files there are; nothing, where there is nothing to render.
fn render(settings: &Settings, rendering: &Rendering) -> Result<Option<usize>, String> {
    let state = &settings.paths.state;
    let Some(kept) = SnapshotFile::new(state).look().map_err(|error| error.to_string())? else { return Ok(None) };
    let key = DigestKey::load_or_imagine(&state.join("digest.key")).map_err(|error| error.to_string())?;
    let names = View::new(&settings.paths.config()).names(&key).assign(&kept.snapshot);
    let names = names.map_err(|error| error.to_string())?;
    let landscape = Landscape::new(&kept.snapshot, &names, &rendering.host).map_err(|error| error.to_string())?;
    let mut files = 0;
    let rendered = rendering.templates.render(&landscape, &mut |_| {
        files += 1;
        Ok::<(), Infallible>(())
    });
    match rendered {
        Ok(()) => Ok(Some(files)),
        Err(RenderError::Template(error)) => Err(error.to_string()),
        Err(RenderError::Sink(never)) => match never {},
    }
}
