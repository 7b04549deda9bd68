//! The Connector's side of identity: one-time tokens, authentications, certificates.

use std::{collections::HashMap, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use serde_json::json;
use x509_cert::request::CertReq;

use crate::{Error, Options, State, SubjectOrder, TokenForm, authority::Issued, csr, subject::Subject};

/// Tokens, authentications and certificates that were handed out.
#[derive(Default)]
pub(crate) struct Identities {
    tokens: HashMap<String, Token>,
    authentications: HashMap<String, Authentication>,
    certificates: HashMap<String, Certificate>,
}

struct Token {
    authentication: String,
    created: Timestamp,
    expires: Timestamp,
    spent: bool,
}

/// What a token and the certificates that follow from it have in common; its id is the certificates' common name.
struct Authentication {
    runtime: String,
    subject: Subject,
}

struct Certificate {
    authentication: String,
    issued: Timestamp,
    expires: Timestamp,
    revoked: bool,
}

/// Who makes a call.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) runtime: String,
    pub(crate) authentication: String,
    /// Of the certificate, if there is one.
    pub(crate) fingerprint: Option<String>,
}

/// The fingerprint of a certificate: its SHA-256 in hexadecimal digits.
pub(crate) fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    use std::fmt::Write;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
    digest.as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A secret value that can be told from all others and that tests can look for.
pub(crate) fn canary(kind: &str) -> String {
    format!("canary-{kind}-{}", uuid::Uuid::new_v4().simple())
}

fn expiry(from: Timestamp, lifetime: Duration) -> Timestamp {
    from.checked_add(lifetime).unwrap_or(Timestamp::MAX)
}

impl Options {
    fn subject_for(&self, authentication: &str) -> Subject {
        Subject::new(&self.subject, authentication, self.subject_order == SubjectOrder::Shuffled)
    }
}

impl State {
    /// Makes a host's first token, in the form in which it is handed over.
    pub(crate) fn mint(
        &mut self,
        runtime: &str,
        form: TokenForm,
        lifetime: Duration,
        connector: &str,
    ) -> Result<String, Error> {
        let tenant = self.model.runtimes.get(runtime).ok_or_else(|| Error::unknown("runtime", runtime))?.tenant.clone();
        let authentication = uuid::Uuid::new_v4().to_string();
        let subject = self.options.subject_for(&authentication);
        let entry = Authentication { runtime: runtime.to_owned(), subject };
        self.identities.authentications.insert(authentication.clone(), entry);
        let token = self.token(&authentication, lifetime);
        let record = &self.identities.tokens[&token];
        let raw = json!({
            "token": token,
            "connectorURL": connector,
            "used": false,
            "expiresAt": record.expires.to_string(),
            "createdAt": record.created.to_string(),
            "usedAt": "0001-01-01T00:00:00Z",
            "type": "Runtime",
            "scenario_groups": null,
        });
        Ok(match form {
            TokenForm::Json => raw.to_string(),
            TokenForm::Base64 => STANDARD.encode(raw.to_string()),
            TokenForm::KeyValue => {
                format!("CONNECTOR_URL={connector}\nTOKEN={token}\nRUNTIME_ID={runtime}\nTENANT={tenant}\n")
            }
            TokenForm::Url => format!("{connector}?token={token}"),
            TokenForm::Bare => token,
        })
    }

    /// Makes the token with which `configuration` answers.
    pub(crate) fn follow_up(&mut self, authentication: &str) -> String {
        self.token(authentication, self.options.follow_up_lifetime)
    }

    fn token(&mut self, authentication: &str, lifetime: Duration) -> String {
        let token = canary("token");
        let created = self.options.clock.now();
        let expires = expiry(created, lifetime);
        let record = Token { authentication: authentication.to_owned(), created, expires, spent: false };
        self.identities.tokens.insert(token.clone(), record);
        self.secrets.insert(token.clone());
        token
    }

    /// Accepts a token and thereby spends it.
    pub(crate) fn spend(&mut self, token: &str) -> Option<Caller> {
        let now = self.options.clock.now();
        let record = self.identities.tokens.get_mut(token)?;
        if record.spent || record.expires <= now {
            return None;
        }
        record.spent = true;
        let authentication = record.authentication.clone();
        let runtime = self.identities.authentications.get(&authentication)?.runtime.clone();
        Some(Caller { runtime, authentication, fingerprint: None })
    }

