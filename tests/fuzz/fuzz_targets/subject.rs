//! The subject that a Connector names.

#![no_main]

libfuzzer_sys::fuzz_target!(|case: &[u8]| promises::subject::hold(case));
