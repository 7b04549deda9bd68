//! A test program that runs itself once more under `strace`, which records its system calls, kills it at one of them, or
//! makes that fail.

mod calls;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

pub use calls::CHANGING;

/// The other process: one test of the program, ignored elsewhere, in a folder.
#[derive(Clone, Copy)]
pub struct Child {
    /// The name of the test.
    pub test: &'static str,
    /// The environment variable that tells it the folder.
    pub folder: &'static str,
}

impl Child {
    /// Lets it run to its end; [`log`] has the calls, with the paths of their descriptors.
    pub fn traced(self, folder: &Path) -> Output {
        self.under_strace(folder, &["-y"])
    }

    /// Lets it run until something happens to a call, as strace's `-e inject=` takes it; [`log`] has the calls.
    pub fn injected(self, folder: &Path, inject: &str) -> Output {
        self.under_strace(folder, &["-e", inject])
    }

    fn under_strace(self, folder: &Path, options: &[&str]) -> Output {
        let ended = Command::new("strace")
            .args(["-f", "-qq", "-e", &format!("trace=?{}", CHANGING.join(",?")), "-o"])
            .arg(log(folder))
            .args(options)
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", self.test, "--ignored", "--nocapture", "--test-threads=1"])
            .env(self.folder, folder)
            .output();
        match ended {
            Ok(ended) => ended,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                panic!("this test kills a process at each of its system calls with strace: install the package strace")
            }
            Err(error) => panic!("cannot start strace: {error}"),
        }
    }
}

/// Where the calls are recorded.
pub fn log(folder: &Path) -> PathBuf {
    folder.join("calls")
}

/// A folder in memory where the system has one: the calls are the same, and hundreds of runs wait for no disk.
pub fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}
