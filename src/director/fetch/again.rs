//! What a read takes from the one before it: pages that came again just as they were are not looked into.
//!
//! Most polls bring nothing new, and decoding what they bring would be most of their work. A page is known again by
//! the sum of its bytes, and stands for the applications that were in it; those are at rest in what was kept. Only a page
//! that took no request besides is remembered: of all others, more than its own bytes decides what is in it.

use std::path::Path;
use std::sync::Arc;

use super::super::Dialect;
use super::super::paging::Place;
use crate::ids::ApplicationId;
use crate::snapshot::pack::Packer;
use crate::snapshot::{self, Naming, Snapshot};
use crate::transport::AnswerSum;

/// What a read begins with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Beginning<'a> {
    /// The folder in which applications lie while they are read, where they are many; without one, in memory.
    pub folder: Option<&'a Path>,
    /// What is kept of the read before.
    pub kept: Option<&'a Arc<Snapshot>>,
    /// The pages of that, where what is kept is just what was in them.
    pub pages: Option<&'a ReadPages>,
}

impl Beginning<'_> {
    pub(super) fn packer(&self) -> Packer {
        self.folder.map_or_else(Packer::in_memory, Packer::in_folder)
    }
}

/// The pages of applications of one read, in its order.
#[derive(Debug, Clone, Default)]
pub struct ReadPages(Vec<Arc<ReadPage>>);

/// A page, and what was in it; no credential is.
#[derive(Debug)]
pub(super) struct ReadPage {
    asked: Asked,
    sum: AnswerSum,
    /// What the labels said, where they came with it.
    pub(super) naming: Option<Naming>,
    end_cursor: Box<str>,
    has_next: bool,
    total: u32,
    /// How many applications, bundles and definitions it had.
    pub(super) items: u32,
    applications: Vec<ApplicationId>,
}

/// What was asked for. The same words get the same answer, while nothing changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) dialect: Dialect,
    pub(super) first: u16,
    pub(super) after: Option<Box<str>>,
    pub(super) documents: bool,
    pub(super) labels: bool,
}

/// A page that has not changed.
pub(super) struct Known<'a> {
    pub(super) page: &'a Arc<ReadPage>,
    pub(super) applications: Vec<&'a snapshot::Place>,
}

impl ReadPage {
    /// What is remembered of a page, before its applications are known.
    pub(super) fn new(asked: Asked, sum: AnswerSum, naming: Option<Naming>, place: &Place<'_>) -> Self {
        let Place { end_cursor, has_next, total } = *place;
        Self { asked, sum, naming, end_cursor: end_cursor.into(), has_next, total, items: 0, applications: Vec::new() }
    }

    /// The same, with so many things in it, and these applications.
    pub(super) fn with(self, items: u32, applications: Vec<ApplicationId>) -> Self {
        Self { items, applications, ..self }
    }

    /// Its place in the list.
    pub(super) fn place(&self) -> Place<'_> {
        Place { end_cursor: &self.end_cursor, has_next: self.has_next, total: self.total }
    }

    pub(super) fn sum(&self) -> AnswerSum {
        self.sum
    }
}

impl ReadPages {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn note(&mut self, page: Arc<ReadPage>) {
        self.0.push(page);
    }
}

impl<'a> Beginning<'a> {
    /// The page that was the answer to these words in the read before, as the `number`th there, too: reads ask for the
    /// same pages in the same order, as long as nothing changes. None where one of its applications is not at rest.
    pub(super) fn known(&self, number: usize, asked: &Asked) -> Option<Known<'a>> {
        let (kept, pages) = (self.kept?, self.pages?);
        let page = pages.0.get(number).filter(|page| page.asked == *asked)?;
        let applications = page.applications.iter().map(|id| kept.place_of(id)).collect::<Option<Vec<_>>>()?;
        Some(Known { page, applications })
    }
}

#[cfg(test)]
mod tests;
