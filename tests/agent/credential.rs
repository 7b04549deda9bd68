//! The host's key and certificate, as whoever reads them finds them.

use std::fs;
use std::path::Path;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::host::Host;

/// Reads what is current, and checks that the key is that of the certificate; answers the key's PEM.
///
/// The link is resolved once, as readers do that want files which belong together.
pub fn current_key(host: &Host) -> String {
    key_in(&host.path("state/identity/current"))
}

/// The same, by the path of the link.
pub fn key_in(current: &Path) -> String {
    let folder = fs::canonicalize(current).unwrap();
    let read = |name: &str| fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let pem = String::from_utf8(read("key.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&read("chain.pem")).map(Result::unwrap).collect();
    let certificate = CertificateDer::from_pem_slice(&read("cert.pem")).unwrap();
    assert_eq!(chain[0], certificate, "the chain begins with the certificate");
    let fits = CertifiedKey::from_der(chain, key, &rustls::crypto::aws_lc_rs::default_provider());
    assert!(fits.is_ok(), "key and certificate do not fit together: {fits:?}");
    pem
}
