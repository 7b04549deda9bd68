//! Identifiers that the plane, or a client of the service broker, hands out, each a type of its own, so that one cannot
//! be passed for another.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest identifier that is taken, in bytes. Nearly all are UUIDs (36 bytes); the bound only keeps nonsense out of
/// logs and file names.
pub const MAX_ID_BYTES: usize = 256;

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidId {
    /// There was nothing in it.
    #[error("it is empty")]
    Empty,
    /// It is longer than [`MAX_ID_BYTES`].
    #[error("it is {0} bytes long, and at most {MAX_ID_BYTES} are taken")]
    TooLong(usize),
    /// It holds white space or a control character.
    #[error("it holds white space or a control character")]
    Unprintable,
}

fn checked(text: &str) -> Result<Box<str>, InvalidId> {
    if text.is_empty() {
        Err(InvalidId::Empty)
    } else if text.len() > MAX_ID_BYTES {
        Err(InvalidId::TooLong(text.len()))
    } else if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        Err(InvalidId::Unprintable)
    } else {
        Ok(text.into())
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The identifier as its maker wrote it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                checked(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                checked(&text).map(Self)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }
    };
}

id! {
    /// This host's Runtime, as it is registered at the plane.
    RuntimeId
}
id! {
    /// The tenant that the Runtime belongs to; sent in the header `Tenant` where a token file named it.
    TenantId
}
id! {
    /// An Application that this Runtime may use.
    ApplicationId
}
id! {
    /// A Bundle (in the older dialect: a Package) of an Application.
    BundleId
}
id! {
    /// An API or Event Definition, or a document.
    DefinitionId
}
id! {
    /// A bundle instance auth: credentials that were asked for by, or for, a runtime.
    InstanceAuthId
}
id! {
    /// A service instance, named by the client of the service broker that made it.
    ServiceInstanceId
}
id! {
    /// A service binding, likewise.
    ServiceBindingId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_could_break_a_log_line_is_refused() {
        assert_eq!("".parse::<RuntimeId>(), Err(InvalidId::Empty));
        assert_eq!("a\nb".parse::<RuntimeId>(), Err(InvalidId::Unprintable));
        assert_eq!("x".repeat(300).parse::<RuntimeId>(), Err(InvalidId::TooLong(300)));
        assert!("0b1f7c1e-8e3f-4c5e-9d3b-1f1e0c6f7a11".parse::<RuntimeId>().is_ok());
    }
}
