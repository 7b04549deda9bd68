//! Tells the program when it was built: no clock that is right can show an earlier time.

use std::time::SystemTime;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    // Who builds reproducibly says which time is meant: https://reproducible-builds.org/specs/source-date-epoch/
    let said = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse::<u64>().ok());
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    println!("cargo::rustc-env=AGENT_BUILT_AT={}", said.unwrap_or_else(now));
}
