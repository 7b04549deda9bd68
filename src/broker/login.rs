//! The user and the password that clients of the broker's address say: one line, `user:password`, in a file or in a
//! credential of systemd.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::{constant_time, digest};
use zeroize::Zeroizing;

use crate::config;
use crate::ownership::Trusted;

/// The credential's name.
pub(crate) const CREDENTIAL: &str = "runtime-agent.broker";

/// The longest line that is taken, in bytes.
const LONGEST: u64 = 4096;

/// Where systemd takes credentials from that are not there yet (systemd.exec(5), `LoadCredential=`).
const STORES: [&str; 6] = [
    "/etc/credstore",
    "/run/credstore",
    "/usr/lib/credstore",
    "/etc/credstore.encrypted",
    "/run/credstore.encrypted",
    "/run/credentials/@system",
];

/// The user and the password, by their digest. They themselves are not kept.
#[derive(Clone)]
pub struct Login([u8; 32]);

/// Why there is no [`Login`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// Nobody has said what it is.
    #[error(
        "broker.listen takes a user and a password, and there are none: name a file with one line, user:password, in \
         broker.password_file, or give the service the credential {CREDENTIAL}"
    )]
    None,
    /// The file cannot be read.
    #[error("the user and the password of the broker cannot be read from {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others decide what is in it.
    #[error("the user and the password of the broker are not taken from a file that others can change: {0}")]
    Untrusted(String),
    /// Others know what is in it.
    #[error("{0} can be read by everybody, and so is no place for a password; take that away (`chmod o-rwx`)")]
    Open(PathBuf),
    /// It is something else.
    #[error("{0} does not hold one line of the form user:password, with something on both sides of the colon")]
    Malformed(PathBuf),
}

impl Login {
    /// Reads what is to be said: from the file, if there is one, else from the credential.
    ///
    /// # Errors
    /// When nobody has said it, or not in a place that only those can read who may.
    pub fn read(broker: &config::Broker) -> Result<Self, LoginError> {
        match (&broker.password_file, credential()) {
            (Some(file), _) => Self::from_file(file),
            (None, Some(credential)) => Self::parse(&content(&credential, &credential)?, &credential),
            (None, None) => Err(LoginError::None),
        }
    }

    /// Whether there is one, as far as somebody can tell who is not the `service`: to everybody else its credentials may
    /// be closed.
    pub(crate) fn check(broker: &config::Broker, service: &str) -> Result<(), LoginError> {
        if broker.listen.is_none() {
            return Ok(());
        }
        match Self::read(broker) {
            Err(LoginError::None) if is_promised(service) => Ok(()),
            read => read.map(drop),
        }
    }

    fn from_file(path: &Path) -> Result<Self, LoginError> {
        let unreadable = |source| LoginError::Unreadable { path: path.to_owned(), source };
        // Told first, for it is no matter of trust.
        fs::symlink_metadata(path).map_err(unreadable)?;
        let trusted = Trusted::of_this_process();
        let real = trusted.resolve(path).map_err(|why| LoginError::Untrusted(why.to_string()))?;
        // Nobody else can have turned the path since, nor can turn it now.
        let metadata = fs::metadata(&real).map_err(unreadable)?;
        trusted.check(&real, &metadata).map_err(|why| LoginError::Untrusted(why.to_string()))?;
        if metadata.mode() & 0o004 != 0 {
            return Err(LoginError::Open(path.to_owned()));
        }
        Self::parse(&content(&real, path)?, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, LoginError> {
        let line = text.strip_suffix('\n').unwrap_or(text);
        match line.split_once(':') {
            Some((user, password))
                if !user.is_empty() && !password.is_empty() && !line.chars().any(char::is_control) =>
            {
                Ok(Self(digest_of(line.as_bytes())))
            }
            _ => Err(LoginError::Malformed(path.to_owned())),
        }
    }

    /// Whether somebody who says this, `user:password`, knows them. However wrong it is, it takes the same time.
    pub(crate) fn is(&self, said: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &digest_of(said)).is_ok()
    }
}

/// Without what it is made of.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

fn digest_of(bytes: &[u8]) -> [u8; 32] {
    let mut result = [0; 32];
    result.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    result
}

/// The credential that systemd gave to this process.
fn credential() -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("CREDENTIALS_DIRECTORY")?).join(CREDENTIAL);
    path.exists().then_some(path)
}

