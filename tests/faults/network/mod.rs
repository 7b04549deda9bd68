//! The network between the agent and the plane fails in every way that packets can.

mod relay;
mod spaces;
mod weather;
