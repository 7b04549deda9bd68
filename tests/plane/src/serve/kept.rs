//! Answers that are kept: what was asked before, word for word, is answered from memory until something changes.
//!
//! Off by default, for tests are to meet the schema. Whoever measures a client turns it on: then the plane costs little
//! more than sending.

use std::{
    collections::HashMap,
    io::Write,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{Response, header};

use super::{
    body::{self, Body},
    exchange::respond,
};

/// Answers below this size are not compressed.
const WORTH_COMPRESSING: usize = 1024;

/// What has to be the same for an answer to be the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    pub(super) fingerprint: Option<String>,
    pub(super) tenant: Option<String>,
    pub(super) compressible: bool,
    pub(super) operation: Option<String>,
    pub(super) query: String,
    /// As JSON.
    pub(super) variables: String,
}

/// An answer as it goes over the wire.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(super) body: Bytes,
    pub(super) coding: Option<&'static str>,
}

impl Kept {
    pub(super) fn of(body: Vec<u8>, compressible: bool) -> Self {
        match compressed(&body, compressible) {
            Some(compressed) => Self { body: compressed, coding: Some("gzip") },
            None => Self { body: body.into(), coding: None },
        }
    }

    pub(super) fn response(self) -> Response<Body> {
        let builder = Response::builder()
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONTENT_LENGTH, self.body.len());
        let builder = match self.coding {
            Some(coding) => builder.header(header::CONTENT_ENCODING, coding),
            None => builder,
        };
        respond(builder, body::whole(self.body))
    }
}

/// The answers that were given since the last change.
#[derive(Debug, Default)]
pub(crate) struct Answers(Mutex<Since>);

#[derive(Debug, Default)]
struct Since {
    revision: u64,
    answers: HashMap<Question, Kept>,
}

impl Answers {
    /// The answer to this question at this revision of the state, if it was given before.
    pub(super) fn find(&self, revision: u64, question: &Question) -> Option<Kept> {
        self.at(revision, |answers| answers.get(question).cloned()).flatten()
    }

    /// Keeps an answer that was made at this revision of the state.
    pub(super) fn keep(&self, revision: u64, question: Question, answer: Kept) {
        self.at(revision, |answers| answers.insert(question, answer));
    }

    /// Does something with the answers of a revision; nothing, if there has been a later one.
    fn at<T>(&self, revision: u64, act: impl FnOnce(&mut HashMap<Question, Kept>) -> T) -> Option<T> {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if since.revision < revision {
            *since = Since { revision, answers: HashMap::new() };
        }
        (since.revision == revision).then(|| act(&mut since.answers))
    }
}

/// The compressed body, where the client takes one and it is worth it.
pub(super) fn compressed(body: &[u8], compressible: bool) -> Option<Bytes> {
    if !compressible || body.len() < WORTH_COMPRESSING {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).and_then(|()| encoder.finish()).ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_until_something_changes() {
        let question = Question {
            fingerprint: None,
            tenant: None,
            compressible: false,
            operation: None,
            query: "{ viewer { id } }".to_owned(),
            variables: "{}".to_owned(),
        };
        let answer = || Kept { body: Bytes::from_static(b"{}"), coding: None };
        let answers = Answers::default();
        answers.keep(3, question.clone(), answer());
        assert!(answers.find(3, &question).is_some());
        assert!(answers.find(3, &Question { compressible: true, ..question.clone() }).is_none());
        assert!(answers.find(4, &question).is_none());
        // One that was made before the change comes too late.
        answers.keep(3, question.clone(), answer());
        assert!(answers.find(3, &question).is_none());
        assert!(answers.find(4, &question).is_none());
    }
}
