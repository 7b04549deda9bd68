//! Identities on disk: `identity/NNNN/`, of which `identity/current` is the one in use.
//!
//! An identity is written whole under a new number, tried, and only then made current by one swap of a link, so that no
//! reader ever sees a key beside another key's certificate. A number above the current one is a candidate: an earlier
//! process was killed between writing it and trying it.

mod readers;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use self::readers::Readers;
use super::{CertificateError, Issued, KeyAlgorithm, Leaf, PrivateKey};
use crate::config::HttpsUrl;
use crate::disk::{self, DiskError};
use crate::event::Identity as Event;
use crate::ids::{RuntimeId, TenantId};
use crate::transport::ClientPem;

/// The version of the shape of `identity.json`.
const RECORD_VERSION: u32 = 1;

/// The number of an identity, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IdentityNumber(u32);

impl IdentityNumber {
    pub(super) fn folder(self) -> String {
        format!("{:04}", self.0)
    }
}

impl fmt::Display for IdentityNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What belongs to an identity besides key and certificates: `identity.json`. Nothing in it is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The version of this shape.
    version: u32,
    /// This runtime's id, once it is known.
    pub runtime: Option<RuntimeId>,
    /// The tenant that is named in requests, where the token file named one.
    pub tenant: Option<TenantId>,
    /// The Connector that this host was paired by, among whose neighbours the others are expected.
    #[serde(default)]
    pub connector_url: Option<HttpsUrl>,
    /// The Director.
    pub director_url: HttpsUrl,
    /// The Connector that certificates are renewed at.
    pub renewal_url: HttpsUrl,
    /// What kind of key it is.
    pub key_algorithm: KeyAlgorithm,
    /// When the certificate came.
    pub issued_at: Timestamp,
    /// The fingerprint of the token that it came by; none, where it is a renewal.
    #[serde(default)]
    pub token: Option<String>,
}

impl Record {
    /// What belongs to an identity that is being made, by renewal where nothing else is said.
    pub fn new(
        runtime: Option<RuntimeId>,
        tenant: Option<TenantId>,
        director_url: HttpsUrl,
        renewal_url: HttpsUrl,
        key_algorithm: KeyAlgorithm,
        issued_at: Timestamp,
    ) -> Self {
        Self {
            version: RECORD_VERSION,
            runtime,
            tenant,
            connector_url: None,
            director_url,
            renewal_url,
            key_algorithm,
            issued_at,
            token: None,
        }
    }
}

/// A key with its certificate, as kept on disk.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its number.
    pub number: IdentityNumber,
    /// What belongs to it.
    pub record: Record,
    /// What the certificate says.
    pub leaf: Leaf,
    /// Key and chain, to be shown to servers.
    pub client: ClientPem,
}

/// What an identity shows of itself: all but its key.
#[derive(Debug, Clone)]
pub struct PublicPart {
    /// What belongs to it.
    pub record: Record,
    /// What the certificate says.
    pub leaf: Leaf,
    /// Where its files are.
    pub folder: PathBuf,
}

/// Why an identity cannot be kept or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A file of an identity is not what it should be.
    #[error("{path} is damaged: {why}")]
    Damaged {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl IdentityError {
    /// Whether the disk does not tell for now, so that nothing is known to be damaged or missing.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Disk(error) if !error.is_lasting())
    }
}

/// The folder of identities.
#[derive(Debug)]
pub struct IdentityStore {
    pub(super) root: PathBuf,
}

pub(super) const CURRENT: &str = "current";

impl IdentityStore {
    /// Opens `<state>/identity`, makes it where it is missing, sweeps what was left unfinished, and sees to it that
    /// what is there can be read by whom the folder's mode says: its group where it has the setgid bit and the right to
    /// read for the group, and else the agent's user alone. The caller holds the state lock.
    ///
    /// # Errors
    /// When the folder cannot be made or read. What cannot be given to its readers, or taken from them, is told in the
    /// log: the agent itself can go on.
    pub fn open(state: &Path) -> Result<Self, IdentityError> {
        let root = state.join("identity");
        disk::settle_folder(&root, Readers::Nobody.folder_mode())?;
        disk::sweep(&root)?;
        let store = Self { root };
        let readers = Readers::of(&store.root)?;
        for number in store.numbers()? {
            let folder = store.folder(number);
            // What belongs to an identity is amended beside it, in its folder.
            if let Err(error) = disk::sweep(&folder) {
                Event::Stays { what: "an unfinished file of an identity", error: &error }.emit();
            }
            readers.establish(&store.root, &folder);
        }
        Ok(store)
    }

