//! What the Connector answers to a signing request, and whether it may be used.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rcgen::PublicKeyData as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use x509_cert::der::Decode as _;

use super::{CertificateError, Leaf, PrivateKey, Subject};

/// A certificate that fits the key it was asked for with, and whose chain holds.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The leaf alone, PEM.
    pub leaf_pem: String,
    /// Leaf and intermediates, PEM: what is shown in a TLS handshake.
    pub chain_pem: String,
    /// The CA that issued it, PEM. It is no trust anchor for servers.
    pub ca_pem: String,
    /// What the leaf says.
    pub leaf: Leaf,
}

/// Why an answer of the Connector is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssuedError {
    /// A field is not base64 of PEM.
    #[error("the field {0} of the answer is not base64 of PEM certificates")]
    Encoding(&'static str),
    /// The leaf cannot be read.
    #[error("the certificate cannot be used: {0}")]
    Certificate(#[from] CertificateError),
    /// The certificate is for another key.
    #[error("the certificate is for another key than the one that was asked for")]
    OtherKey,
    /// The certificate is for another subject.
    #[error("the certificate is for the subject \u{201c}{0}\u{201d}, which is not the one that was asked for")]
    OtherSubject(String),
    /// The chain does not lead from the leaf to the CA, or the certificate is not for TLS clients.
    #[error("the certificate cannot be verified: {0}")]
    Chain(String),
    /// It is expired already.
    #[error("the certificate was valid until {0}, which is over by this host's clock")]
    Expired(Timestamp),
}

impl Issued {
    /// Takes the three fields of the Connector's answer, and checks them: the leaf is for `key` and `subject`, the
    /// chain leads from it to the CA, it is for TLS clients and not expired. A leaf that is not valid yet is accepted:
    /// the Connector does not back-date, and this host's clock may be behind.
    ///
    /// # Errors
    /// When one of these does not hold.
    pub fn verify(
        client_certificate: &str,
        certificate_chain: &str,
        ca_certificate: &str,
        key: &PrivateKey,
        subject: &Subject,
        now: Timestamp,
    ) -> Result<Self, IssuedError> {
        let leaf_pem = decode(client_certificate, "clientCertificate")?;
        let chain_pem = decode(certificate_chain, "certificateChain")?;
        let ca_pem = decode(ca_certificate, "caCertificate")?;
        let leaf_der = certificates(&leaf_pem, "clientCertificate")?.remove(0);
        let mut chain = certificates(&chain_pem, "certificateChain")?;
        let anchors = certificates(&ca_pem, "caCertificate")?;

        let leaf = Leaf::from_der(&leaf_der)?;
        if leaf.public_key != key.pair().subject_public_key_info() {
            return Err(IssuedError::OtherKey);
        }
        let parsed = x509_cert::Certificate::from_der(&leaf_der).map_err(CertificateError::from)?;
        if !same_attributes(parsed.tbs_certificate().subject(), subject.name()) {
            return Err(IssuedError::OtherSubject(crate::transport::excerpt(&leaf.subject, &[])));
        }
        if leaf.not_after <= now {
            return Err(IssuedError::Expired(leaf.not_after));
        }
        if chain.first() != Some(&leaf_der) {
            chain.insert(0, leaf_der.clone());
        }
        verify_chain(&leaf_der, &chain[1..], anchors, now.max(leaf.not_before))?;
        // What is shown to servers: leaf first, whatever the answer's own order was.
        let chain_pem = chain.iter().map(pem).collect();
        Ok(Self { leaf_pem, chain_pem, ca_pem, leaf })
    }
}

fn decode(field: &str, name: &'static str) -> Result<String, IssuedError> {
    let joined: Vec<u8> = field.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(joined).ok().and_then(|pem| String::from_utf8(pem).ok()).ok_or(IssuedError::Encoding(name))
}

fn certificates(pem: &str, name: &'static str) -> Result<Vec<CertificateDer<'static>>, IssuedError> {
    let parsed = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    parsed.ok().filter(|certificates| !certificates.is_empty()).ok_or(IssuedError::Encoding(name))
}

fn pem(der: &CertificateDer<'static>) -> String {
    let encoded = STANDARD.encode(der);
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in encoded.as_bytes().chunks(64) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

/// The same attributes with the same values, whatever their order and string types: the Connector rebuilds the name.
fn same_attributes(a: &x509_cert::name::Name, b: &x509_cert::name::Name) -> bool {
    let sorted = |name: &x509_cert::name::Name| {
        let mut all: Vec<_> = name.iter().map(|part| (part.oid, part.value.value().to_vec())).collect();
        all.sort();
        all
    };
    sorted(a) == sorted(b)
}

fn verify_chain(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    anchors: Vec<CertificateDer<'static>>,
    at: Timestamp,
) -> Result<(), IssuedError> {
    let chain = |error: &dyn std::fmt::Display| IssuedError::Chain(error.to_string());
    let mut roots = rustls::RootCertStore::empty();
    for anchor in anchors {
        roots.add(anchor).map_err(|error| chain(&error))?;
    }
    // The check that a server makes of a client's certificate is just the one that is wanted here: signatures up to
    // the CA, validity, and the extended key usage clientAuth.
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().map_err(|error| chain(&error))?;
    let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(at.as_second().max(0).unsigned_abs()));
    verifier.verify_client_cert(leaf, intermediates, at).map_err(|error| chain(&error))?;
    Ok(())
}
