//! A simulated management plane.
