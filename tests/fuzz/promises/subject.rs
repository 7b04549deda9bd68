//! Whatever subject a Connector names, it becomes a signing request that says just that, or a refusal.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runtime_agent::identity::{KeyAlgorithm, PrivateKey, Subject, encode_csr};
use x509_cert::der::{DecodePem as _, Encode as _};
use x509_cert::request::CertReq;

use super::fits_a_line;

/// A sentence of our own, with an excerpt of 240 characters in it at the most.
const LONGEST: usize = 400;

/// A key to sign with; making one takes longer than all the rest.
pub(super) fn key() -> &'static PrivateKey {
    static KEY: OnceLock<PrivateKey> = OnceLock::new();
    KEY.get_or_init(|| PrivateKey::generate(KeyAlgorithm::EcdsaP256).expect("there is randomness"))
}

/// Takes `case` for a subject, and for the name of a key algorithm.
///
/// # Panics
/// When a promise is broken.
pub fn hold(case: &[u8]) {
    let text = String::from_utf8_lossy(case);
    match text.parse::<KeyAlgorithm>() {
        Ok(algorithm) => assert_eq!(algorithm.as_str().parse(), Ok(algorithm)),
        Err(error) => fits_a_line(&error.to_string(), LONGEST),
    }
    let subject: Subject = match text.parse() {
        Ok(subject) => subject,
        Err(error) => {
            assert_eq!(text.parse::<Subject>(), Err(error.clone()), "the same subject is refused otherwise");
            fits_a_line(&error.to_string(), LONGEST);
            return;
        }
    };
    assert_eq!(subject.as_str(), text, "it is kept as it was written");
    let kept = serde_json::to_string(&subject).expect("a subject can be kept");
    assert_eq!(serde_json::from_str::<Subject>(&kept).expect("what was kept can be read"), subject);

    let request = encode_csr(&subject, key()).expect("a subject can be signed for");
    let pem = STANDARD.decode(request).expect("it is Base64");
    let request = CertReq::from_pem(&pem).expect("a request can be read again");
    let asked = &request.info.subject;
    assert_eq!(asked.to_der().ok(), subject.name().to_der().ok(), "another subject is asked for");
    if !text.contains(['\\', '"', '#', '+']) {
        plainly(&text, asked);
    }
}

/// Where nothing is escaped, the parts are those that are written, in their order.
fn plainly(text: &str, asked: &x509_cert::name::Name) {
    let written: Vec<_> =
        text.split(',').map(|part| part.split_once('=').expect("a part has a value").1.trim()).collect();
    let read: Vec<_> = asked.iter_rdn().map(|part| part.iter().next().expect("a part is not empty")).collect();
    assert_eq!(read.len(), written.len(), "{text:?}");
    for (read, written) in read.iter().zip(written) {
        assert_eq!(read.value.value(), written.as_bytes(), "{text:?}");
    }
}
