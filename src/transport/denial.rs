//! What the plane denies to a host whose certificate it takes, and who can mend it.
//!
//! A denial is decided at the plane, and undone there: the certificate stays, nothing that was published is taken away,
//! and the plane is asked again, until it answers.

use serde::{Deserialize, Serialize};

/// What the plane denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Denial {
    /// The caller may not do what it asked for.
    Scopes,
    /// No tenant was named, and the plane does not find one by the certificate.
    TenantRequired,
    /// The tenant that was named is none of the plane's.
    TenantNotFound,
    /// There is no runtime with our id.
    UnknownRuntime,
    /// The plane takes us for something else than a runtime.
    NotARuntime,
}

impl Denial {
    /// What an `error_code` of the plane denies: 23 InsufficientScopes, 24 TenantRequired, 25 TenantNotFound.
    pub fn of_code(code: i64) -> Option<Self> {
        match code {
            23 => Some(Self::Scopes),
            24 => Some(Self::TenantRequired),
            25 => Some(Self::TenantNotFound),
            _ => None,
        }
    }

    /// A bounded word for fields and counters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scopes => "scopes",
            Self::TenantRequired => "tenant_required",
            Self::TenantNotFound => "tenant_not_found",
            Self::UnknownRuntime => "unknown_runtime",
            Self::NotARuntime => "not_a_runtime",
        }
    }

    /// What is the matter, in a few words for a line that has to stay short.
    pub fn brief(self) -> &'static str {
        match self {
            Self::Scopes => "this runtime lacks permissions at the plane",
            Self::TenantRequired => "the plane wants to be told the tenant",
            Self::TenantNotFound => "the plane does not know the tenant",
            Self::UnknownRuntime => "the plane does not know this runtime",
            Self::NotARuntime => "the plane takes this host for something else than a runtime",
        }
    }

    /// What is the matter, as the beginning of a sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Scopes => "The plane does not let this host read what it asks for: it lacks permissions (scopes)",
            Self::TenantRequired => {
                "The plane wants to be told the tenant of this host, and the token that paired it named none"
            }
            Self::TenantNotFound => "The plane does not know the tenant that the token for this host named",
            Self::UnknownRuntime => "The plane takes the certificate of this host, but does not know its runtime",
            Self::NotARuntime => "The plane takes this host for something else than a runtime",
        }
    }

    /// What a person can do.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Scopes => {
                "Ask those who manage the plane to give this runtime the scopes that runtimes have, such as runtime:read \
                 and application:read; nothing has to be done on this host."
            }
            Self::TenantRequired => {
                "Ask those who manage the plane to let the tenant follow from the certificate; or drop a new token that \
                 names the tenant (a line TENANT=…)."
            }
            Self::TenantNotFound => {
                "Ask those who manage the plane whether the tenant was removed, and to bring it back; or drop a new \
                 token that names another tenant."
            }
            Self::UnknownRuntime => {
                "Ask those who manage the plane whether the runtime was removed, or moved to another tenant, and to bring \
                 it back; or have it registered anew, and drop a new token."
            }
            Self::NotARuntime => "Have a token made for a runtime, and drop that.",
        }
    }

    /// Whether the plane alone can undo it, with the certificate as it is: nobody needs to be in a hurry to throw a
    /// certificate away.
    pub fn can_pass(self) -> bool {
        match self {
            Self::Scopes | Self::TenantRequired | Self::TenantNotFound | Self::UnknownRuntime => true,
            Self::NotARuntime => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_denial_is_told_by_words_of_its_own() {
        let all = [
            Denial::Scopes,
            Denial::TenantRequired,
            Denial::TenantNotFound,
            Denial::UnknownRuntime,
            Denial::NotARuntime,
        ];
        for say in [Denial::as_str, Denial::brief, Denial::sentence, Denial::advice] {
            let mut words: Vec<_> = all.iter().map(|denial| say(*denial)).collect();
            words.sort_unstable();
            words.dedup();
            assert_eq!(words.len(), all.len());
        }
        assert!(all.iter().all(|denial| denial.brief().len() <= 60), "a line that has to stay short");
    }
}
