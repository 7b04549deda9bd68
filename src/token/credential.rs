//! A token that comes as a systemd credential (systemd.exec(5), `LoadCredential=`).

use std::path::PathBuf;

use super::Dropped;
use super::file::look;

/// The credential's name.
pub const NAME: &str = "runtime-agent.token";

/// What the credential holds; nothing, where there is none.
pub fn read() -> Option<Dropped> {
    let folder = PathBuf::from(std::env::var_os("CREDENTIALS_DIRECTORY")?);
    look(&folder.join(NAME)).map(|seen| seen.dropped)
}
