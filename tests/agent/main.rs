//! What the program promises as a whole: the real binary as a process of its own, against a simulated plane over real
//! TLS. No test sleeps; each waits for what the plane records, the agent's board shows, or a process does.

// Tests say what they expect by panicking.
#![allow(clippy::unwrap_used)]

mod access;
mod asking;
mod bindings;
mod broker;
mod canary;
mod commands;
mod credential;
mod dawdling;
mod denial;
mod doctor;
mod doubt;
mod drop;
mod endings;
mod following;
mod hooks;
mod host;
mod hostile;
mod installing;
mod interruption;
mod kills;
mod labels;
mod lastgood;
mod layers;
mod modes;
mod observing;
mod pairing;
mod proxy;
mod refusal;
mod removals;
mod renewal;
mod restart;
mod scene;
mod secrecy;
mod specifications;
mod strangers;
mod templates;
mod tree;
mod unpairing;
mod views;
mod waiting;
