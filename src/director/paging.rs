//! Whether the pages of one list, read one after another, can be the list at one instant.
//!
//! The plane's cursors are offsets: what is added or taken away before the offset between two page reads shifts the
//! rest. From the pages alone, a [`Walk`] finds
//!
//! - every change of the list's length (`totalCount` comes with each page),
//! - every shift that makes an item come twice,
//! - every number of items that differs from the length, and every sequence of cursors that is none.
//!
//! It cannot find additions and removals that cancel out: `[a b][c d]`, with `a` removed and `e` added in between,
//! reads as `a b d e`. Therefore a list that took more than one page is walked a second time for its ids alone, in
//! the largest pages there are, and both walks must have met the same ids ([`Walk::confirms`]). If the list rests
//! during the second walk (certain when that is one page), an accepted result has exactly the ids of that instant.
//! What remains are changes that cancel out during both walks and deceive both in the same way.

use std::collections::HashSet;
use std::fmt;

/// What a page says about its place in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub end_cursor: &'a str,
    pub has_next: bool,
    pub total: u32,
}

/// What follows a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// The list is complete.
    Done,
    /// The page after this cursor.
    After(Box<str>),
}

/// Why the pages cannot be one list at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Drift {
    /// An id came twice.
    Repeated(Box<str>),
    /// The length changed between two pages.
    Resized {
        /// The length with the first page.
        before: u32,
        /// The length with a later page.
        after: u32,
    },
    /// Another number of items came than the length says.
    Miscounted {
        /// The length.
        total: u32,
        /// The number of items that came.
        came: usize,
    },
    /// A cursor came that had come before.
    Stuck,
    /// Another page was announced without a cursor to it.
    NoCursor,
    /// A page was empty, and another one was announced.
    Empty,
    /// The owner of the list was gone when its next page was asked for.
    Gone,
    /// The plane refused a cursor that it had given.
    RefusedCursor,
    /// A second look at the ids met others.
    Unconfirmed,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repeated(id) => write!(f, "{id} came twice"),
            Self::Resized { before, after } => {
                write!(f, "the total changed from {before} to {after} between two pages")
            }
            Self::Miscounted { total, came } => write!(f, "{total} were announced and {came} came"),
            Self::Stuck => f.write_str("a page led back to one before it"),
            Self::NoCursor => f.write_str("another page was announced without a cursor to it"),
            Self::Empty => f.write_str("a page was empty although another one was announced"),
            Self::Gone => f.write_str("what they belong to was gone when the next page was asked for"),
            Self::RefusedCursor => f.write_str("the plane refused a cursor that it had given"),
            Self::Unconfirmed => f.write_str("a second look at the ids met others"),
        }
    }
}

/// One walk through the pages of one list.
#[derive(Debug, Default)]
pub(super) struct Walk {
    ids: HashSet<Box<str>>,
    cursors: HashSet<Box<str>>,
    total: Option<u32>,
    pages: u32,
}

impl Walk {
    /// Takes the next page, and says what follows it.
    ///
    /// That each page but the last has at least one new item, and that there are never more items than the first
    /// page announced, makes every walk end.
    pub(super) fn take<'a>(
        &mut self,
        ids: impl IntoIterator<Item = &'a str>,
        place: &Place<'_>,
    ) -> Result<Next, Drift> {
        self.pages += 1;
        let total = *self.total.get_or_insert(place.total);
        if total != place.total {
            return Err(Drift::Resized { before: total, after: place.total });
        }
        let before = self.ids.len();
        for id in ids {
            if !self.ids.insert(id.into()) {
                return Err(Drift::Repeated(id.into()));
            }
        }
        let came = self.ids.len();
        if came > total as usize || (!place.has_next && came < total as usize) {
            return Err(Drift::Miscounted { total, came });
        }
        if !place.has_next {
            return Ok(Next::Done);
        }
        if came == before {
            return Err(Drift::Empty);
        }
        if place.end_cursor.is_empty() {
            return Err(Drift::NoCursor);
        }
        if !self.cursors.insert(place.end_cursor.into()) {
            return Err(Drift::Stuck);
        }
        Ok(Next::After(place.end_cursor.into()))
    }

    /// Whether the list took more than one page, so that it could have changed in between.
    pub(super) fn needs_confirmation(&self) -> bool {
        self.pages > 1
    }

    /// Compares a finished walk with a later one through the same list.
    pub(super) fn confirms(&self, earlier: &Self) -> Result<(), Drift> {
        if self.ids == earlier.ids { Ok(()) } else { Err(Drift::Unconfirmed) }
    }
}

#[cfg(test)]
mod tests;
