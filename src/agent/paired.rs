//! A host that is paired already, for simulations of what comes after.

use plane::{Plane, TokenForm};

use super::link;
use crate::config::Settings;
use crate::connector;
use crate::identity::{Identity, IdentityStore, Issued, PrivateKey, Record, encode_csr};
use crate::token::parse;

/// Pairs as the identity loop does, without waiting or retrying.
pub(super) async fn pair(plane: &Plane, runtime: &str, settings: &Settings) -> Identity {
    let token = parse(plane.mint_token(runtime, TokenForm::Json).as_bytes()).unwrap();
    let url = token.connector_url.clone().unwrap();
    let connector = link::connector_with_token(settings, &url, &token.secret).unwrap();
    let configuration = connector::configuration(&connector).await.unwrap();
    let key = PrivateKey::generate(configuration.key_algorithm).unwrap();
    let csr = encode_csr(&configuration.subject, &key).unwrap();
    let connector = link::connector_with_token(settings, &url, &configuration.token).unwrap();
    let signed = connector::sign(&connector, &csr).await.unwrap();
    let now = plane.clock().now();
    let issued = Issued::verify(
        &signed.client_certificate,
        &signed.certificate_chain,
        &signed.ca_certificate,
        &key,
        &configuration.subject,
        now,
    )
    .unwrap();
    let record = Record::new(
        Some(runtime.parse().unwrap()),
        None,
        configuration.director_url,
        configuration.renewal_url,
        configuration.key_algorithm,
        now,
    );
    IdentityStore::open(&settings.paths.state).unwrap().stage(&issued, &key, record).unwrap()
}
