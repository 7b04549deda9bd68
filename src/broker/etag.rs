//! The entity tag of an answer, and whether a client that names tags has that answer already.

use std::fmt;

use aws_lc_rs::digest;

use crate::snapshot::Sha256;

/// A strong entity tag: the SHA-256 of the bytes, in quotes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ETag(Box<str>);

impl ETag {
    /// The tag of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(bytes);
        Self(format!("\"{}\"", Sha256::of(context)).into())
    }

    /// The tag as the header `ETag` has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the fields `If-None-Match` of a request name this tag, so that the answer is 304 (RFC 9110, section
    /// 13.1.2). Tags are compared weakly. What comes after something that is no tag does not count: an answer too many
    /// is better than one too few.
    pub fn is_named_by<'a>(&self, fields: impl IntoIterator<Item = &'a [u8]>) -> bool {
        fields.into_iter().any(|field| field.trim_ascii() == b"*" || Tags(field).any(|tag| tag == self.0.as_bytes()))
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The entity tags of a list, in their quotes and without `W/`, up to the first thing that is none.
struct Tags<'a>(&'a [u8]);

impl<'a> Iterator for Tags<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let from = self.0.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b','))?;
        let text = &self.0[from..];
        let text = text.strip_prefix(b"W/").unwrap_or(text);
        // A comma can stand inside a tag, and a quote cannot.
        let inside = text.strip_prefix(b"\"")?;
        let end = inside.iter().position(|byte| *byte == b'"')? + 2;
        let rest = text[end..].trim_ascii_start();
        if !rest.is_empty() && !rest.starts_with(b",") {
            return None;
        }
        self.0 = rest;
        Some(&text[..end])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn named(tag: &ETag, field: &str) -> bool {
        tag.is_named_by([field.as_bytes()])
    }

    #[test]
    fn a_tag_is_found_alone_in_lists_weak_and_as_any() {
        let tag = ETag::of(b"x");
        assert_eq!(tag.as_str().len(), 66);
        let fields = ["*", " * ", "T", "W/T", "\"a\", T", ", ,\"a,b\" ,\tW/\"\",W/T , \"c\"", "\"\",T", "T, junk"];
        for field in fields {
            assert!(named(&tag, &field.replace('T', tag.as_str())), "{field}");
        }
        assert!(tag.is_named_by([b"\"a\"".as_slice(), tag.as_str().as_bytes()]), "in the second field");
    }

    #[test]
    fn nothing_else_is_taken_for_it() {
        let tag = ETag::of(b"x");
        let bare = tag.as_str().trim_matches('"');
        let fields =
            ["", " ", ",", "U", "w/T", "\"T", "\"a\" T", "\"a\", *", "\"a, T", "W/ T", "\"W/U\"", "junk, T", "TT"];
        for field in fields {
            let field = field.replace('T', tag.as_str()).replace('U', bare);
            assert!(!named(&tag, &field), "{field}");
        }
        assert!(!tag.is_named_by([]));
        assert!(!named(&ETag::of(b"y"), tag.as_str()));
        assert!(!tag.is_named_by([b"\"\xff\"".as_slice()]));
    }

    proptest! {
        #[test]
        fn among_any_tags_it_is_found_where_it_is(
            others in prop::collection::vec("(W/)?\"[!#-~]{0,5}\"", 0..5),
            at in any::<prop::sample::Index>(),
            space in "[ \t]{0,2}",
        ) {
            let tag = ETag::of(b"x");
            let separator = format!("{space},{space}");
            prop_assert!(!named(&tag, &others.join(&separator)));
            let mut list = others;
            list.insert(at.index(list.len() + 1), tag.to_string());
            prop_assert!(named(&tag, &list.join(&separator)));
        }

        #[test]
        fn no_bytes_are_too_strange(field in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(ETag::of(b"x").is_named_by([field.as_slice()]), field.trim_ascii() == b"*");
        }
    }
}
