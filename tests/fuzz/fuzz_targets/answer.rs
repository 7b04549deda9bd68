//! An answer of the plane.

#![no_main]

libfuzzer_sys::fuzz_target!(|case: &[u8]| promises::answer::hold(case));
