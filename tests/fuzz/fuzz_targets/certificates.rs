//! What a Connector has signed.

#![no_main]

libfuzzer_sys::fuzz_target!(|case: &[u8]| promises::certificates::hold(case));
