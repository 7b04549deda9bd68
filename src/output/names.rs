//! Folder names made from foreign names: safe, unique, and as stable as the names they are made from.
//!
//! The plane's names can hold anything, are not unique, and change; its ids are the identity. A name becomes a
//! [`Slug`] like this:
//!
//! - ASCII letters are lower-cased and kept, ASCII digits are kept, every run of anything else becomes one `-`; a `-`
//!   at either end goes; what is longer than [`Slug::MAX_BYTES`] is cut. Nothing left: `app-`, `bundle-`, … and the
//!   beginning of the id's SHA-256.
//! - Whoever has a slug keeps it while its name gives the same slug as before. Nothing that others do takes it away.
//! - Whoever is new, or renamed, takes the plain slug of its name if that is free, the smallest id first; else that
//!   slug, `-`, and the first eight hexadecimal digits of the SHA-256 of its id (more digits, should that be taken).
//!
//! So a folder moves only when its own name changes. It does not move back by itself: one that was given a suffix
//! keeps it after the other one has gone. The names of a set of colliding items depend on the order in which they came;
//! where the record of earlier names is lost (a damaged generation), the smallest id takes the plain slug.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use aws_lc_rs::digest;

use super::digest::hexadecimal;
use super::manifest::Slug;

/// How many digits of the id's hash tell two items of one name apart.
const SUFFIX_DIGITS: usize = 8;

/// Gives every wanted item a slug of its own: each id once, with its name.
///
/// `word` begins the slug of an item whose name leaves nothing. `previous` holds the names and slugs that were given
/// last time. The result does not depend on the order of `wanted`; where an id occurs twice, the last one counts.
pub fn assign<Id: Ord + Clone + Display>(
    word: &str,
    previous: &BTreeMap<Id, (String, Slug)>,
    wanted: impl IntoIterator<Item = (Id, String)>,
) -> BTreeMap<Id, Slug> {
    let wanted: BTreeMap<Id, String> = wanted.into_iter().collect();
    let mut given = BTreeMap::new();
    let mut taken = BTreeSet::new();

    for (id, name) in &wanted {
        let kept = previous.get(id).filter(|(before, _)| plain(word, id, before) == plain(word, id, name));
        if let Some((_, slug)) = kept
            && taken.insert(slug.clone())
        {
            given.insert(id.clone(), slug.clone());
        }
    }
    // All plain slugs go out before any with a suffix, so that a suffix never takes what somebody's name spells.
    let mut late = Vec::new();
    for (id, name) in &wanted {
        if given.contains_key(id) {
            continue;
        }
        let slug = plain(word, id, name);
        if taken.insert(slug.clone()) {
            given.insert(id.clone(), slug);
        } else {
            late.push((id, slug));
        }
    }
    for (id, slug) in late {
        let free = suffixed(&slug, id).find(|candidate| taken.insert(candidate.clone()));
        // The candidates never end and never repeat; what is taken is finite.
        given.insert(id.clone(), free.expect("an endless sequence has an element outside a finite set"));
    }
    given
}

/// The slug that a name spells, whoever else spells the same.
fn plain(word: &str, id: &impl Display, name: &str) -> Slug {
    spelt(name).unwrap_or_else(|| slug(format!("{word}-{}", &hash(id, 0)[..SUFFIX_DIGITS])))
}

/// The slug that a name spells, if it leaves any.
pub(crate) fn spelt(name: &str) -> Option<Slug> {
    let mut text = String::new();
    for c in name.chars() {
        if text.len() >= Slug::MAX_BYTES {
            break;
        }
        if c.is_ascii_alphanumeric() {
            text.push(c.to_ascii_lowercase());
        } else if !text.is_empty() && !text.ends_with('-') {
            text.push('-');
        }
    }
    let text = text.trim_end_matches('-');
    (!text.is_empty()).then(|| slug(text.to_owned()))
}

/// What an item may be called instead of `base`, the shortest first, without end.
fn suffixed(base: &Slug, id: &impl Display) -> impl Iterator<Item = Slug> {
    suffixes(id).map(move |suffix| {
        let room = Slug::MAX_BYTES - 1 - suffix.len();
        let head = base.as_str();
        // A slug is ASCII: every byte is a boundary.
        let head = head[..head.len().min(room)].trim_end_matches('-');
        slug(format!("{head}-{suffix}"))
    })
}

/// What tells an item from others of its name: digits of its id's hash, the fewest first, without end.
pub(crate) fn suffixes(id: &impl Display) -> impl Iterator<Item = String> {
    (0u64..).flat_map(move |round| {
        let hash = hash(id, round);
        let first = if round == 0 { SUFFIX_DIGITS } else { hash.len() };
        (first..=hash.len()).step_by(SUFFIX_DIGITS).map(move |digits| hash[..digits].to_owned())
    })
}

