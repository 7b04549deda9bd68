//! The two certificate authorities: one for the servers' certificates, one that issues client certificates.

use std::{sync::Arc, time::Duration};

use der::{DateTime, Decode, Encode, Sequence, asn1::BitString, oid::ObjectIdentifier};
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize, SigningKey,
};
use rustls::{
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
    sign::CertifiedKey,
};
use x509_cert::{
    Certificate,
    ext::{
        Extension, ToExtension,
        pkix::{AuthorityKeyIdentifier, ExtendedKeyUsage, KeyUsage, KeyUsages},
    },
    name::Name,
    spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned},
    time::{Time, Validity},
};

use crate::{Error, ServerCertificate};

/// sha256WithRSAEncryption.
pub(crate) const SHA256_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
const KEY_ID: &[u8] = b"plane-client-authority";

/// The server certificates that a listener can show, and the authority that clients are to trust.
pub(crate) struct ServerCertificates {
    /// The authority, as PEM.
    pub(crate) ca_pem: String,
    good: Arc<CertifiedKey>,
    wrong_name: Arc<CertifiedKey>,
    expired: Arc<CertifiedKey>,
    untrusted: Arc<CertifiedKey>,
}

impl ServerCertificates {
    pub(crate) fn new() -> Result<Self, Error> {
        let (issuer, ca_pem) = server_authority("Plane Server CA")?;
        let (stranger, _) = server_authority("Nobody's Server CA")?;
        let here = ["127.0.0.1", "localhost"];
        Ok(Self {
            ca_pem,
            good: server_certificate(&issuer, &here, (2020, 2100))?,
            wrong_name: server_certificate(&issuer, &["elsewhere.example"], (2020, 2100))?,
            expired: server_certificate(&issuer, &here, (2020, 2021))?,
            untrusted: server_certificate(&stranger, &here, (2020, 2100))?,
        })
    }

    pub(crate) fn choose(&self, certificate: ServerCertificate) -> Arc<CertifiedKey> {
        Arc::clone(match certificate {
            ServerCertificate::Good => &self.good,
            ServerCertificate::WrongName => &self.wrong_name,
            ServerCertificate::Expired => &self.expired,
            ServerCertificate::Untrusted => &self.untrusted,
        })
    }
}

fn server_authority(name: &str) -> Result<(Issuer<'static, KeyPair>, String), Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let params = authority_params(name);
    let pem = params.self_signed(&key)?.pem();
    Ok((Issuer::new(params, key), pem))
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Simulated Plane");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn server_certificate(
    issuer: &Issuer<'_, KeyPair>,
    names: &[&str],
    years: (i32, i32),
) -> Result<Arc<CertifiedKey>, Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Simulated Plane");
    params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, issuer)?;
    let private =
        PrivateKeyDer::try_from(key.serialize_der()).map_err(|error| Error::Certificates(error.to_owned()))?;
    let signer = aws_lc_rs::sign::any_supported_type(&private)?;
    Ok(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], signer)))
}

/// The authority that issues client certificates.
pub(crate) struct ClientAuthority {
    key: KeyPair,
    name: Name,
    der: CertificateDer<'static>,
    pem: String,
    root_pem: String,
}

/// The three fields of `CertificationResult`, as PEM, and the leaf.
pub(crate) struct Issued {
    pub(crate) leaf: CertificateDer<'static>,
    pub(crate) leaf_pem: String,
    pub(crate) ca_pem: String,
    pub(crate) chain_pem: String,
}

impl ClientAuthority {
    /// A new authority below a new root; takes a while, for its RSA key.
    pub(crate) fn new() -> Result<Self, Error> {
        let root_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let root_params = authority_params("Plane Client Root");
        let root_pem = root_params.self_signed(&root_key)?.pem();
        let root = Issuer::new(root_params, root_key);
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
        let mut params = authority_params(&format!("Plane Client CA {:08x}", fastrand::u32(..)));
        params.key_identifier_method = KeyIdMethod::PreSpecified(KEY_ID.to_vec());
        let certificate = params.signed_by(&key, &root)?;
        let name = Certificate::from_der(certificate.der())?.tbs_certificate().subject().clone();
        Ok(Self { key, name, der: certificate.der().clone(), pem: certificate.pem(), root_pem })
    }

    /// The authority's own certificate, for those who verify client certificates.
    pub(crate) fn anchor(&self) -> CertificateDer<'static> {
        self.der.clone()
    }

    /// Issues a certificate as the Connector does: serial number 2, for client authentication, without SAN.
    pub(crate) fn issue(
        &self,
        subject: Name,
        key: SubjectPublicKeyInfoOwned,
        (not_before, not_after): (Timestamp, Timestamp),
        with_root: bool,
    ) -> Result<Issued, Error> {
        let algorithm = AlgorithmIdentifierOwned { oid: SHA256_WITH_RSA, parameters: Some(der::Any::null()) };
        let usages = KeyUsage(KeyUsages::DigitalSignature | KeyUsages::KeyEncipherment | KeyUsages::DataEncipherment);
        let authority =
            AuthorityKeyIdentifier { key_identifier: Some(der::asn1::OctetString::new(KEY_ID)?), ..Default::default() };
        let extensions = vec![
            usages.to_extension(&subject, &[])?,
            ExtendedKeyUsage(vec![CLIENT_AUTH]).to_extension(&subject, &[])?,
            authority.to_extension(&subject, &[])?,
        ];
        let contents = Contents {
            version: 2,
            serial_number: 2,
            signature: algorithm.clone(),
            issuer: self.name.clone(),
            validity: Validity::new(time(not_before)?, time(not_after)?),
            subject,
            key,
            extensions,
        };
        let signature = self.key.sign(&contents.to_der()?)?;
        let signed = Signed { contents, algorithm, signature: BitString::from_bytes(&signature)? };
        let leaf = CertificateDer::from(signed.to_der()?);
        let leaf_pem = Certificate::from_der(&leaf).and_then(|certificate| {
            use der::EncodePem;
            certificate.to_pem(der::pem::LineEnding::LF)
        })?;
        let mut chain_pem = format!("{leaf_pem}{}", self.pem);
        if with_root {
            chain_pem.push_str(&self.root_pem);
        }
        Ok(Issued { leaf, leaf_pem, ca_pem: self.pem.clone(), chain_pem })
    }
}

/// An instant as certificates tell it: in whole seconds, and from 2050 on as a `GeneralizedTime`.
fn time(instant: Timestamp) -> der::Result<Time> {
    let seconds = instant.as_second().try_into().map_err(|_| der::ErrorKind::DateTime)?;
    Ok(DateTime::from_unix_duration(Duration::from_secs(seconds))?.into())
}

/// `TBSCertificate`, written out here because the library's own has no public fields.
#[derive(Sequence)]
struct Contents {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    version: u8,
    serial_number: u8,
    signature: AlgorithmIdentifierOwned,
    issuer: Name,
    validity: Validity,
    subject: Name,
    key: SubjectPublicKeyInfoOwned,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    extensions: Vec<Extension>,
}

#[derive(Sequence)]
struct Signed {
    contents: Contents,
    algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
}
