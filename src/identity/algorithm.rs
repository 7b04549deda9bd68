//! Key algorithms by the names that the Connector uses, and keys of them.

use std::fmt;
use std::str::FromStr;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, RsaKeySize};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A kind of key that this program can make and sign with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum KeyAlgorithm {
    /// RSA with 2048 bits, signing with SHA-256.
    Rsa2048,
    /// RSA with 3072 bits, signing with SHA-256.
    Rsa3072,
    /// RSA with 4096 bits, signing with SHA-256.
    Rsa4096,
    /// ECDSA on P-256, signing with SHA-256.
    EcdsaP256,
    /// ECDSA on P-384, signing with SHA-384.
    EcdsaP384,
}

/// The Connector asked for a key algorithm that this program does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the plane asks for the key algorithm \u{201c}{0}\u{201d}, and this agent knows rsa2048, rsa3072, rsa4096, \
     ecdsa-p256 and ecdsa-p384"
)]
pub struct UnknownAlgorithm(pub String);

impl KeyAlgorithm {
    /// The Connector's name for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rsa2048 => "rsa2048",
            Self::Rsa3072 => "rsa3072",
            Self::Rsa4096 => "rsa4096",
            Self::EcdsaP256 => "ecdsa-p256",
            Self::EcdsaP384 => "ecdsa-p384",
        }
    }
}

impl FromStr for KeyAlgorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        [Self::Rsa2048, Self::Rsa3072, Self::Rsa4096, Self::EcdsaP256, Self::EcdsaP384]
            .into_iter()
            .find(|algorithm| algorithm.as_str().eq_ignore_ascii_case(name.trim()))
            .ok_or_else(|| UnknownAlgorithm(crate::transport::excerpt(name, &[])))
    }
}

impl TryFrom<String> for KeyAlgorithm {
    type Error = UnknownAlgorithm;

    fn try_from(name: String) -> Result<Self, UnknownAlgorithm> {
        name.parse()
    }
}

impl From<KeyAlgorithm> for String {
    fn from(algorithm: KeyAlgorithm) -> Self {
        algorithm.as_str().to_owned()
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A private key; wiped from memory when dropped, and never shown.
pub struct PrivateKey {
    pair: KeyPair,
    algorithm: KeyAlgorithm,
}

impl PrivateKey {
    /// Makes a new key. An RSA key takes from tens of milliseconds to seconds of work: call it on a blocking thread.
    ///
    /// # Errors
    /// When the cryptographic library fails, which it does only without memory or randomness.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, rcgen::Error> {
        let rsa = |size| KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, size);
        let pair = match algorithm {
            KeyAlgorithm::Rsa2048 => rsa(RsaKeySize::_2048),
            KeyAlgorithm::Rsa3072 => rsa(RsaKeySize::_3072),
            KeyAlgorithm::Rsa4096 => rsa(RsaKeySize::_4096),
            KeyAlgorithm::EcdsaP256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            KeyAlgorithm::EcdsaP384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
        }?;
        Ok(Self { pair, algorithm })
    }

    /// The key as PKCS#8 in PEM.
    pub fn to_pem(&self) -> SecretString {
        SecretString::from(&**Zeroizing::new(self.pair.serialize_pem()))
    }

    pub(super) fn pair(&self) -> &KeyPair {
        &self.pair
    }

    pub(super) fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }
}

impl Drop for PrivateKey {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.pair);
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({}, [redacted])", self.algorithm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_algorithm_that_is_not_known_is_refused_by_its_name() {
        assert_eq!("rsa2048".parse(), Ok(KeyAlgorithm::Rsa2048));
        assert_eq!("ECDSA-P256".parse(), Ok(KeyAlgorithm::EcdsaP256));
        let error = "ed25519".parse::<KeyAlgorithm>().unwrap_err().to_string();
        assert!(error.contains("ed25519") && error.contains("rsa2048"), "{error}");
    }

    #[test]
    fn a_key_is_never_shown() {
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        assert_eq!(format!("{key:?}"), "PrivateKey(ecdsa-p256, [redacted])");
    }
}
