//! Who may use the control socket, and for what: decided by the user at its other end, as the kernel names it.

use std::ffi::CString;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

use crate::config::{Control, GroupName};

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Access {
    /// Nothing.
    Nothing,
    /// See how things are.
    Look,
    /// Give orders as well.
    Change,
}

/// The groups that the settings name, as this host knows them. One that is not there has no members.
#[derive(Debug, Clone, Copy, Default)]
struct Groups {
    administrators: Option<u32>,
    readers: Option<u32>,
}

/// What a user may do without regard to groups: root, and the user `own` that the agent runs as, may do all.
pub(super) fn of_user(uid: u32, own: u32) -> Option<Access> {
    (uid == 0 || uid == own).then_some(Access::Change)
}

/// What a member of these groups may do.
fn of_groups(memberships: &[u32], groups: Groups) -> Access {
    let member = |group: Option<u32>| group.is_some_and(|group| memberships.contains(&group));
    if member(groups.administrators) {
        Access::Change
    } else if member(groups.readers) {
        Access::Look
    } else {
        Access::Nothing
    }
}

/// Looks up what a user may do whose process has the group `gid`. This asks the host's directory of users, which may be
/// a server, and takes as long as that.
pub(super) fn look_up(uid: u32, gid: u32, control: &Control) -> Access {
    let number = |name: &GroupName| Group::from_name(name.as_str()).ok().flatten().map(|group| group.gid.as_raw());
    let groups = Groups { administrators: number(&control.administrators), readers: number(&control.readers) };
    of_groups(&memberships(uid, gid), groups)
}

/// The groups of a user: that of the process, and those that the host says. For a user that it does not know, there are
/// no others.
fn memberships(uid: u32, gid: u32) -> Vec<u32> {
    let known = User::from_uid(Uid::from_raw(uid)).ok().flatten().and_then(|user| {
        let name = CString::new(user.name).ok()?;
        getgrouplist(&name, user.gid).ok()
    });
    known.unwrap_or_default().into_iter().map(Gid::as_raw).chain([gid]).collect()
}

/// Why a user is refused who has `access` and wants more.
pub(super) fn refusal(uid: u32, access: Access, wanted: Access, control: &Control) -> String {
    let Control { administrators, readers } = control;
    match (access, wanted) {
        (Access::Look, _) => format!(
            "The user {uid} may look, and change nothing: that is for root and the members of the group \
             {administrators} (control.administrators)."
        ),
        (_, Access::Change) => format!(
            "The user {uid} may change nothing here: that is for root and the members of the group {administrators} \
             (control.administrators)."
        ),
        (..) => format!(
            "The user {uid} may not look here: that is for root and the members of the groups {readers} \
             (control.readers) and {administrators} (control.administrators)."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_the_agents_own_user_may_do_all_and_nobody_else_without_a_group() {
        assert_eq!(of_user(0, 990), Some(Access::Change));
        assert_eq!(of_user(990, 990), Some(Access::Change));
        assert_eq!(of_user(1000, 990), None);
        assert_eq!(of_user(990, 0), None);
    }

    #[test]
    fn administrators_may_change_readers_may_look_and_a_group_that_is_not_there_has_no_members() {
        let both = Groups { administrators: Some(10), readers: Some(20) };
        for (memberships, groups, access) in [
            (&[10][..], both, Access::Change),
            (&[20], both, Access::Look),
            (&[20, 10], both, Access::Change),
            (&[30, 0], both, Access::Nothing),
            (&[], both, Access::Nothing),
            (&[10, 20], Groups::default(), Access::Nothing),
            (&[10, 20], Groups { administrators: None, ..both }, Access::Look),
            (&[20], Groups { administrators: Some(20), ..both }, Access::Change),
        ] {
            assert_eq!(of_groups(memberships, groups), access, "{memberships:?} {groups:?}");
        }
        assert!(Access::Nothing < Access::Look && Access::Look < Access::Change);
    }

    #[test]
    fn a_user_has_the_groups_of_the_host_and_that_of_the_process() {
        let root = memberships(0, 54_321);
        assert!(root.contains(&0) && root.contains(&54_321), "{root:?}");
        assert_eq!(memberships(54_321, 54_322), [54_322], "a user that the host does not know");
        let nowhere: GroupName = "no-such-group".parse().unwrap();
        let control = Control { administrators: nowhere.clone(), readers: nowhere };
        assert_eq!(look_up(54_321, 0, &control), Access::Nothing, "not even the group of root is a way in");
        assert_eq!(look_up(54_321, 0, &Control { readers: "root".parse().unwrap(), ..control }), Access::Look);
    }

    #[test]
    fn a_refusal_says_which_group_would_do() {
        let control = Control::default();
        let said = refusal(7, Access::Nothing, Access::Look, &control);
        assert!(said.contains("runtime-agent-view") && said.contains("runtime-agent-admin"), "{said}");
        for access in [Access::Nothing, Access::Look] {
            let said = refusal(7, access, Access::Change, &control);
            assert!(said.contains("runtime-agent-admin") && !said.contains("runtime-agent-view"), "{said}");
        }
    }
}
