//! A file in the folder of tokens.

#![no_main]

libfuzzer_sys::fuzz_target!(|case: &[u8]| promises::token::hold(case));