    /// Recognises the holder of a certificate, by its fingerprint.
    pub(crate) fn recognise(&self, fingerprint: &str) -> Option<Caller> {
        let certificate = self.identities.certificates.get(fingerprint).filter(|certificate| !certificate.revoked)?;
        let authentication = self.identities.authentications.get(&certificate.authentication)?;
        self.model.runtimes.get(&authentication.runtime)?;
        Some(Caller {
            runtime: authentication.runtime.clone(),
            authentication: certificate.authentication.clone(),
            fingerprint: Some(fingerprint.to_owned()),
        })
    }

    /// Whether a certificate was revoked.
    pub(crate) fn is_revoked(&self, fingerprint: &str) -> bool {
        self.identities.certificates.get(fingerprint).is_some_and(|certificate| certificate.revoked)
    }

    /// The subject that the Connector asks for.
    pub(crate) fn subject(&self, authentication: &str) -> Option<String> {
        Some(self.identities.authentications.get(authentication)?.subject.text())
    }

    /// Checks a request for a certificate and answers it.
    pub(crate) fn sign(&mut self, authentication: &str, encoded: &str) -> Result<Issued, String> {
        let CertReq { info, .. } = {
            let request = csr::read(encoded)?;
            csr::verify(&request, self.options.key_algorithm)?;
            request
        };
        let wanted = self.identities.authentications.get(authentication).ok_or("CSR: unknown authentication")?;
        wanted.subject.check(&info.subject)?;
        let issued_at = self.options.clock.now();
        let expires = expiry(issued_at, self.options.certificate_lifetime);
        let issued = self
            .authority
            .issue(info.subject, info.public_key, (issued_at, expires), self.options.chain_with_root)
            .map_err(|error| format!("Error occurred while signing the CSR: {error}"))?;
        let record =
            Certificate { authentication: authentication.to_owned(), issued: issued_at, expires, revoked: false };
        self.identities.certificates.insert(fingerprint(&issued.leaf), record);
        Ok(issued)
    }

    /// The certificates that a runtime was issued, by fingerprint.
    pub(crate) fn certificates_of(&self, runtime: &str) -> serde_json::Value {
        let Identities { authentications, certificates, .. } = &self.identities;
        let theirs = certificates.iter().filter(|(_, certificate)| {
            authentications.get(&certificate.authentication).is_some_and(|found| found.runtime == runtime)
        });
        theirs
            .map(|(fingerprint, certificate)| {
                let entry = json!({
                    "commonName": certificate.authentication,
                    "issuedAt": certificate.issued.to_string(),
                    "expiresAt": certificate.expires.to_string(),
                    "revoked": certificate.revoked,
                });
                (fingerprint.clone(), entry)
            })
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    /// Revokes one certificate; whether there was one.
    pub(crate) fn revoke_certificate(&mut self, fingerprint: &str) -> bool {
        let certificate = self.identities.certificates.get_mut(fingerprint);
        certificate.map(|certificate| certificate.revoked = true).is_some()
    }

    /// Revokes all certificates of a runtime, and tells how many.
    pub(crate) fn revoke_runtime(&mut self, runtime: &str) -> usize {
        let Identities { authentications, certificates, .. } = &mut self.identities;
        let theirs = certificates.values_mut().filter(|certificate| {
            let authentication = authentications.get(&certificate.authentication);
            !certificate.revoked && authentication.is_some_and(|authentication| authentication.runtime == runtime)
        });
        theirs.map(|certificate| certificate.revoked = true).count()
    }

    /// Lets all tokens of a runtime expire now, and tells how many.
    pub(crate) fn expire_tokens(&mut self, runtime: &str) -> usize {
        let now = self.options.clock.now();
        let Identities { authentications, tokens, .. } = &mut self.identities;
        let theirs = tokens.values_mut().filter(|token| {
            let authentication = authentications.get(&token.authentication);
            token.expires > now && authentication.is_some_and(|authentication| authentication.runtime == runtime)
        });
        theirs.map(|token| token.expires = now).count()
    }
}
