//! The wall clock of the host is set: hours, years, before the certificate, after it; and the host sleeps.

mod wall;
