//! `slug`: a name for a file, as folders are named.

use minijinja::{Error, Value};

use super::super::output::refuse;
use super::text;
use crate::output::names::spelt;

/// The slug that a text spells; two texts can spell the same.
pub(super) fn slug(value: &Value) -> Result<String, Error> {
    let slug = spelt(&text(value)?);
    slug.map(String::from).ok_or_else(|| refuse("it holds no ASCII letter and no digit, of which a slug is made"))
}

#[cfg(test)]
mod tests {
    use super::super::call;

    #[test]
    fn a_slug_is_made_as_folders_are_named() {
        assert_eq!(call("slug", "SAP Commerce (EU-10)").unwrap(), "sap-commerce-eu-10");
        assert!(call("slug", "../..").unwrap_err().contains("no ASCII letter"));
    }
}
