//! What a certificate says.

use aws_lc_rs::digest;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Encode as _};

/// Why a certificate cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// It is not PEM, or there is no certificate in it.
    #[error("there is no certificate in PEM form in it")]
    NoPem,
    /// It is PEM, and not X.509.
    #[error("it is not an X.509 certificate: {0}")]
    Malformed(#[from] x509_cert::der::Error),
}

/// The leaf certificate that this host shows, as far as the agent and its user care.
///
/// The serial number is not among it: the Connector gives every certificate the same one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The subject, in the order in which it is encoded.
    pub subject: String,
    /// The issuer, likewise.
    pub issuer: String,
    /// From when on it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// SHA-256 of the certificate, in hexadecimal digits.
    pub fingerprint: String,
    /// The public key (SubjectPublicKeyInfo, DER).
    pub public_key: Vec<u8>,
}

impl Leaf {
    /// Reads the first certificate of a PEM text.
    ///
    /// # Errors
    /// When there is none.
    pub fn from_pem(pem: &[u8]) -> Result<Self, CertificateError> {
        let der = CertificateDer::pem_slice_iter(pem).next().and_then(Result::ok).ok_or(CertificateError::NoPem)?;
        Self::from_der(&der)
    }

    /// Reads a certificate.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let certificate = Certificate::from_der(der)?;
        let certificate = certificate.tbs_certificate();
        let written =
            |name: &x509_cert::name::Name| name.iter_rdn().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let instant =
            |time: x509_cert::time::Time| Timestamp::try_from(time.to_system_time()).unwrap_or(Timestamp::MAX);
        Ok(Self {
            subject: written(certificate.subject()),
            issuer: written(certificate.issuer()),
            not_before: instant(certificate.validity().not_before),
            not_after: instant(certificate.validity().not_after),
            fingerprint: sha256(der),
            public_key: certificate.subject_public_key_info().to_der()?,
        })
    }

    /// SHA-256 of the public key, in hexadecimal digits.
    pub fn public_key_fingerprint(&self) -> String {
        sha256(&self.public_key)
    }
}

fn sha256(bytes: &[u8]) -> String {
    digest::digest(&digest::SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
