//! A request at the broker's ways in.

#![no_main]

libfuzzer_sys::fuzz_target!(|case: &[u8]| promises::broker::hold(case));
