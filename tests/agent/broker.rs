//! The service broker as its clients meet it: the Open Service Broker API at its socket and its address, with a plane
//! behind it that grants, refuses, is silent, or is not there.

mod commands;
mod doors;
mod kills;
mod life;
mod orphans;
mod outage;
mod partings;
mod platform;
mod secrets;
mod shop;
