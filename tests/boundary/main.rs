//! The applier from outside: the real program, asked over its real protocol, below a state directory that somebody hostile
//! fills, in directories that somebody else owns, and on file systems that fail.
//!
//! As root, what is hostile is another user. As anybody else it is the same one, and what only root can see is left out.

// Tests say what they expect by panicking.
#![allow(clippy::unwrap_used)]

#[path = "../strace/calls.rs"]
mod calls;
mod faults;
mod mounts;
mod owned;
mod planted;
mod requests;
mod sequences;
mod site;
#[path = "../snapshots/mod.rs"]
mod snapshots;
