//! Who this host is to the plane: key, certificate, and how both come about, are checked and are kept.

mod algorithm;
mod certificate;
mod csr;
mod description;
mod issued;
mod rescue;
mod store;
mod subject;

pub use algorithm::{KeyAlgorithm, PrivateKey, UnknownAlgorithm};
pub use certificate::{CertificateError, Leaf};
pub use csr::{CsrError, encode as encode_csr};
pub use description::Description;
pub use issued::{Issued, IssuedError};
pub use store::{Identity, IdentityError, IdentityNumber, IdentityStore, PublicPart, Record};
pub use subject::{InvalidSubject, Subject};
