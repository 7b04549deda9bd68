//! Who is at the other end of a Unix socket of ours: every local user can connect, so the kernel is asked for the user, and
//! the host for the groups of that user.

mod gate;
mod groups;

pub use gate::Peer;
pub(crate) use gate::{Gate, Places};
pub use groups::Directory;
pub(crate) use groups::Memberships;

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tokio::net::UnixListener;

/// Makes a socket that everybody can connect to. The caller holds the state lock, so a socket that lies there is a dead
/// one.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Who connects is asked for a name, which the kernel gives; it takes the right to write to connect.
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}
