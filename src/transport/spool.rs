//! An answer that goes to a file as it comes, for what may be too large to be held in memory.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};

use serde::Serialize;
use serde::de::IgnoredAny;
use uuid::Uuid;

use super::answer::{Answer, Wiped};
use super::call::{Graphql, Operation};
use super::fault::{CallError, Fault};

/// An answer in a file.
#[derive(Debug)]
pub struct Spooled {
    /// The body, with the position at its end.
    pub file: File,
    operation: &'static str,
    graphql: Graphql,
    request_id: Uuid,
}

/// The longest body that is searched for its errors; those of one field take a few hundred bytes.
const SEARCHED: u64 = 1024 * 1024;

impl Graphql {
    /// Asks, and writes the body of a good answer to `file`, which is empty. Whether errors are in it, only whoever reads
    /// it knows.
    ///
    /// # Errors
    /// When no whole answer comes, or the file does not take it; see [`Fault`].
    pub async fn spool(
        &self,
        operation: Operation<'_>,
        variables: impl Serialize,
        mut file: File,
    ) -> Result<Spooled, CallError> {
        let request_id = Uuid::new_v4();
        let result = self.exchange(operation, request_id, variables, Some(&mut file)).await;
        let spooled = Spooled { file, operation: operation.name, graphql: self.clone(), request_id };
        match result {
            Ok(answer) if answer.status == 200 => Ok(spooled),
            Ok(answer) => Err(spooled.refused(&answer)),
            Err(fault) => Err(spooled.failed(fault)),
        }
    }
}

impl Spooled {
    /// The answer is not to be used, for this.
    pub fn failed(&self, fault: Fault) -> CallError {
        CallError { operation: self.operation, host: self.graphql.host(), request_id: self.request_id, fault }
    }

    /// The errors in the answer, which is known to hold some.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn why_refused(&self) -> io::Result<CallError> {
        let mut file = &self.file;
        if file.metadata()?.len() > SEARCHED {
            return Ok(self.failed(Fault::NotGraphql("it holds errors, and too much besides to look for them".into())));
        }
        file.rewind()?;
        let mut bytes = Wiped::default();
        file.take(SEARCHED).read_to_end(&mut bytes.0)?;
        Ok(self.refused(&Answer { status: 200, retry_after: None, bytes }))
    }

    fn refused(&self, answer: &Answer) -> CallError {
        match answer.decode::<IgnoredAny>(self.graphql.secrets()) {
            Err(fault) => self.failed(fault),
            Ok(_) => self.failed(Fault::NotGraphql("it is not what was asked for".into())),
        }
    }
}
