//! Whatever a Connector takes for a certificate, only what its CA signed for this key and subject is used.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use runtime_agent::identity::{Issued, IssuedError, Leaf, Subject};
use secrecy::ExposeSecret as _;
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Encode as _};

use super::fits_a_line;
use super::subject::key;

/// A sentence of our own, with what a library says and an excerpt of 240 characters in it at the most.
const LONGEST: usize = 1_000;

/// What was asked for.
const SUBJECT: &str = "CN=host-1";

/// A leaf for the key and the subject, and the CA that issued it, in DER.
struct Genuine {
    leaf: Vec<u8>,
    ca: Vec<u8>,
    subject: Subject,
    now: Timestamp,
}

fn genuine() -> &'static Genuine {
    static GENUINE: OnceLock<Genuine> = OnceLock::new();
    GENUINE.get_or_init(|| make().expect("certificates can be made"))
}

fn make() -> Result<Genuine, rcgen::Error> {
    let dated = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        (params.not_before, params.not_after) = (rcgen::date_time_ymd(2025, 1, 1), rcgen::date_time_ymd(2035, 1, 1));
        params.serial_number = Some(1u64.into());
        params
    };
    let mut of_ca = dated("CA");
    of_ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate()?;
    let ca = of_ca.self_signed(&ca_key)?;
    let mut of_leaf = dated("host-1");
    of_leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let leaf_key = KeyPair::from_pem(key().to_pem().expose_secret())?;
    let leaf = of_leaf.signed_by(&leaf_key, &Issuer::new(of_ca, ca_key))?;
    Ok(Genuine {
        leaf: leaf.der().to_vec(),
        ca: ca.der().to_vec(),
        subject: SUBJECT.parse().expect("it is a subject"),
        now: "2026-01-01T00:00:00Z".parse().expect("it is a time"),
    })
}

/// Takes `case` for certificates, in PEM and in DER, and for a list of changes to genuine ones.
///
/// # Panics
/// When a promise is broken.
pub fn hold(case: &[u8]) {
    for read in [Leaf::from_pem(case), Leaf::from_der(case)] {
        match read {
            Ok(leaf) => shown(&leaf),
            Err(error) => fits_a_line(&error.to_string(), LONGEST),
        }
    }
    let Genuine { leaf, ca, .. } = genuine();
    let (changed_leaf, changed_ca) = changed(case, leaf, ca);
    let [raw, der, leaf, ca] =
        [case.to_vec(), pem(case), pem(&changed_leaf), pem(&changed_ca)].map(|pem| STANDARD.encode(pem));
    for (client, chain, anchor) in [
        (&leaf, &leaf, &ca),
        (&leaf, &raw, &ca),
        (&leaf, &der, &ca),
        (&leaf, &leaf, &raw),
        (&leaf, &leaf, &der),
        (&raw, &raw, &raw),
        (&der, &leaf, &ca),
    ] {
        judged(client, chain, anchor);
    }
    // The fields as they stand, without the Base64 that they should be.
    let text = String::from_utf8_lossy(case);
    judged(&text, &text, &text);
}

fn verify(client: &str, chain: &str, anchor: &str) -> Result<Issued, IssuedError> {
    let Genuine { subject, now, .. } = genuine();
    Issued::verify(client, chain, anchor, key(), subject, *now)
}

fn judged(client: &str, chain: &str, anchor: &str) {
    let issued = match verify(client, chain, anchor) {
        Ok(issued) => issued,
        Err(error) => {
            fits_a_line(&error.to_string(), LONGEST);
            let again = verify(client, chain, anchor).map(drop).map_err(|error| error.to_string());
            assert_eq!(again, Err(error.to_string()), "the same answer is judged otherwise");
            return;
        }
    };
    shown(&issued.leaf);
    // What the CA signed is what is used, byte by byte.
    let signed = |der: &[u8]| Certificate::from_der(der).ok()?.tbs_certificate().to_der().ok();
    let used = first_der(&issued.leaf_pem);
    assert_eq!(signed(&used), signed(&genuine().leaf), "a certificate is used that nobody signed");
    assert!(first_der(&issued.chain_pem) == used, "the chain does not begin with the leaf");
    let [client, chain, anchor] = [&issued.leaf_pem, &issued.chain_pem, &issued.ca_pem].map(|pem| STANDARD.encode(pem));
    let again = verify(&client, &chain, &anchor).expect("what was taken is taken again");
    assert_eq!((&again.leaf, &again.chain_pem), (&issued.leaf, &issued.chain_pem));
}

/// The first certificate of a text.
fn first_der(pem: &str) -> Vec<u8> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("there is a certificate").to_vec()
}

/// What people are shown of a certificate is fit for a line, and not without end.
fn shown(leaf: &Leaf) {
    for text in [&leaf.subject, &leaf.issuer] {
        assert!(!text.contains(char::is_control), "what is shown is not fit for a line: {text:?}");
    }
    assert_eq!((leaf.fingerprint.len(), leaf.public_key_fingerprint().len()), (64, 64));
}

fn pem(der: &[u8]) -> Vec<u8> {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der)).into_bytes()
}

/// The genuine certificates with changes: a line says `leaf` or `ca`, the place of a byte, and what is there instead, in
/// hexadecimal digits.
fn changed(case: &[u8], leaf: &[u8], ca: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut leaf, mut ca) = (leaf.to_vec(), ca.to_vec());
    for line in case.split(|byte| *byte == b'\n').take(16) {
        let Ok(line) = std::str::from_utf8(line) else { continue };
        let mut words = line.split(' ');
        let which = match words.next() {
            Some("leaf") => &mut leaf,
            Some("ca") => &mut ca,
            _ => continue,
        };
        let Some(at) = words.next().and_then(|word| word.parse::<usize>().ok()) else { continue };
        let digits = words.next().unwrap_or_default().as_bytes();
        let bytes = digits.chunks(2).filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        for (place, byte) in which.iter_mut().skip(at).zip(bytes) {
            *place = byte;
        }
    }
    (leaf, ca)
}
