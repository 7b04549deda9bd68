//! How a read is made: page sizes, attempts, bounds.

use std::fmt;
use std::num::NonZeroU8;

use serde::{Deserialize, Serialize};

use super::Dialect;
use crate::snapshot::pack;

/// How many applications a page has; 1 to 200, which is what planes accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct PageSize(u16);

/// A number that is no page size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a page has 1 to 200 items, not {0}")]
pub struct InvalidPageSize(u16);

impl PageSize {
    /// The most that planes accept; those before 2021 accept half of it.
    pub const LARGEST: u16 = 200;

    /// Where lowering ends: an answer with so little in it is not what a gateway or a slow plane stumbles over.
    const FLOOR: u16 = 5;

    /// A page of this many applications.
    ///
    /// # Errors
    /// When the number is not between 1 and 200.
    pub const fn new(size: u16) -> Result<Self, InvalidPageSize> {
        if size == 0 || size > Self::LARGEST { Err(InvalidPageSize(size)) } else { Ok(Self(size)) }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The largest page that planes of this dialect accept.
    pub(super) const fn largest(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Bundle => Self(Self::LARGEST),
            Dialect::Package => Self(Self::LARGEST / 2),
        }
    }

    /// A page smaller by `divisor`, if there is one above the floor.
    pub(super) fn lowered(self, divisor: u16) -> Option<Self> {
        (self.0 > Self::FLOOR).then(|| Self((self.0 / divisor).max(Self::FLOOR)))
    }

    /// How many bundles come with each application of a page. Applications rarely have more than a handful, so that
    /// one request brings them all; the product of the nested sizes bounds the worst answer.
    pub(super) fn bundles(self) -> u16 {
        (self.0 / 2).clamp(1, 25)
    }

    /// How many definitions of each kind come with each bundle.
    pub(super) fn definitions(self) -> u16 {
        self.0.min(50)
    }
}

impl Default for PageSize {
    fn default() -> Self {
        Self(100)
    }
}

impl TryFrom<u16> for PageSize {
    type Error = InvalidPageSize;

    fn try_from(size: u16) -> Result<Self, InvalidPageSize> {
        Self::new(size)
    }
}

impl From<PageSize> for u16 {
    fn from(size: PageSize) -> u16 {
        size.0
    }
}

impl fmt::Display for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether the bundles' documents are part of a read. Their texts never are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Documents {
    /// They are listed.
    Listed,
    /// They are not asked for.
    LeftOut,
}

/// How a read is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchOptions {
    /// How many applications a page has at first; lowered where the plane cannot answer that much at once.
    pub page_size: PageSize,
    /// The dialect that the plane spoke before; tried first.
    pub dialect: Option<Dialect>,
    /// Whether the bundles' documents are asked for.
    pub documents: Documents,
    /// How often a read is made in all, where the plane's lists change under it.
    pub attempts: NonZeroU8,
    /// How many applications are taken.
    pub max_applications: u32,
    /// How many things of all kinds are taken.
    pub max_items: u32,
    /// How many bytes the applications may take at rest.
    pub max_bytes: u32,
    /// How many requests one fetch may take.
    pub max_requests: u32,
}

impl FetchOptions {
    /// Three reads at most.
    pub const ATTEMPTS: NonZeroU8 = NonZeroU8::new(3).expect("three is not zero");
    /// Many times what the largest landscapes have.
    pub const MAX_APPLICATIONS: u32 = 200_000;
    /// Definitions are most of them: a bound that no real landscape meets.
    pub const MAX_ITEMS: u32 = 2_000_000;
    /// Enough for the largest number of applications in the smallest pages, with room for continuations.
    pub const MAX_REQUESTS: u32 = 20_000;
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            page_size: PageSize::default(),
            dialect: None,
            documents: Documents::LeftOut,
            attempts: Self::ATTEMPTS,
            max_applications: Self::MAX_APPLICATIONS,
            max_items: Self::MAX_ITEMS,
            max_bytes: pack::LARGEST,
            max_requests: Self::MAX_REQUESTS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_size_that_planes_refuse_cannot_be_made() {
        assert!(PageSize::new(0).is_err());
        assert!(PageSize::new(201).is_err());
        assert!(serde_json::from_str::<PageSize>("0").is_err());
        assert_eq!(serde_json::from_str::<PageSize>("200").unwrap().get(), 200);
    }

    #[test]
    fn lowering_ends_at_the_floor_and_a_smaller_choice_stays() {
        let mut size = PageSize::default();
        let mut steps = vec![size.get()];
        while let Some(lower) = size.lowered(2) {
            size = lower;
            steps.push(size.get());
        }
        assert_eq!(steps, [100, 50, 25, 12, 6, 5]);
        assert_eq!(PageSize(2).lowered(2), None);
        assert_eq!((PageSize(1).bundles(), PageSize(1).definitions()), (1, 1));
    }
}
