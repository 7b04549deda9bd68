//! A request to the applier, and its answer.

#![no_main]

libfuzzer_sys::fuzz_target!(|case: &[u8]| promises::applier::hold(case));
