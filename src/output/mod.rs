//! What the host's own services read: generations of files, published whole.

pub mod manifest;