    /// The identity in use.
    ///
    /// # Errors
    /// When there is one and it cannot be read.
    pub fn current(&self) -> Result<Option<Identity>, IdentityError> {
        match self.current_number()? {
            Some(number) => self.read(number).map(Some),
            None => Ok(None),
        }
    }

    /// What the identity in use shows of itself; its key is not read.
    ///
    /// # Errors
    /// When there is one and it cannot be read.
    pub fn current_public_part(&self) -> Result<Option<PublicPart>, IdentityError> {
        // The link is resolved once: what is read belongs together, whatever the agent does meanwhile.
        self.current_number()?.map(|number| self.read_public(number)).transpose()
    }

    /// An identity that was written and not yet tried, where there is one.
    ///
    /// # Errors
    /// When the folder cannot be read, or the candidate is damaged.
    pub fn candidate(&self) -> Result<Option<Identity>, IdentityError> {
        let current = self.current_number().unwrap_or(None);
        match self.numbers()?.into_iter().max() {
            Some(number) if Some(number) > current => self.read(number).map(Some),
            _ => Ok(None),
        }
    }

    /// Writes an identity as a candidate: whole and durable, and not yet in use.
    ///
    /// # Errors
    /// When it cannot be written; nothing is left of it then.
    pub fn stage(&self, issued: &Issued, key: &PrivateKey, record: Record) -> Result<Identity, IdentityError> {
        // Whoever removed the folder while the agent runs does not keep it from making a new identity.
        disk::ensure_folder(&self.root, Readers::Nobody.folder_mode())?;
        let current = self.current_number().unwrap_or(None);
        let last = self.numbers()?.into_iter().chain(current).max().map_or(0, |number| number.0);
        let number = IdentityNumber(last + 1);
        let readers = Readers::of(&self.root)?;
        let unpublished = disk::unpublished_folder(&self.root, readers.folder_mode())?;
        let key_pem = key.to_pem();
        let written = (|| {
            let mut json = serde_json::to_vec_pretty(&record)
                .map_err(|error| IdentityError::Damaged { path: unpublished.clone(), why: error.to_string() })?;
            json.push(b'\n');
            let files: [(&str, &[u8]); 5] = [
                ("key.pem", key_pem.expose_secret().as_bytes()),
                ("cert.pem", issued.leaf_pem.as_bytes()),
                ("chain.pem", issued.chain_pem.as_bytes()),
                ("ca.pem", issued.ca_pem.as_bytes()),
                ("identity.json", &json),
            ];
            for (name, content) in files {
                disk::write_unpublished(&unpublished.join(name), readers.file_mode(), content)?;
            }
            disk::publish_folder(&unpublished, &self.folder(number))?;
            Ok(())
        })();
        if let Err(error) = written {
            // What cannot be removed now is swept at the next start.
            let _ = fs::remove_dir_all(&unpublished);
            return Err(error);
        }
        Ok(Identity { number, record, leaf: issued.leaf.clone(), client: client_pem(&key_pem, &issued.chain_pem) })
    }

    /// Makes a candidate the identity in use. The one before it is kept, those before that are removed.
    ///
    /// # Errors
    /// When the link cannot be swapped; the old identity is then still in use.
    pub fn promote(&self, number: IdentityNumber) -> Result<(), IdentityError> {
        // A link that cannot be read, or what a backup put in its place, is replaced like any other.
        let before = self.current_number().unwrap_or(None);
        let link = self.root.join(CURRENT);
        if link.symlink_metadata().is_ok_and(|there| there.is_dir()) {
            disk::remove_folder(&link)?;
        }
        disk::swap_link(&link, Path::new(&number.folder()))?;
        for old in self.numbers()?.into_iter().filter(|old| *old < number && Some(*old) != before) {
            // The new identity is in use; what is left of older ones does no harm.
            if let Err(error) = self.discard(old) {
                Event::Stays { what: "an identity that is no longer used", error: &error }.emit();
            }
        }
        Ok(())
    }

