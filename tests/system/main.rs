//! The packages on a real host: each test boots a container in which systemd is process 1, and installs the packages
//! in it as an administrator would.
//!
//! Root is needed, and the packages have to be there: `make system` makes both sure. Elsewhere these tests are not
//! compiled, for they belong to the feature `system-tests`.

mod broker;
mod deb;
mod host;
mod identity;
mod instances;
mod journal;
mod life;
mod machine;
mod nginx;
mod packages;
mod promises;
mod provisioning;
mod readme;
mod rpm;
mod service;
mod templates;
