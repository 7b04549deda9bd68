//! The applier: the only part that runs with privileges, and the hooks it runs.
