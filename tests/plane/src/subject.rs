//! The subject that the Connector asks for, and the one that a certificate request brings.

use der::{Tag, Tagged, oid::ObjectIdentifier};
use x509_cert::name::Name;

/// The attributes that are compared, by their short names.
const COMPARED: [(&str, ObjectIdentifier); 6] = [
    ("CN", ObjectIdentifier::new_unwrap("2.5.4.3")),
    ("C", ObjectIdentifier::new_unwrap("2.5.4.6")),
    ("L", ObjectIdentifier::new_unwrap("2.5.4.7")),
    ("ST", ObjectIdentifier::new_unwrap("2.5.4.8")),
    ("O", ObjectIdentifier::new_unwrap("2.5.4.10")),
    ("OU", ObjectIdentifier::new_unwrap("2.5.4.11")),
];

/// A subject as it was announced: RFC 4514 attributes in the order in which they are written.
#[derive(Clone, Debug)]
pub(crate) struct Subject(Vec<String>);

impl Subject {
    pub(crate) fn new(attributes: &[String], common_name: &str, shuffled: bool) -> Self {
        let mut attributes = attributes.to_vec();
        attributes.push(format!("CN={common_name}"));
        if shuffled {
            fastrand::shuffle(&mut attributes);
        }
        Self(attributes)
    }

    /// The string in `certificateSigningRequestInfo.subject`.
    pub(crate) fn text(&self) -> String {
        self.0.join(",")
    }

    /// Compares the common name and the first of each other attribute with a request's.
    pub(crate) fn check(&self, name: &Name) -> Result<(), String> {
        for (short, oid) in COMPARED {
            let wanted = self.0.iter().find_map(|attribute| {
                let (kind, value) = attribute.split_once('=')?;
                kind.eq_ignore_ascii_case(short).then(|| unescape(value))
            });
            let brought = first(name, oid);
            if wanted != brought {
                let brought = brought.unwrap_or_default();
                let wanted = wanted.unwrap_or_default();
                return Err(format!("CSR: Invalid subject provided: {short} is \"{brought}\", expected \"{wanted}\""));
            }
        }
        Ok(())
    }
}

/// The common name of a certificate's subject.
pub(crate) fn common_name(name: &Name) -> Option<String> {
    first(name, COMPARED[0].1)
}

fn first(name: &Name, oid: ObjectIdentifier) -> Option<String> {
    let attribute = name.iter().find(|attribute| attribute.oid == oid)?;
    let value = &attribute.value;
    match value.tag() {
        Tag::BmpString => {
            let units: Vec<u16> =
                value.value().chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            String::from_utf16(&units).ok()
        }
        _ => String::from_utf8(value.value().to_vec()).ok(),
    }
}

/// Undoes the escapes of RFC 4514: a backslash before a special character or before two hexadecimal digits.
fn unescape(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let hex = rest
            .get(..2)
            .and_then(|pair| std::str::from_utf8(pair).ok())
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        if let Some(decoded) = hex {
            bytes.push(decoded);
            rest = &rest[2..];
        } else if let Some((&escaped, after)) = rest.split_first() {
            bytes.push(escaped);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone() {
        assert_eq!(unescape(r"Org\, Inc"), "Org, Inc");
        assert_eq!(unescape(r"a\3Db\\c"), r"a=b\c");
        assert_eq!(unescape(r"Z\C3\BCrich"), "Zürich");
    }

    #[test]
    fn the_first_of_a_repeated_attribute_counts() {
        let subject = Subject::new(&["OU=A".into(), "OU=B".into()], "x", false);
        let name: Name = "CN=x,OU=B,OU=A".parse().expect("a well-formed name");
        let reversed: Name = "OU=A,OU=B,CN=x".parse().expect("a well-formed name");
        let verdicts = [subject.check(&name).is_ok(), subject.check(&reversed).is_ok()];
        assert_eq!(verdicts.iter().filter(|accepted| **accepted).count(), 1);
    }
}
