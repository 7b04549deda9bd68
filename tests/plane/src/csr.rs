//! Certificate requests: reading them, and what the Connector insists on.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use base64::{Engine, engine::general_purpose::STANDARD};
use der::{Decode, DecodePem, Encode, Reader, SliceReader, asn1::UintRef, oid::ObjectIdentifier};
use x509_cert::request::CertReq;

use crate::{KeyAlgorithm, authority::SHA256_WITH_RSA};

const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");

/// Reads the base64 of a PEM request; a refusal is a sentence.
pub(crate) fn read(encoded: &str) -> Result<CertReq, String> {
    let pem = STANDARD.decode(encoded).map_err(|error| format!("Error occurred while decoding Base64 CSR: {error}"))?;
    CertReq::from_pem(&pem).map_err(|error| format!("Error while parsing CSR: {error}"))
}

/// Verifies the request's own signature and that key and signature are of the announced kind.
pub(crate) fn verify(request: &CertReq, announced: KeyAlgorithm) -> Result<(), String> {
    let key = request.info.public_key.subject_public_key.raw_bytes();
    let (oid, verifier): (ObjectIdentifier, &dyn VerificationAlgorithm) = match announced {
        KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => {
            (SHA256_WITH_RSA, &signature::RSA_PKCS1_2048_8192_SHA256)
        }
        KeyAlgorithm::EcdsaP256 => (ECDSA_WITH_SHA256, &signature::ECDSA_P256_SHA256_ASN1),
        KeyAlgorithm::EcdsaP384 => (ECDSA_WITH_SHA384, &signature::ECDSA_P384_SHA384_ASN1),
        KeyAlgorithm::Nonsense => return Err("CSR: nobody can have a key of the announced algorithm".to_owned()),
    };
    if request.algorithm.oid != oid {
        return Err(format!(
            "x509: requested SignatureAlgorithm does not match private key type: CSR is signed with {}, expected {oid}",
            request.algorithm.oid
        ));
    }
    let signed = request.info.to_der().map_err(|error| format!("Error while parsing CSR: {error}"))?;
    UnparsedPublicKey::new(verifier, key)
        .verify(&signed, request.signature.raw_bytes())
        .map_err(|_| "CSR: the signature does not verify with the key in it".to_owned())?;
    let bits = match announced {
        KeyAlgorithm::Rsa2048 => 2048,
        KeyAlgorithm::Rsa3072 => 3072,
        KeyAlgorithm::Rsa4096 => 4096,
        KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384 | KeyAlgorithm::Nonsense => return Ok(()),
    };
    match modulus_bits(key) {
        Ok(brought) if brought == bits => Ok(()),
        Ok(brought) => Err(format!("CSR: the key has {brought} bits, expected {bits}")),
        Err(error) => Err(format!("Error while parsing CSR: {error}")),
    }
}

/// The size of the modulus in a PKCS#1 public key.
fn modulus_bits(key: &[u8]) -> der::Result<usize> {
    let mut reader = SliceReader::new(key)?;
    reader.sequence(|inner| {
        let modulus = UintRef::decode(inner)?.as_bytes();
        UintRef::decode(inner)?;
        let leading = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
        Ok::<_, der::Error>(modulus.len() * 8 - leading)
    })
}
