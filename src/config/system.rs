//! Names, modes and commands as the system takes them; what it would not take is refused while reading.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Makes a text a type of its own, which exists only where `$check` finds nothing to say against it.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Unfit;

            fn try_from(text: String) -> Result<Self, Unfit> {
                match $check(&text) {
                    Ok(()) => Ok(Self(text.into())),
                    Err(wanted) => Err(Unfit { text, wanted }),
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = Unfit;

            fn from_str(text: &str) -> Result<Self, Unfit> {
                text.to_owned().try_into()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
pub(super) use checked_text;

/// A text that is not what its key wants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {wanted}")]
pub struct Unfit {
    pub(super) text: String,
    pub(super) wanted: &'static str,
}

checked_text! {
    /// The name of one unit of systemd, as `systemd.unit(5)` has it; no pattern, and no template without its instance.
    UnitName, unit
}
checked_text! {
    /// The name of a user.
    UserName, account
}
checked_text! {
    /// The name of a group.
    GroupName, account
}

impl GroupName {
    /// A name that is built in; a test sees that it is one.
    pub(super) fn constant(name: &'static str) -> Self {
        Self(name.into())
    }
}

/// The longest name of a unit that systemd takes, in bytes.
const MAX_UNIT: usize = 255;

/// What a unit's name ends in.
const UNIT_TYPES: [&str; 11] =
    ["service", "socket", "device", "mount", "automount", "swap", "target", "path", "timer", "slice", "scope"];

fn unit(text: &str) -> Result<(), &'static str> {
    let wanted = "the name of a unit, as in \"nginx.service\" or \"orders@eu.service\"";
    let (name, kind) = text.rsplit_once('.').ok_or(wanted)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '.' | '\\' | '-' | '@');
    let whole = !name.is_empty() && !name.starts_with('@') && !name.ends_with('@');
    let fits = text.len() <= MAX_UNIT && text.chars().all(plain) && !text.starts_with('-');
    if whole && fits && UNIT_TYPES.contains(&kind) { Ok(()) } else { Err(wanted) }
}

/// What systemd takes for the name of an account: no number, which could be meant as another account's id.
fn account(text: &str) -> Result<(), &'static str> {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let further = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if text.starts_with(first) && text.chars().all(further) && text.len() <= 31 {
        Ok(())
    } else {
        Err("the name of a user or group: a letter or underscore, then letters, digits, \"_\", \"-\" and \".\", \
             31 at the most")
    }
}

/// The mode of a file, written in octal as `"0640"`; without set-user-ID, set-group-ID and sticky bit, and nothing that
/// everybody may write.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileMode(u32);

impl FileMode {
    /// For the owner and the group's eyes: what may hold credentials.
    pub const DEFAULT: Self = Self(0o640);

    /// The bits.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl Default for FileMode {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl TryFrom<String> for FileMode {
    type Error = Unfit;

    fn try_from(text: String) -> Result<Self, Unfit> {
        let octal = text.bytes().all(|b| matches!(b, b'0'..=b'7')) && (3..=4).contains(&text.len());
        let bits = octal.then(|| u32::from_str_radix(&text, 8).ok()).flatten();
        match bits {
            Some(bits) if bits > 0o777 => Err(Unfit {
                text,
                wanted: "a mode that a file made from foreign words may have: it sets a special bit (set-user-ID, \
                         set-group-ID or sticky)",
            }),
            Some(bits) if bits & 0o002 != 0 => {
                Err(Unfit { text, wanted: "a mode that such a file may have: everybody could change it" })
            }
            Some(bits) => Ok(Self(bits)),
            None => Err(Unfit { text, wanted: "a mode in octal, as in \"0640\"" }),
        }
    }
}

impl From<FileMode> for String {
    fn from(mode: FileMode) -> String {
        mode.to_string()
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl fmt::Debug for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A command and its arguments, run as they are, without a shell. The command is a whole path, or a name that is looked
/// for where the system's programs are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct ArgList {
    command: Box<str>,
    arguments: Vec<String>,
}

/// A list that is no command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCommand {
    /// There is nothing in it.
    #[error("a command is a list that begins with the program, as in [\"nginx\", \"-t\"], and this one is empty")]
    Empty,
    /// Its first word is neither a name nor a whole path.
    #[error(
        "{0:?} is not a program: it is a name without \"/\", or a path from the root on; a line for a shell is written \
         as [\"/bin/sh\", \"-c\", \"…\"]"
    )]
    NoProgram(String),
    /// No argument can hold it.
    #[error("an argument holds a NUL, which no command can be given")]
    Nul,
}

