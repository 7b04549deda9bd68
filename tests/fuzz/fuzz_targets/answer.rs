//! Whatever a plane answers, the decoder takes it or says why not, and never gives a secret away.

#![no_main]

#[path = "../promises.rs"]
mod promises;

libfuzzer_sys::fuzz_target!(|body: &[u8]| promises::hold(body));
