//! The APIs of a plan, and the keys under which their URLs are handed out.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::SecretString;

use crate::ids::DefinitionId;
use crate::output::names::suffixes;
use crate::snapshot::ApiDefinition;

/// What is the key of an API without a name, before its suffix.
const NAMELESS: &str = "api";

/// An API that is called with a plan's credentials.
#[derive(Debug, Clone)]
pub struct Api {
    /// Its identity.
    pub id: DefinitionId,
    /// Its name, which others of the plan can have too.
    pub name: Box<str>,
    /// Where it is called. Some URLs hold a password.
    pub url: SecretString,
}

impl From<&ApiDefinition> for Api {
    fn from(api: &ApiDefinition) -> Self {
        Self { id: api.id.clone(), name: api.name.clone(), url: SecretString::from(&*api.target_url) }
    }
}

/// The URLs by the names of their APIs.
///
/// Of APIs that share a name, each has its name, `-`, and the first digits of its id's hash, and none has the name alone:
/// a caller that knew one of them by that must not reach another instead. So a key depends on nothing but the API and
/// whether it shares its name.
pub fn target_urls(apis: &[Api]) -> BTreeMap<String, &SecretString> {
    let apis: BTreeMap<_, _> = apis.iter().map(|api| (&api.id, api)).collect();
    let mut by_name: BTreeMap<&str, Vec<&Api>> = BTreeMap::new();
    for api in apis.values() {
        by_name.entry(&api.name).or_default().push(api);
    }
    let (alone, shared): (Vec<_>, Vec<_>) =
        by_name.into_iter().partition(|(name, apis)| apis.len() == 1 && !name.trim().is_empty());
    // Names go before suffixes, and no suffix makes a name that somebody has, or had before it was shared.
    let names: BTreeSet<_> = shared.iter().map(|(name, _)| *name).collect();
    let mut urls: BTreeMap<_, _> =
        alone.into_iter().flat_map(|(name, apis)| apis.into_iter().map(|api| (name.to_owned(), &api.url))).collect();
    for (name, apis) in &shared {
        let base = if name.trim().is_empty() { NAMELESS } else { name };
        for api in apis {
            let mut keys = suffixes(&api.id).map(|suffix| format!("{base}-{suffix}"));
            let free = keys.find(|key| !urls.contains_key(key) && !names.contains(key.as_str()));
            // The candidates never end and never repeat; what is taken is finite.
            urls.insert(free.expect("an endless sequence has an element outside a finite set"), &api.url);
        }
    }
    urls
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::snapshot::example;

    fn api(id: &str, name: &str) -> Api {
        Api::from(&example::api(id, name, &format!("https://example.com/{id}")))
    }

    fn keys(apis: &[Api]) -> BTreeMap<String, String> {
        let urls = target_urls(apis).into_iter();
        urls.map(|(key, url)| (url.expose_secret().rsplit('/').next().unwrap().to_owned(), key)).collect()
    }

    #[test]
    fn an_api_has_its_own_name_as_long_as_it_has_it_alone() {
        let alone = keys(&[api("1", "Orders & more"), api("2", "orders")]);
        assert_eq!(alone["1"], "Orders & more");
        assert_eq!(alone["2"], "orders");
    }

    #[test]
    fn of_apis_with_one_name_each_is_reached_and_none_by_the_name_alone() {
        let two = keys(&[api("1", "Orders"), api("2", "Orders"), api("3", "Other")]);
        assert!(two["1"].starts_with("Orders-") && two["2"].starts_with("Orders-"), "{two:?}");
        assert_ne!(two["1"], two["2"]);
        let three = keys(&[api("0", "Orders"), api("1", "Orders"), api("2", "Orders")]);
        assert_eq!((&three["1"], &three["2"]), (&two["1"], &two["2"]), "a third one changes nothing");
    }

    #[test]
    fn a_name_that_spells_the_suffix_of_another_keeps_it() {
        let suffixed = keys(&[api("1", "x"), api("2", "x")])["1"].clone();
        let given = keys(&[api("1", "x"), api("2", "x"), api("3", &suffixed)]);
        assert_eq!(given["3"], suffixed);
        assert_ne!(given["1"], suffixed);
        assert_eq!(given.len(), 3);
    }

    #[test]
    fn an_api_without_a_name_has_a_key() {
        let given = keys(&[api("1", ""), api("2", " ")]);
        assert!(given.values().all(|key| key.starts_with("api-")), "{given:?}");
    }

    #[test]
    fn a_url_is_not_printed() {
        let api = Api::from(&example::api("1", "x", "https://user:canary@example.com"));
        assert!(!format!("{api:?}").contains("canary"));
    }

    proptest! {
        #[test]
        fn every_api_is_reached_in_whatever_order_they_come(
            (sorted, shuffled) in prop::collection::btree_map("[0-9]", "[xX -]{0,2}|x-[0-9a-f]{8}|\\PC", 0..8)
                .prop_flat_map(|names| {
                    let apis: Vec<_> = names.into_iter().map(|(id, name)| api(&id, &name)).collect();
                    (Just(apis.clone()), Just(apis).prop_shuffle())
                }),
        ) {
            let given = keys(&sorted);
            prop_assert_eq!(given.len(), sorted.len());
            prop_assert_eq!(&given.values().collect::<BTreeSet<_>>().len(), &sorted.len());
            prop_assert_eq!(given, keys(&shuffled));
        }
    }
}
