//! The identity: whether there is one, whether its files belong together, and what its dates say.

use jiff::Timestamp;

use super::{Finding, Rights};
use crate::agent::standing::{Reception, Standing};
use crate::clock::{self, Clock as _, Wall};
use crate::config::Paths;
use crate::identity::{IdentityStore, Leaf};

/// At which share of a certificate's lifetime it should long have been renewed: nine tenths.
const LATE: f64 = 0.9;

const DATES: &str = "certificate";
const FILES: &str = "identity";

/// Looks at the identity in use. Blocks.
pub(super) fn look(paths: &Paths, rights: Rights) -> Vec<Finding> {
    let store = IdentityStore::reading(&paths.state);
    let part = match store.current_public_part() {
        Ok(Some(part)) => part,
        Ok(None) => return vec![unpaired(paths)],
        Err(error) if rights == Rights::Stranger => {
            return vec![Finding::skipped(FILES, format!("needs root, or the agent's user: {error}"))];
        }
        Err(error) => return vec![damaged(&error)],
    };
    let files = if rights == Rights::Stranger {
        Finding::skipped(FILES, "needs root, or the agent's user, for the key is theirs alone")
    } else {
        // Reads the key as well, and sees that it is the certificate's.
        match store.current() {
            Err(error) => damaged(&error),
            Ok(None) => unpaired(paths),
            Ok(Some(_)) => chain(&part.folder, &part.leaf),
        }
    };
    vec![files, judge(&part.leaf, Wall.now())]
}

fn unpaired(paths: &Paths) -> Finding {
    Finding::failure(
        FILES,
        "this host is not paired",
        format!("have a token made at the plane, and drop it in {}", paths.token().display()),
    )
}

fn damaged(error: &crate::identity::IdentityError) -> Finding {
    Finding::failure(FILES, error.to_string(), "restore the files from a backup, or drop a new token")
}

fn chain(folder: &std::path::Path, leaf: &Leaf) -> Finding {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    let path = folder.join("chain.pem");
    let read = std::fs::read(&path).map_err(|error| error.to_string()).and_then(|pem| {
        CertificateDer::pem_slice_iter(&pem)
            .map(|der| {
                let der = der.map_err(|error| error.to_string())?;
                Leaf::from_der(&der).map_err(|error| error.to_string())
            })
            .collect::<Result<Vec<_>, _>>()
    });
    let broken = match read {
        Ok(chain) => broken_link(&chain, leaf),
        Err(why) => Some(why),
    };
    match broken {
        None => Finding::ok(FILES, "key, certificate and chain belong together"),
        Some(why) => Finding::failure(
            FILES,
            format!("{} does not hold together: {why}", path.display()),
            "restore the files from a backup, or renew (`runtime-agent renew`)",
        ),
    }
}

/// What keeps certificates from being a chain that begins with `leaf`.
fn broken_link(chain: &[Leaf], leaf: &Leaf) -> Option<String> {
    if chain.first().is_none_or(|first| first.fingerprint != leaf.fingerprint) {
        return Some("it does not begin with the certificate in use".to_owned());
    }
    chain.windows(2).find(|pair| pair[0].issuer != pair[1].subject).map(|pair| {
        format!(
            "the certificate of {} was issued by {}, and {} comes next",
            pair[0].subject, pair[0].issuer, pair[1].subject
        )
    })
}

fn judge(leaf: &Leaf, now: Timestamp) -> Finding {
    let standing = Standing::of(leaf.not_before, leaf.not_after, &Reception::Accepted, now);
    let (lifetime, age) = (clock::until(leaf.not_before, leaf.not_after), clock::until(leaf.not_before, now));
    let days = clock::until(now, leaf.not_after).as_secs() / 86_400;
    match standing {
        Standing::Expired => Finding::failure(
            DATES,
            format!("the certificate expired on {}", leaf.not_after),
            "drop a new token, or set the clock of this host if that is wrong",
        ),
        Standing::NotYetValid => Finding::failure(
            DATES,
            format!("the certificate is valid only from {} on", leaf.not_before),
            "set the clock of this host (`timedatectl`)",
        ),
        _ if age.as_secs_f64() > lifetime.as_secs_f64() * LATE => Finding::warning(
            DATES,
            format!("the certificate ends in {days} days, and should have been renewed"),
            "run `runtime-agent renew`, and see in `runtime-agent status` why it was not",
        ),
        _ => Finding::ok(DATES, format!("valid until {} ({days} days)", leaf.not_after)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn leaf(subject: &str, issuer: &str) -> Leaf {
        let at = |second| Timestamp::from_second(second).unwrap();
        Leaf {
            subject: subject.into(),
            issuer: issuer.into(),
            not_before: at(1000),
            not_after: at(2000),
            fingerprint: subject.into(),
            public_key: Vec::new(),
        }
    }

    #[test]
    fn a_certificate_is_judged_by_its_dates() {
        let verdict = |second| judge(&leaf("a", "b"), Timestamp::from_second(second).unwrap()).verdict;
        assert_eq!(verdict(900), Verdict::Failure, "not yet valid");
        assert_eq!(verdict(1500), Verdict::Ok);
        assert_eq!(verdict(1950), Verdict::Warning, "renewal is late");
        assert_eq!(verdict(2000), Verdict::Failure, "over");
    }

    #[test]
    fn a_chain_with_a_stranger_in_it_is_none() {
        let (first, second, third) = (leaf("a", "b"), leaf("b", "c"), leaf("x", "x"));
        assert_eq!(broken_link(&[first.clone(), second.clone()], &first), None);
        assert!(broken_link(&[first.clone(), third], &first).unwrap().contains("issued by b"));
        assert!(broken_link(&[second], &first).is_some());
        assert!(broken_link(&[], &first).is_some());
    }
}
