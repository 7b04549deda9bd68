//! The key that names content: a name reveals nothing about a weak password to whoever does not have the key.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use aws_lc_rs::{hmac, rand};
use zeroize::Zeroizing;

use super::manifest::ObjectName;
use crate::disk::{self, DiskError};
use crate::event;

const KEY_BYTES: usize = 32;

/// The secret key of this host's content-addressed names. It never leaves the host, and nothing but names depends on
/// it: when it is lost, a new one is made, and the next generation is written anew under new names.
#[derive(Clone)]
pub struct DigestKey(hmac::Key);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DigestKeyError {
    /// The file cannot be read or written.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The system has no randomness to give.
    #[error("the system gives no random bytes for the key that names the output")]
    NoRandomness,
}

impl DigestKey {
    /// Reads the key from `path`, or makes one there (0600). A file that does not hold a key is replaced, with a
    /// warning.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn load_or_create(path: &Path) -> Result<Self, DigestKeyError> {
        match fs::read(path).map(Zeroizing::new) {
            Ok(bytes) if bytes.len() == KEY_BYTES => return Ok(Self::from_bytes(&bytes)),
            Ok(_) => event::Output::KeyDamaged { path }.emit(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(DiskError::new("read", path, error).into()),
        }
        let bytes = random()?;
        disk::write(path, 0o600, bytes.as_ref())?;
        Ok(Self::from_bytes(bytes.as_ref()))
    }

    /// Reads the key from `path`, and writes nothing: where there is none, what is given is not kept, and names that were
    /// made with another are as foreign to it as to the one that the agent would make.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn load_or_imagine(path: &Path) -> Result<Self, DigestKeyError> {
        match fs::read(path).map(Zeroizing::new) {
            Ok(bytes) if bytes.len() == KEY_BYTES => Ok(Self::from_bytes(&bytes)),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(DiskError::new("read", path, error).into()),
            Ok(_) | Err(_) => Ok(Self::from_bytes(random()?.as_ref())),
        }
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// Begins the name of a folder.
    pub(super) fn start(&self) -> Naming {
        Naming(hmac::Context::with_key(&self.0))
    }
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey([redacted])")
    }
}

fn random() -> Result<Zeroizing<[u8; KEY_BYTES]>, DigestKeyError> {
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    rand::fill(bytes.as_mut()).map_err(|_| DigestKeyError::NoRandomness)?;
    Ok(bytes)
}

/// A name in the making. Files are fed in the order of their paths; each length goes before what it measures, so that
/// two different folders never feed the same bytes.
pub(super) struct Naming(hmac::Context);

impl Naming {
    /// Begins a file; exactly `length` bytes of content follow.
    pub(super) fn file(&mut self, path: &str, mode: u32, length: u64) {
        self.0.update(&(path.len() as u64).to_be_bytes());
        self.0.update(path.as_bytes());
        self.0.update(&mode.to_be_bytes());
        self.0.update(&length.to_be_bytes());
    }

    /// A piece of the file's content.
    pub(super) fn content(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The name.
    pub(super) fn finish(self) -> ObjectName {
        let tag = self.0.sign();
        ObjectName::try_from(hexadecimal(tag.as_ref())).expect("32 bytes are 64 hexadecimal digits")
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn name(key: &DigestKey) -> ObjectName {
        let mut naming = key.start();
        naming.file("a", 0o644, 1);
        naming.content(b"x");
        naming.finish()
    }

    #[test]
    fn a_key_is_made_once_and_only_the_agent_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("digest.key");
        let first = name(&DigestKey::load_or_create(&path).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(name(&DigestKey::load_or_create(&path).unwrap()), first);
        fs::write(&path, "short").unwrap();
        assert_ne!(name(&DigestKey::load_or_create(&path).unwrap()), first, "a damaged key is replaced");
        assert_eq!(fs::read(&path).unwrap().len(), KEY_BYTES);
    }
}
