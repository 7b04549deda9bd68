//! The packages under test, and how an administrator handles them.

use std::path::{Path, PathBuf};

use crate::host::{Host, PACKAGES};

/// The packages as they were built, and the same with a higher version.
#[derive(Debug)]
pub(crate) struct Packages {
    pub(crate) current: PathBuf,
    pub(crate) upgrade: PathBuf,
}

impl Packages {
    pub(crate) fn find() -> Self {
        let directory = |variable| {
            std::env::var_os(variable).map_or_else(
                || panic!("{variable} does not name a directory with packages. Run `make system`, which builds them."),
                PathBuf::from,
            )
        };
        Self { current: directory("RUNTIME_AGENT_PACKAGES"), upgrade: directory("RUNTIME_AGENT_UPGRADE") }
    }

    /// The path, on a host, of the one package with this ending.
    fn on_host(directory: &Path, name: &str, ending: &str) -> String {
        let mut found: Vec<_> = std::fs::read_dir(directory)
            .unwrap_or_else(|error| panic!("{} holds no packages: {error}", directory.display()))
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|file| file.ends_with(ending))
            .collect();
        assert_eq!(found.len(), 1, "{} should hold one {ending}, but holds {found:?}.", directory.display());
        format!("{PACKAGES}/{name}/{}", found.remove(0))
    }
}

/// Which package manager a host uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Deb,
    Rpm,
}

impl Format {
    fn ending(self) -> &'static str {
        match self {
            Self::Deb => ".deb",
            Self::Rpm => ".rpm",
        }
    }

    /// The path, on a host, of the package under test.
    pub(crate) fn current(self) -> String {
        Packages::on_host(&Packages::find().current, "current", self.ending())
    }

    /// The path, on a host, of the package with the higher version.
    pub(crate) fn upgrade(self) -> String {
        Packages::on_host(&Packages::find().upgrade, "upgrade", self.ending())
    }

    /// Installs a package, or upgrades to it, or goes back to it; a configuration that was edited is kept, which is what
    /// `dpkg` would otherwise ask for. Packages are asked for no dependencies by `rpm`, which knows nothing of what
    /// Debian has installed.
    #[track_caller]
    pub(crate) fn install(self, host: &Host, package: &str) {
        match self {
            Self::Deb => host.run(&["dpkg", "--force-confold", "--install", package]).ok(),
            Self::Rpm => host.run(&["rpm", "--upgrade", "--nodeps", "--oldpackage", package]).ok(),
        };
    }

    /// Removes the package, and keeps what is the host's.
    #[track_caller]
    pub(crate) fn remove(self, host: &Host) {
        match self {
            Self::Deb => host.run(&["dpkg", "--remove", "runtime-agent"]).ok(),
            Self::Rpm => host.run(&["rpm", "--erase", "runtime-agent"]).ok(),
        };
    }

    /// The ending of the name under which the package's own configuration is laid beside an edited one.
    fn beside(self) -> &'static str {
        match self {
            Self::Deb => "dpkg-dist",
            Self::Rpm => "rpmnew",
        }
    }

    /// Where a new version's configuration lies, once it has come to a host whose administrator had edited the old one.
    pub(crate) fn new_configuration(self) -> String {
        format!("/etc/runtime-agent/agent.toml.{}", self.beside())
    }

    /// The version of the installed package.
    #[track_caller]
    pub(crate) fn version(self, host: &Host) -> String {
        match self {
            Self::Deb => host.run(&["dpkg-query", "--show", "--showformat=${Version}", "runtime-agent"]).ok(),
            Self::Rpm => host.run(&["rpm", "--query", "--queryformat=%{VERSION}", "runtime-agent"]).ok(),
        }
    }
}

/// A booted host on which the agent was installed.
#[track_caller]
pub(crate) fn installed(format: Format) -> Host {
    let host = Host::boot(crate::host::Options::default());
    format.install(&host, &format.current());
    host
}