/// Whether systemd has, or will have, the credential for the service, or nobody who asks here can know.
fn is_promised(service: &str) -> bool {
    let name = match service.split_once('@') {
        Some((_, instance)) => format!("runtime-agent@{instance}.broker"),
        None => CREDENTIAL.to_owned(),
    };
    let given = Path::new("/run/credentials").join(format!("{service}.service")).join(CREDENTIAL);
    let stores = STORES.iter().map(|store| Path::new(store).join(&name));
    stores.chain([given]).any(|path| match fs::metadata(path) {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
    })
}

fn content(path: &Path, shown: &Path) -> Result<Zeroizing<String>, LoginError> {
    let unreadable = |source| LoginError::Unreadable { path: shown.to_owned(), source };
    // Without O_NONBLOCK, a FIFO would hold us for ever.
    let flags = nix::fcntl::OFlag::O_NONBLOCK.bits();
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(LoginError::Malformed(shown.to_owned()));
    }
    let mut text = Zeroizing::new(String::new());
    match file.take(LONGEST + 1).read_to_string(&mut text) {
        Ok(length) if length as u64 <= LONGEST => Ok(text),
        Err(error) if error.kind() != io::ErrorKind::InvalidData => Err(unreadable(error)),
        _ => Err(LoginError::Malformed(shown.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    struct Site(tempfile::TempDir);

    impl Site {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn write(&self, text: &str, mode: u32) -> PathBuf {
            let path = self.0.path().canonicalize().unwrap().join("password");
            let _ = fs::remove_file(&path);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        }
    }

    fn read(path: &Path) -> Result<Login, String> {
        let broker = config::Broker { password_file: Some(path.to_owned()), ..config::Broker::default() };
        Login::read(&broker).map_err(|error| error.to_string())
    }

    #[test]
    fn one_line_is_what_has_to_be_said_and_nothing_else_is() {
        let site = Site::new();
        for (text, mode) in [("platform:se:cret\n", 0o640), ("platform:se:cret", 0o600)] {
            let login = read(&site.write(text, mode)).unwrap();
            assert!(login.is(b"platform:se:cret"));
            for said in ["", "platform", "platform:", "platform:se:cre", "platform:se:cret\n", "Platform:se:cret"] {
                assert!(!login.is(said.as_bytes()), "{said:?}");
            }
            assert_eq!(format!("{login:?}"), "[redacted]");
        }
    }

    #[test]
    fn what_is_no_such_line_is_refused_and_not_repeated() {
        let site = Site::new();
        let long = format!("canary:{}", "x".repeat(5_000));
        for text in ["", "\n", "canary", ":canary", "canary:", "canary:a\nb:c\n", "canary:a\r\n", &long] {
            let why = read(&site.write(text, 0o600)).unwrap_err();
            assert!(why.contains("user:password") && !why.contains("canary"), "{text:?}: {why}");
        }
    }

    #[test]
    fn a_file_that_others_can_read_or_change_is_refused_with_what_helps() {
        let site = Site::new();
        let why = read(&site.write("a:b", 0o644)).unwrap_err();
        assert!(why.contains("read by everybody") && why.contains("chmod o-rwx"), "{why}");
        for mode in [0o620, 0o602] {
            let why = read(&site.write("a:b", mode)).unwrap_err();
            assert!(why.contains("chmod go-w"), "{mode:o}: {why}");
        }
        let why = read(Path::new("/no/such/file")).unwrap_err();
        assert!(why.contains("/no/such/file"), "{why}");
    }

    #[test]
    fn to_listen_takes_a_user_and_a_password_and_not_to_listen_takes_none() {
        let broker = config::Broker::default();
        assert!(Login::check(&broker, "runtime-agent").is_ok());
        let site = Site::new();
        let listen = Some("127.0.0.1:8089".parse().unwrap());
        let password_file = Some(site.write("a:b", 0o600));
        let broker = config::Broker { listen, password_file, ..broker };
        assert!(Login::check(&broker, "runtime-agent").is_ok());
        site.write("a", 0o600);
        assert!(Login::check(&broker, "runtime-agent").is_err());
    }
}
