//! Calls that fail, kills at calls, and power that is lost: at each call that the agent or its applier makes.
//!
//! A run under `strace` tells which calls there are; every other run has something happen at one of them. Power is lost
//! on a disk that is only thought of: the calls are replayed on it, and what would be left is put in place.

mod aims;
mod disk;
mod instants;
mod life;
mod power;
mod replay;
mod single;
mod sweep;
mod traced;
