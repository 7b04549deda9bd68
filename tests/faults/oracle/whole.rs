//! Promises 1 to 4: nothing by halves, and nothing gone that the plane still has.

use super::{Breach, Observed, Promise};
use crate::tree::Kind;

pub(super) fn judge(observed: &Observed) -> Vec<Breach> {
    let mut breaches: Vec<_> = observed.seen.wrong.iter().map(|what| Breach::of(Promise::Whole, what)).collect();
    if observed.seen.looks == 0 {
        breaches.push(Breach::of(Promise::Whole, "nobody has looked on"));
    }
    for (id, folder) in observed.seen.missing.iter().filter(|(id, _)| observed.at_the_plane.contains(*id)) {
        breaches.push(Breach::of(Promise::Doubt, format!("{folder} ({id}) was taken away, and the plane has it")));
    }
    for name in &observed.seen.installed {
        let slug = name.trim_end_matches(".conf");
        let mut published = observed.seen.applications.iter().filter(|(_, folder)| *folder == slug);
        let wanted = published.any(|(id, _)| observed.at_the_plane.contains(id));
        if wanted && !observed.tree.contains_key(&std::path::Path::new("etc").join(name)) {
            breaches.push(Breach::of(Promise::LastGood, format!("the installed file {name} is gone")));
        }
    }
    for (path, entry) in &observed.tree {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let ours = path.starts_with("state") || path.starts_with("pairing") || path.starts_with("etc");
        // What somebody edited is kept beside it, for a person.
        let ours = ours && !name.ends_with(".runtime-agent-backup");
        if ours && (name.starts_with(".tmp-") || name.contains(".runtime-agent-")) && entry.kind != Kind::Other {
            breaches.push(Breach::of(Promise::Kills, format!("{} was never finished, and stays", path.display())));
        }
    }
    breaches
}
