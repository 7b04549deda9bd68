//! The service broker, where it is on: its memory, its password, its socket, and who may come there.

use std::fs::{self, Metadata};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::Group;

use super::{Finding, Rights};
use crate::broker::login::Login;
use crate::config::{Broker, Brokerage, GroupName, Paths};

const CHECK: &str = "broker";

/// How long the broker may take for an answer that takes no thought: 3 seconds.
const PATIENCE: Duration = Duration::from_secs(3);

/// A request without the version that it has to have: it is answered, and neither shows nor changes anything.
const REQUEST: &[u8] = b"GET /v2/catalog HTTP/1.1\r\nHost: broker\r\nConnection: close\r\n\r\n";

/// Where the broker of a configuration is met.
#[derive(Debug)]
pub(super) struct Place {
    /// What is wanted of it.
    pub settings: Broker,
    /// Its socket.
    pub socket: PathBuf,
    /// The service that runs it.
    pub service: String,
    /// Whether the daemon runs. Where it does not, to connect could have systemd start it.
    pub runs: bool,
}

/// Looks at it. Blocks.
pub(super) fn look(place: &Place, paths: &Paths, rights: Rights) -> Vec<Finding> {
    let Place { settings, socket, service, runs } = place;
    if settings.enabled == Brokerage::Closed {
        return vec![Finding::skipped(CHECK, "broker.enabled is false")];
    }
    let mut findings = vec![memory(paths), clients(&settings.clients)];
    findings.extend(settings.listen.map(|_| password(settings, service, rights)));
    findings.push(if *runs { answers(socket) } else { Finding::skipped(CHECK, "the agent does not run") });
    findings
}

fn memory(paths: &Paths) -> Finding {
    let path = paths.broker_store();
    let owner = fs::metadata(&paths.state).map(|metadata| metadata.uid());
    match (owner, fs::symlink_metadata(&path)) {
        (Ok(owner), Ok(metadata)) => judge_memory(&path, &metadata, owner),
        (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => {
            Finding::ok(CHECK, format!("{} is not there yet: nothing was asked of it", path.display()))
        }
        (Err(error), _) | (_, Err(error)) => {
            Finding::skipped(CHECK, format!("{} cannot be looked at: {error}", path.display()))
        }
    }
}

fn judge_memory(path: &Path, metadata: &Metadata, owner: u32) -> Finding {
    let shown = path.display();
    let mode = metadata.mode() & 0o7777;
    if !metadata.is_file() {
        let what = format!("{shown} is no file");
        return Finding::failure(CHECK, what, "move it away, or restore it from a backup while the agent is stopped");
    }
    if metadata.uid() != owner {
        let what = format!("{shown} belongs to the user {}, and not to the agent's user {owner}", metadata.uid());
        return Finding::failure(CHECK, what, format!("`chown {owner} {shown}`"));
    }
    if mode & 0o077 != 0 {
        let what = format!("{shown} has the mode {mode:04o}: others can read or write the credentials in it");
        return Finding::failure(CHECK, what, format!("`chmod go= {shown}`"));
    }
    Finding::ok(CHECK, format!("{shown} is for the agent alone"))
}

fn clients(group: &GroupName) -> Finding {
    match Group::from_name(group.as_str()) {
        Ok(Some(found)) => Finding::ok(
            CHECK,
            match found.mem.len() {
                0 => format!("the group {group} is there; root alone may use the socket as long as nobody is in it"),
                count => {
                    format!("the group {group} is there, with {count} member{}", if count == 1 { "" } else { "s" })
                }
            },
        ),
        Ok(None) => Finding::warning(
            CHECK,
            format!("there is no group {group}, so root alone may use the socket"),
            format!("make it (`groupadd --system {group}`), or name another in broker.clients"),
        ),
        Err(error) => Finding::skipped(CHECK, format!("the group {group} cannot be looked up: {error}")),
    }
}

fn password(settings: &Broker, service: &str, rights: Rights) -> Finding {
    if rights == Rights::Stranger {
        return Finding::skipped(CHECK, "the password for broker.listen can be seen by root and the agent's user only");
    }
    match Login::check(settings, service) {
        Ok(()) => Finding::ok(CHECK, "there is a user and a password for broker.listen"),
        Err(error) => Finding::failure(CHECK, error.to_string(), "do so, and then: systemctl reload runtime-agent"),
    }
}

fn answers(socket: &Path) -> Finding {
    let shown = socket.display();
    match ask(socket) {
        Ok(answer) if answer.starts_with(b"HTTP/1.1 ") => Finding::ok(CHECK, format!("{shown} answers")),
        Ok(_) => Finding::failure(
            CHECK,
            format!("something else than the service broker answers at {shown}"),
            "`ss -xlp` tells who listens there; then: systemctl restart runtime-agent",
        ),
        Err(error) => Finding::failure(
            CHECK,
            format!("nothing answers at {shown}: {error}"),
            "`runtime-agent status` tells why; after a change of the configuration: systemctl reload runtime-agent",
        ),
    }
}

/// The beginning of an answer.
fn ask(socket: &Path) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(REQUEST)?;
    let mut answer = vec![0; 9];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixListener;

    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_memory_that_others_can_read_or_own_is_told_with_the_command_that_mends_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broker.redb");
        fs::write(&path, "").unwrap();
        let judged = |mode, stranger: u32| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let metadata = fs::metadata(&path).unwrap();
            judge_memory(&path, &metadata, metadata.uid() + stranger)
        };
        assert_eq!(judged(0o600, 0).verdict, Verdict::Ok);
        assert!(judged(0o640, 0).remedy.unwrap().contains("chmod go="));
        assert!(judged(0o600, 1).remedy.unwrap().contains("chown"));
        let folder = judge_memory(folder.path(), &fs::metadata(folder.path()).unwrap(), 0);
        assert_eq!(folder.verdict, Verdict::Failure);
    }

    #[test]
    fn a_socket_is_well_when_a_broker_answers_at_it_and_at_no_other_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broker.sock");
        assert!(answers(&path).what.contains("nothing answers"));
        let listener = UnixListener::bind(&path).unwrap();
        for (said, verdict) in [("HTTP/1.1 412 x\r\n", Verdict::Ok), ("220 mail\r\n", Verdict::Failure)] {
            let asked = std::thread::scope(|scope| {
                scope.spawn(|| {
                    let (mut stream, _) = listener.accept().unwrap();
                    let mut request = vec![0; REQUEST.len()];
                    stream.read_exact(&mut request).unwrap();
                    stream.write_all(said.as_bytes()).unwrap();
                });
                answers(&path)
            });
            assert_eq!(asked.verdict, verdict, "{asked:?}");
        }
    }

    #[test]
    fn a_group_that_is_not_there_is_told_and_a_broker_that_is_off_is_left_alone() {
        assert_eq!(clients(&"root".parse().unwrap()).verdict, Verdict::Ok);
        assert!(clients(&"no-such-group".parse().unwrap()).remedy.unwrap().contains("groupadd"));
        let place = Place {
            settings: Broker::default(),
            socket: PathBuf::from("/no/such/socket"),
            service: "runtime-agent".to_owned(),
            runs: true,
        };
        let findings = look(&place, &Paths::default(), Rights::Owner);
        assert!(matches!(findings.as_slice(), [only] if only.verdict == Verdict::Skipped), "{findings:?}");
    }
}