impl ArgList {
    /// The program: a name, or a whole path.
    pub fn command(&self) -> &str {
        &self.command
    }

    /// What it is given.
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }
}

impl TryFrom<Vec<String>> for ArgList {
    type Error = InvalidCommand;

    fn try_from(words: Vec<String>) -> Result<Self, InvalidCommand> {
        if words.iter().any(|word| word.contains('\0')) {
            return Err(InvalidCommand::Nul);
        }
        let mut words = words.into_iter();
        let command = words.next().ok_or(InvalidCommand::Empty)?;
        let named = !command.contains('/') && !command.starts_with('-');
        // A name with white space in it is a line for a shell, more likely than a program.
        let plain = !command.is_empty() && !command.contains(char::is_control);
        if plain && (command.starts_with('/') || (named && !command.contains(char::is_whitespace))) {
            Ok(Self { command: command.into(), arguments: words.collect() })
        } else {
            Err(InvalidCommand::NoProgram(command))
        }
    }
}

impl From<ArgList> for Vec<String> {
    fn from(list: ArgList) -> Self {
        std::iter::once(list.command.into()).chain(list.arguments).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_named_as_systemd_names_it() {
        let long = format!("{}.service", "x".repeat(MAX_UNIT));
        for (text, good) in [
            ("nginx.service", true),
            ("orders@eu-1.service", true),
            ("system-getty.slice", true),
            ("dev-disk-by\\x2dlabel.device", true),
            ("nginx", false),
            ("", false),
            (".service", false),
            ("@.service", false),
            ("orders@.service", false),
            ("*.service", false),
            ("a b.service", false),
            ("../x.service", false),
            ("-H.service", false),
            ("nginx.conf", false),
            (&long, false),
        ] {
            assert_eq!(text.parse::<UnitName>().is_ok(), good, "{text}");
        }
    }

    #[test]
    fn an_account_is_a_name_and_never_a_number() {
        for (text, good) in [
            ("root", true),
            ("www-data", true),
            ("_apt", true),
            ("0", false),
            ("1000", false),
            ("", false),
            ("a b", false),
            ("a:b", false),
            ("-x", false),
            ("ä", false),
        ] {
            assert_eq!(text.parse::<UserName>().is_ok(), good, "{text}");
            assert_eq!(text.parse::<GroupName>().is_ok(), good, "{text}");
        }
    }

    #[test]
    fn a_mode_is_octal_and_gives_nobody_the_owners_rights() {
        let mode = |text: &str| FileMode::try_from(text.to_owned());
        for (text, bits) in [("0640", 0o640), ("640", 0o640), ("0755", 0o755), ("0000", 0)] {
            assert_eq!(mode(text).unwrap().bits(), bits);
        }
        assert_eq!(mode("640").unwrap().to_string(), "0640");
        for text in ["4755", "2755", "1777", "0666", "0642", "64", "00640", "0648", "u=rw", "+640", ""] {
            assert!(mode(text).is_err(), "{text}");
        }
        assert!(mode("4755").unwrap_err().to_string().contains("special bit"));
    }

    #[test]
    fn a_command_is_a_list_and_no_line_for_a_shell() {
        let list = |words: &[&str]| ArgList::try_from(words.iter().map(ToString::to_string).collect::<Vec<_>>());
        let nginx = list(&["nginx", "-t"]).unwrap();
        assert_eq!((nginx.command(), nginx.arguments()), ("nginx", &["-t".to_owned()][..]));
        assert!(list(&["/opt/my tools/notify", "a b", ""]).is_ok());
        for words in [&[][..], &[""], &["nginx -t"], &["bin/x"], &["./x"], &["-t"], &["a", "b\0"]] {
            assert!(list(words).is_err(), "{words:?}");
        }
        let said = list(&["nginx -t && true"]).unwrap_err().to_string();
        assert!(said.contains("/bin/sh"), "{said}");
    }
}
