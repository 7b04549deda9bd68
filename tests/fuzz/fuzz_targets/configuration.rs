//! The files of the configuration.

#![no_main]

libfuzzer_sys::fuzz_target!(|case: &[u8]| promises::configuration::hold(case));
