//! Small pieces in C: what a namespace or another program's clock asks for cannot be had from safe Rust. They are
//! compiled when they are first needed, by the compiler that the agent's own dependencies need, too.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles a source file of this folder, with further arguments, and answers where the result is.
///
/// # Panics
///
/// Where that fails: the compiler is there, for this very test was linked by it.
pub fn compiled(source: &str, arguments: &[&str]) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults").join(source);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(folder).unwrap();
    // Tests that run at once compile it at once; each sees a whole result.
    let draft = tempfile::Builder::new().tempdir_in(folder).unwrap();
    let result = folder.join(source.file_stem().unwrap());
    let made = draft.path().join("made");
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let ended = Command::new(&compiler)
        .args(["-O1", "-Wall", "-Wextra", "-pthread"])
        .args(arguments)
        .args([OsStr::new("-o"), made.as_os_str(), source.as_os_str()])
        .args(["-ldl"])
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", compiler.display()));
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    fs::rename(made, &result).unwrap();
    result
}
