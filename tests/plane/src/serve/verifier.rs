//! The verification of client certificates, which follows the plane's state from one handshake to the next.

use std::{fmt, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, UnixTime},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use crate::{Error, Refusal, authority::ClientAuthority, identity, state::Shared};

/// A verifier that accepts what these authorities issued.
pub(crate) fn trusting(authorities: &[Arc<ClientAuthority>]) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.anchor())?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(aws_lc_rs::default_provider()))
        .build()
        .map_err(|error| Error::Certificates(error.to_string()))
}

/// Verifies by what the plane trusts at this moment and what its clock shows, and refuses in the way that was chosen.
pub(crate) struct Verifier(pub(crate) Arc<Shared>);

impl Verifier {
    fn present(&self) -> Arc<dyn ClientCertVerifier> {
        self.0.read(|state| Arc::clone(&state.verifier))
    }

    fn untrusted(&self) -> Refusal {
        self.0.read(|state| state.options.untrusted)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.untrusted() == Refusal::TlsAlert
    }

    // Clients that choose a certificate by issuer would need the hints of the moment; those we serve have only one.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let (present, now) = self.0.read(|state| (Arc::clone(&state.verifier), state.options.clock.unix()));
        let verdict = present.verify_client_cert(end_entity, intermediates, now);
        if self.untrusted() == Refusal::TlsAlert {
            verdict?;
        }
        let fingerprint = identity::fingerprint(end_entity);
        let refused = self.0.read(|state| state.options.revoked == Refusal::TlsAlert && state.is_revoked(&fingerprint));
        if refused {
            return Err(CertificateError::Revoked.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.present().verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.present().verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.present().supported_verify_schemes()
    }
}
