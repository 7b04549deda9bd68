//! Sockets that systemd has made and passed to this process (sd_listen_fds(3)), under the name `broker`.

use std::os::unix::net::UnixListener;

use listenfd::ListenFd;

/// What a socket unit calls the broker's sockets: `FileDescriptorName=broker`.
const NAME: &str = "broker";

/// The sockets.
#[derive(Debug, Default)]
pub struct Passed {
    pub(super) listeners: Vec<UnixListener>,
    /// Why some of them cannot be used.
    pub(super) unusable: Option<String>,
}

impl Passed {
    /// Takes the sockets that were passed. There is one time for this: when the process has started, and before it
    /// starts others, which would get them too.
    pub fn take() -> Self {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut sockets = ListenFd::from_env();
        let mut passed = Self::default();
        let count = sockets.len();
        for index in places(&names).take_while(|index| *index < count) {
            let taken = sockets.take_unix_listener(index).and_then(|listener| {
                listener.as_ref().map_or(Ok(()), |listener| listener.set_nonblocking(true))?;
                Ok(listener)
            });
            match taken {
                Ok(listener) => passed.listeners.extend(listener),
                Err(error) => passed.unusable = Some(error.to_string()),
            }
        }
        passed
    }

    /// Such sockets.
    #[cfg(test)]
    pub(super) fn these(listeners: Vec<UnixListener>) -> Self {
        Self { listeners, unusable: None }
    }
}

/// Which of the sockets are ours, by their names, which are separated by colons.
fn places(names: &str) -> impl Iterator<Item = usize> {
    names.split(':').enumerate().filter(|(_, name)| *name == NAME).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sockets_of_our_name_are_ours() {
        for (names, ours) in [
            ("", &[][..]),
            ("broker", &[0]),
            ("control:broker", &[1]),
            ("broker:x:broker", &[0, 2]),
            ("broker.socket:unknown:Broker", &[]),
        ] {
            assert_eq!(places(names).collect::<Vec<_>>(), ours, "{names}");
        }
    }
}
