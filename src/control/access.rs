//! Who may use the control socket, and for what: decided by the user at its other end, as the kernel names it.

use crate::config::Control;
use crate::peers::Memberships;

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

/// What a member of these groups may do. This asks the host's directory of groups, which may be a server, and takes as
/// long as that.
pub(super) fn of_groups(memberships: &Memberships, control: &Control) -> Access {
    if memberships.include(&control.administrators) {
        Access::Change
    } else if memberships.include(&control.readers) {
        Access::Look
    } else {
        Access::Nothing
    }
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

    /// A user that the host does not know, whose process is in the group of root.
    fn of_root_group(administrators: &str, readers: &str) -> Access {
        let control = Control { administrators: administrators.parse().unwrap(), readers: readers.parse().unwrap() };
        of_groups(&Memberships::look_up(54_321, 0), &control)
    }

    #[test]
    fn administrators_may_change_readers_may_look_and_a_group_that_is_not_there_has_no_members() {
        for (administrators, readers, access) in [
            ("root", "daemon", Access::Change),
            ("daemon", "root", Access::Look),
            ("root", "root", Access::Change),
            ("daemon", "bin", Access::Nothing),
            ("no-such-group", "root", Access::Look),
            ("no-such-group", "no-such-group", Access::Nothing),
        ] {
            assert_eq!(of_root_group(administrators, readers), access, "{administrators} {readers}");
        }
        assert!(Access::Nothing < Access::Look && Access::Look < Access::Change);
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
