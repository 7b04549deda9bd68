//! Version 1, of 2026: one JSON value, which is read whole.

use serde::Deserialize;

use super::Naming;
use crate::ids::RuntimeId;
use crate::snapshot::{RepeatedApplication, Snapshot, line};

/// What is read.
#[derive(Deserialize)]
pub(in crate::kept) struct Read {
    runtime: RuntimeId,
    naming: Naming,
    applications: Vec<line::Application>,
}

impl TryFrom<Read> for Snapshot {
    type Error = RepeatedApplication;

    fn try_from(read: Read) -> Result<Self, RepeatedApplication> {
        let applications = read.applications.into_iter().map(line::Application::into_application).collect();
        Ok(Self::new(read.runtime, applications)?.with_naming(read.naming.into()))
    }
}
