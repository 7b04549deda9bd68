//! Certificate signing requests (PKCS#10, RFC 2986).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{PublicKeyData as _, SigningKey as _};
use x509_cert::der::asn1::BitString;
use x509_cert::der::pem::LineEnding;
use x509_cert::der::{Any, Decode as _, Encode as _, EncodePem as _};
use x509_cert::request::{CertReq, CertReqInfo, Version};
use x509_cert::spki::{AlgorithmIdentifierOwned, ObjectIdentifier, SubjectPublicKeyInfoOwned};

use super::{KeyAlgorithm, PrivateKey, Subject};

/// Why no signing request could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CsrError {
    /// The key cannot sign.
    #[error("the new key cannot sign the request: {0}")]
    Sign(#[from] rcgen::Error),
    /// The request cannot be encoded.
    #[error("the signing request cannot be encoded: {0}")]
    Encode(#[from] x509_cert::der::Error),
}

/// sha256WithRSAEncryption (RFC 4055, section 5)
const SHA256_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
/// ecdsa-with-SHA256 (RFC 5758, section 3.2)
const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
/// ecdsa-with-SHA384 (RFC 5758, section 3.2)
const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");

/// A signing request for `subject`, signed by `key`, in the form that the Connector takes: base64 of PEM.
///
/// # Errors
/// When the subject cannot be encoded or the key cannot sign.
pub fn encode(subject: &Subject, key: &PrivateKey) -> Result<String, CsrError> {
    Ok(STANDARD.encode(to_pem(subject, key)?))
}

fn to_pem(subject: &Subject, key: &PrivateKey) -> Result<String, CsrError> {
    let info = CertReqInfo {
        version: Version::V1,
        subject: subject.name().clone(),
        public_key: SubjectPublicKeyInfoOwned::from_der(&key.pair().subject_public_key_info())?,
        attributes: Default::default(),
    };
    let signature = key.pair().sign(&info.to_der()?)?;
    // RSA wants an explicit NULL for parameters, ECDSA none at all.
    let (oid, parameters) = match key.algorithm() {
        KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => (SHA256_WITH_RSA, Some(Any::null())),
        KeyAlgorithm::EcdsaP256 => (ECDSA_WITH_SHA256, None),
        KeyAlgorithm::EcdsaP384 => (ECDSA_WITH_SHA384, None),
    };
    let request = CertReq {
        info,
        algorithm: AlgorithmIdentifierOwned { oid, parameters },
        signature: BitString::from_bytes(&signature)?,
    };
    Ok(request.to_pem(LineEnding::LF)?)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    /// What OpenSSL makes of a request: its verdict on the signature, and the subject in the encoded order.
    fn openssl(pem: &str) -> String {
        let mut child = Command::new("openssl")
            .args(["req", "-verify", "-noout", "-subject", "-nameopt", "oneline,-esc_msb,utf8"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("this test needs the command openssl");
        child.stdin.take().unwrap().write_all(pem.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(text.contains("verify OK"), "{text}");
        text.lines().find_map(|line| line.strip_prefix("subject=")).unwrap().trim().to_owned()
    }

    #[test]
    fn openssl_verifies_every_kind_of_request_and_reads_the_subject_as_it_was_written() {
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        for (written, read) in [
            (
                "O=Org,OU=OrgUnit,L=Locality,ST=State,C=PL,CN=3a1f",
                "O = Org, OU = OrgUnit, L = Locality, ST = State, C = PL, CN = 3a1f",
            ),
            ("CN=a=b/c, OU=one, OU=two", "CN = a=b/c, OU = one, OU = two"),
            (r"O=Org\, Inc,CN=x", r#"O = "Org, Inc", CN = x"#),
            (r"O=a\+b\ ,CN=Ärger\20", r#"O = "a+b ", CN = "Ärger ""#),
            (r"OU=Sales+CN=J,2.5.4.10=by number", r"CN = J + OU = Sales, O = by number"),
            (r"CN=quoted \C3\A9", "CN = quoted é"),
        ] {
            let subject: Subject = written.parse().unwrap();
            assert_eq!(openssl(&to_pem(&subject, &key).unwrap()), read, "{written}");
        }
        for algorithm in [KeyAlgorithm::Rsa2048, KeyAlgorithm::EcdsaP384] {
            let key = PrivateKey::generate(algorithm).unwrap();
            openssl(&to_pem(&"CN=x,C=PL".parse().unwrap(), &key).unwrap());
        }
    }

    #[test]
    fn what_is_no_subject_is_refused_with_the_part_that_is_wrong() {
        for wrong in ["", "  ", "CN", "CN=", "NOSUCHTYPE=x", "CN=a,,O=b", r"CN=\zz", r"CN=\FF"] {
            assert!(wrong.parse::<Subject>().is_err(), "{wrong:?}");
        }
    }
}
