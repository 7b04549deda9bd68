//! The names and values of a landscape, in templates.

#![no_main]

libfuzzer_sys::fuzz_target!(|case: &[u8]| promises::templates::hold(case));