    /// Replaces what belongs to an identity, key and certificates staying as they are.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn amend(&self, number: IdentityNumber, record: &Record) -> Result<(), IdentityError> {
        let path = self.folder(number).join("identity.json");
        let mut json = serde_json::to_vec_pretty(record)
            .map_err(|error| IdentityError::Damaged { path: path.clone(), why: error.to_string() })?;
        json.push(b'\n');
        Ok(disk::write(&path, Readers::of(&self.root)?.file_mode(), &json)?)
    }

    /// Removes an identity that is not in use.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn discard(&self, number: IdentityNumber) -> Result<(), IdentityError> {
        Ok(disk::remove_folder(&self.folder(number))?)
    }

    pub(super) fn current_number(&self) -> Result<Option<IdentityNumber>, IdentityError> {
        let link = self.root.join(CURRENT);
        match fs::read_link(&link) {
            Ok(target) => match target.to_str().and_then(number_of) {
                Some(number) => Ok(Some(number)),
                None => Err(IdentityError::Damaged { path: link, why: "it points to no identity".into() }),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(unreadable(DiskError::new("read the link", &link, source), &link)),
        }
    }

    pub(super) fn numbers(&self) -> Result<Vec<IdentityNumber>, IdentityError> {
        let entries =
            fs::read_dir(&self.root).map_err(|source| DiskError::new("read the folder", &self.root, source))?;
        let mut numbers = Vec::new();
        for entry in entries {
            // A folder that is read in part would hide an identity.
            let entry = entry.map_err(|source| DiskError::new("read the folder", &self.root, source))?;
            numbers.extend(entry.file_name().to_str().and_then(number_of));
        }
        Ok(numbers)
    }

    /// What an identity shows of itself.
    pub fn public_part(&self, identity: &Identity) -> PublicPart {
        let folder = self.folder(identity.number);
        PublicPart { record: identity.record.clone(), leaf: identity.leaf.clone(), folder }
    }

    fn folder(&self, number: IdentityNumber) -> PathBuf {
        self.root.join(number.folder())
    }

    pub(super) fn read(&self, number: IdentityNumber) -> Result<Identity, IdentityError> {
        let PublicPart { record, leaf, folder } = self.read_public(number)?;
        let key = SecretString::from(read_file(&folder, "key.pem")?.as_str());
        let client = client_pem(&key, &read_file(&folder, "chain.pem")?);
        check_pair(&client).map_err(|why| damaged(&folder, "key.pem", why))?;
        Ok(Identity { number, record, leaf, client })
    }

    fn read_public(&self, number: IdentityNumber) -> Result<PublicPart, IdentityError> {
        let folder = self.folder(number);
        let record: Record = serde_json::from_str(&read_file(&folder, "identity.json")?)
            .map_err(|error| damaged(&folder, "identity.json", error.to_string()))?;
        if record.version != RECORD_VERSION {
            return Err(damaged(&folder, "identity.json", format!("its version {} is not known", record.version)));
        }
        let leaf = Leaf::from_pem(read_file(&folder, "cert.pem")?.as_bytes())
            .map_err(|error: CertificateError| damaged(&folder, "cert.pem", error.to_string()))?;
        Ok(PublicPart { record, leaf, folder })
    }
}

fn read_file(folder: &Path, name: &str) -> Result<Zeroizing<String>, IdentityError> {
    let path = folder.join(name);
    let text = fs::read_to_string(&path).map_err(|error| unreadable(DiskError::new("read", &path, error), &path))?;
    Ok(Zeroizing::new(text))
}

/// A file that is missing, or is not what it should be, is damage; one that the disk does not give now may be sound.
fn unreadable(error: DiskError, path: &Path) -> IdentityError {
    if error.is_lasting() {
        return IdentityError::Damaged { path: path.to_owned(), why: error.source.to_string() };
    }
    error.into()
}

fn damaged(folder: &Path, name: &str, why: String) -> IdentityError {
    IdentityError::Damaged { path: folder.join(name), why }
}

fn number_of(name: &str) -> Option<IdentityNumber> {
    let digits = name.len() >= 4 && name.bytes().all(|byte| byte.is_ascii_digit());
    if digits { name.parse().ok().filter(|number| *number > 0).map(IdentityNumber) } else { None }
}

/// Whether the private key is the one of the first certificate.
fn check_pair(client: &ClientPem) -> Result<(), String> {
    let pem = client.0.expose_secret().as_bytes();
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| "there is no private key in it".to_owned())?;
    let chain = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| "the certificates beside it are not PEM".to_owned())?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    match CertifiedKey::from_der(chain, key, &provider) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("it does not fit the certificate beside it ({error})")),
    }
}

fn client_pem(key: &SecretString, chain: &str) -> ClientPem {
    ClientPem(SecretString::from(format!("{}\n{chain}", key.expose_secret())))
}

#[cfg(test)]
mod tests;