fn hash(id: &impl Display, round: u64) -> String {
    let text = if round == 0 { id.to_string() } else { format!("{id} {round}") };
    hexadecimal(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

fn slug(text: String) -> Slug {
    // Both makers above begin with a letter or digit, end with one, use nothing but `[a-z0-9-]`, and keep the limit.
    Slug::try_from(text).expect("a slug made here is valid")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Previous = BTreeMap<String, (String, Slug)>;

    fn round(previous: &Previous, wanted: &[(&str, &str)]) -> Previous {
        record(previous, wanted.iter().map(|(id, name)| ((*id).to_owned(), (*name).to_owned())).collect())
    }

    fn record(previous: &Previous, wanted: Vec<(String, String)>) -> Previous {
        let slugs = assign("app", previous, wanted.clone());
        let names: BTreeMap<_, _> = wanted.into_iter().collect();
        slugs.into_iter().map(|(id, slug)| (id.clone(), (names[&id].clone(), slug))).collect()
    }

    fn slug_of<'a>(given: &'a Previous, id: &str) -> &'a str {
        given[id].1.as_str()
    }

    #[test]
    fn a_name_becomes_what_a_person_would_call_it() {
        let long = "ß".repeat(5000);
        let given = round(
            &Previous::new(),
            &[
                ("1", "SAP Commerce (EU-10)"),
                ("2", "../../etc/passwd"),
                ("3", ".."),
                ("4", ""),
                ("5", "a\0b\n\u{7f}c"),
                ("6", "Überraschung"),
                ("7", &long),
            ],
        );
        assert_eq!(slug_of(&given, "1"), "sap-commerce-eu-10");
        assert_eq!(slug_of(&given, "2"), "etc-passwd");
        assert!(slug_of(&given, "3").starts_with("app-"));
        assert!(slug_of(&given, "4").starts_with("app-"));
        assert_eq!(slug_of(&given, "5"), "a-b-c");
        assert_eq!(slug_of(&given, "6"), "berraschung");
        assert!(slug_of(&given, "7").starts_with("app-"));
    }

    #[test]
    fn on_a_collision_the_holder_keeps_the_plain_name_even_against_a_smaller_id() {
        let first = round(&Previous::new(), &[("b", "Orders")]);
        let both = round(&first, &[("a", "orders!"), ("b", "Orders")]);
        assert_eq!(slug_of(&both, "b"), "orders");
        assert!(slug_of(&both, "a").starts_with("orders-"));
        let alone = round(&both, &[("a", "orders!")]);
        assert_eq!(alone["a"], both["a"], "it keeps its suffix when the other goes");
    }

    #[test]
    fn names_that_are_swapped_swap_their_folders() {
        let first = round(&Previous::new(), &[("a", "One"), ("b", "Two")]);
        let swapped = round(&first, &[("a", "Two"), ("b", "One")]);
        assert_eq!((slug_of(&swapped, "a"), slug_of(&swapped, "b")), ("two", "one"));
    }

    #[test]
    fn names_that_spell_another_ones_suffix_get_another_folder() {
        let suffix = round(&Previous::new(), &[("a", "x"), ("b", "x")]);
        let stolen = slug_of(&suffix, "b").to_owned();
        let given = round(&Previous::new(), &[("a", "x"), ("b", "x"), ("c", &stolen)]);
        assert_eq!(slug_of(&given, "c"), stolen);
        assert_ne!(slug_of(&given, "b"), stolen);
    }

    #[test]
    fn a_damaged_record_that_gives_one_slug_twice_is_put_right() {
        let x = Slug::try_from("x".to_owned()).unwrap();
        let previous = ["a", "b"].map(|id| (id.to_owned(), ("X".to_owned(), x.clone()))).into();
        let given = round(&previous, &[("a", "X"), ("b", "X")]);
        assert_ne!(given["a"].1, given["b"].1);
    }

    fn name() -> impl Strategy<Value = String> {
        prop_oneof![
            3 => "[abAB ./_-]{0,3}",
            1 => any::<String>(),
            1 => "[ab]{95,130}",
            // A suffix that one of the ids below would get.
            1 => ("[ab]", "[0-9]").prop_map(|(base, id)| format!("{base}-{}", &hash(&id, 0)[..SUFFIX_DIGITS])),
        ]
    }

    fn names() -> impl Strategy<Value = BTreeMap<String, String>> {
        prop::collection::btree_map("[0-9]", name(), 0..8)
    }

    proptest! {
        #[test]
        fn slugs_are_valid_and_nobody_shares_one(rounds in prop::collection::vec(names(), 1..5)) {
            let mut given = Previous::new();
            for wanted in rounds {
                given = record(&given, wanted.clone().into_iter().collect());
                prop_assert_eq!(given.len(), wanted.len());
                let slugs: BTreeSet<_> = given.values().map(|(_, slug)| slug.clone()).collect();
                prop_assert_eq!(slugs.len(), wanted.len());
                for slug in slugs {
                    prop_assert!(Slug::try_from(String::from(slug)).is_ok());
                }
            }
        }

        #[test]
        fn the_order_of_the_list_does_not_matter(
            before in names(),
            (sorted, shuffled) in names().prop_flat_map(|names| {
                let list: Vec<_> = names.into_iter().collect();
                (Just(list.clone()), Just(list).prop_shuffle())
            }),
        ) {
            let previous = record(&Previous::new(), before.into_iter().collect());
            prop_assert_eq!(record(&previous, sorted), record(&previous, shuffled));
        }

        #[test]
        fn whoever_keeps_its_name_keeps_its_folder_whatever_others_do(before in names(), after in names()) {
            let first = record(&Previous::new(), before.clone().into_iter().collect());
            let mut wanted = after;
            for (id, name) in before.iter().take(3) {
                wanted.insert(id.clone(), name.clone());
            }
            let second = record(&first, wanted.into_iter().collect());
            for id in before.keys().take(3) {
                prop_assert_eq!(&first[id].1, &second[id].1);
            }
        }

        #[test]
        fn what_was_given_is_given_again(before in names(), after in names()) {
            let first = record(&Previous::new(), before.into_iter().collect());
            let second = record(&first, after.clone().into_iter().collect());
            prop_assert_eq!(record(&second, after.into_iter().collect()), second);
        }

        #[test]
        fn without_a_collision_a_slug_depends_on_nobody_else(names in names()) {
            let together = record(&Previous::new(), names.clone().into_iter().collect());
            for (id, name) in &names {
                let own = plain("app", id, name);
                let collides = names.iter().any(|(other, theirs)| other != id && plain("app", other, theirs) == own);
                if !collides {
                    prop_assert_eq!(&together[id].1, &own);
                }
            }
        }
    }
}
