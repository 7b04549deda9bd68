//! The groups of a user, as the host knows them.

use std::ffi::CString;
use std::sync::Arc;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use tokio::sync::Semaphore;

use super::Peer;
use crate::config::GroupName;

/// The host's directory of users and groups. It may be a server, and takes as long as that.
#[derive(Debug, Clone)]
pub struct Directory {
    /// One look-up at a time: it may be slow, and the threads for waiting are few.
    turn: Arc<Semaphore>,
}

impl Default for Directory {
    fn default() -> Self {
        Self { turn: Arc::new(Semaphore::new(1)) }
    }
}

impl Directory {
    /// What `judge` says to the groups of whoever is at the other end; nothing, where that cannot be found out.
    pub(crate) async fn judge<T: Send + 'static>(
        &self,
        peer: &Peer,
        judge: impl FnOnce(&Memberships) -> T + Send + 'static,
    ) -> Option<T> {
        let turn = Arc::clone(&self.turn).acquire_owned().await;
        let (uid, gid) = (peer.uid(), peer.gid());
        let look_up = move || {
            // Held here, for a client that goes away meanwhile ends the waiting, and not the look-up.
            let _turn = turn;
            judge(&Memberships::look_up(uid, gid))
        };
        tokio::task::spawn_blocking(look_up).await.ok()
    }
}

/// The groups that somebody is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Memberships(Vec<u32>);

impl Memberships {
    /// The groups of a user: that of the process, and those that the host says. For a user that it does not know, there
    /// are no others.
    pub(crate) fn look_up(uid: u32, gid: u32) -> Self {
        let known = User::from_uid(Uid::from_raw(uid)).ok().flatten().and_then(|user| {
            let name = CString::new(user.name).ok()?;
            getgrouplist(&name, user.gid).ok()
        });
        Self(known.unwrap_or_default().into_iter().map(Gid::as_raw).chain([gid]).collect())
    }

    /// Whether this group is among them. One that is not there has no members.
    pub(crate) fn include(&self, group: &GroupName) -> bool {
        let number = Group::from_name(group.as_str()).ok().flatten().map(|group| group.gid.as_raw());
        number.is_some_and(|number| self.0.contains(&number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_the_groups_of_the_host_and_that_of_the_process() {
        let Memberships(root) = Memberships::look_up(0, 54_321);
        assert!(root.contains(&0) && root.contains(&54_321), "{root:?}");
        let Memberships(stranger) = Memberships::look_up(54_321, 54_322);
        assert_eq!(stranger, [54_322], "a user that the host does not know");
    }

    #[test]
    fn a_group_that_is_not_there_has_no_members() {
        let memberships = Memberships::look_up(54_321, 0);
        assert!(memberships.include(&"root".parse().unwrap()));
        assert!(!memberships.include(&"no-such-group".parse().unwrap()));
    }
}
