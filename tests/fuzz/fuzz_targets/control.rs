//! A request at the control socket.

#![no_main]

libfuzzer_sys::fuzz_target!(|case: &[u8]| promises::control::hold(case));
