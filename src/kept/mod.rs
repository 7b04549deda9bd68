//! What outlives a restart besides the files for others: what the plane last said, and what is known of the plane.
//!
//! `snapshot.json` is never older than what is published: it is replaced before a publication, and removed where it
//! cannot be replaced. So the files can be made anew from it at any start, without the plane and without going back.

mod form;
mod plane;
mod snapshot;

pub use plane::{Known, PlaneFile};
pub use snapshot::{Kept, NotKept, SnapshotFile, Unusable};
