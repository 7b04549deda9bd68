//! Where a template's file goes, as the configuration has it: a path with expressions in it.
//!
//! Text before the first expression is fixed, and says below which directory every file of the template stays.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A path with expressions, as in `/etc/nginx/conf.d/{{ application.slug }}.conf`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Destination {
    pattern: Box<str>,
    place: Place,
}

/// Who puts the file where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The applier, below this directory.
    Installed(PathBuf),
    /// The agent, inside each generation.
    Generation,
}

/// Names at the top of a generation that are the agent's own.
const OWN_NAMES: [&str; 3] = ["manifest.json", "applications.json", "applications"];

/// Why a text is no destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pattern:?} is no destination: {reason}")]
pub struct InvalidDestination {
    pattern: String,
    reason: &'static str,
}

impl Destination {
    /// What was written.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Who puts the file where.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Whether a path that was made from the pattern is one that the pattern may lead to: below the fixed directory,
    /// component by component, and nothing of the agent's own.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence.
    pub fn admits(&self, path: &str) -> Result<PathBuf, &'static str> {
        check_text(path)?;
        if path.len() > MAX_PATH {
            return Err("it is longer than a path can be");
        }
        match &self.place {
            Place::Installed(directory) => {
                let rest = path.strip_prefix('/').ok_or("it is not a path from the root on")?;
                check_components(rest)?;
                let path = PathBuf::from(path);
                if path.starts_with(directory) && path != *directory {
                    Ok(path)
                } else {
                    Err("it leaves the directory that the pattern begins with")
                }
            }
            Place::Generation => {
                check_components(path)?;
                check_free(path)?;
                Ok(path.into())
            }
        }
    }
}

/// The longest path (`PATH_MAX`, with the byte that ends it).
const MAX_PATH: usize = 4095;

/// The longest name in it (`NAME_MAX`).
const MAX_NAME: usize = 255;

fn check_text(text: &str) -> Result<(), &'static str> {
    if text.contains('\0') {
        Err("it holds a NUL")
    } else if text.contains(char::is_control) {
        Err("it holds a control character")
    } else {
        Ok(())
    }
}

/// What is between slashes has to be a name, for a path with `..` or `//` in it is not the path that it looks like.
fn check_components(path: &str) -> Result<(), &'static str> {
    for name in path.split('/') {
        match name {
            "" => return Err("a name in it is empty, or it ends with \"/\""),
            "." | ".." => return Err("it holds \".\" or \"..\""),
            _ if name.len() > MAX_NAME => return Err("a name in it is longer than 255 bytes"),
            _ => {}
        }
    }
    Ok(())
}

fn check_free(path: &str) -> Result<(), &'static str> {
    let first = path.split('/').next().unwrap_or_default();
    if OWN_NAMES.contains(&first) {
        Err("that name in a generation is the agent's own")
    } else if first.starts_with('.') {
        Err("names in a generation that begin with a dot are the agent's own")
    } else {
        Ok(())
    }
}

/// What stands before the first expression, statement or comment.
fn fixed_part(pattern: &str) -> &str {
    let begins = ["{{", "{%", "{#"].iter().filter_map(|mark| pattern.find(mark)).min();
    &pattern[..begins.unwrap_or(pattern.len())]
}

fn place(pattern: &str) -> Result<Place, &'static str> {
    check_text(pattern)?;
    let fixed = fixed_part(pattern);
    let whole = fixed.len() == pattern.len();
    // The last name may go on in an expression; what is before it is complete.
    let directory = fixed.rsplit_once('/').map(|(directory, _)| directory);
    match directory {
        _ if pattern.is_empty() => Err("it is empty"),
        Some(directory) if fixed.starts_with('/') => {
            let names = directory.strip_prefix('/').filter(|names| !names.is_empty()).ok_or(
                "the part before the first expression must name a directory below which all its files lie, and not \
                 the root alone",
            )?;
            check_components(names)?;
            if whole {
                check_components(&pattern[1..])?;
            }
            Ok(Place::Installed(Path::new("/").join(names)))
        }
        _ => {
            if let Some(directory) = directory {
                check_components(directory)?;
                check_free(directory)?;
            }
            if whole {
                check_components(pattern)?;
                check_free(pattern)?;
            }
            Ok(Place::Generation)
        }
    }
}

impl TryFrom<String> for Destination {
    type Error = InvalidDestination;

    fn try_from(pattern: String) -> Result<Self, InvalidDestination> {
        match place(&pattern) {
            Ok(place) => Ok(Self { pattern: pattern.into(), place }),
            Err(reason) => Err(InvalidDestination { pattern, reason }),
        }
    }
}

impl std::str::FromStr for Destination {
    type Err = InvalidDestination;

    fn from_str(text: &str) -> Result<Self, InvalidDestination> {
        text.to_owned().try_into()
    }
}

impl From<Destination> for String {
    fn from(destination: Destination) -> String {
        destination.pattern.into()
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pattern)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_before_the_first_expression_names_a_directory() {
        for (pattern, directory) in [
            ("/etc/nginx/conf.d/{{ application.slug }}.conf", "/etc/nginx/conf.d"),
            ("/etc/nginx/conf.d/agent-{{ application.slug }}.conf", "/etc/nginx/conf.d"),
            ("/etc/app/{{ application.slug }}/env", "/etc/app"),
            ("/etc/prometheus/targets.json", "/etc/prometheus"),
            ("/etc/x{# why #}", "/etc"),
        ] {
            let destination: Destination = pattern.parse().unwrap();
            assert_eq!(*destination.place(), Place::Installed(directory.into()), "{pattern}");
        }
        for pattern in ["{{ application.slug }}.conf", "nginx/all.conf", "nginx/{{ application.slug }}"] {
            assert_eq!(*pattern.parse::<Destination>().unwrap().place(), Place::Generation, "{pattern}");
        }
    }

    #[test]
    fn a_path_that_is_not_what_it_looks_like_is_refused() {
        for pattern in [
            "",
            "/",
            "/file",
            "/{{ application.slug }}",
            "//etc/x",
            "/etc/../x",
            "/etc//x",
            "/etc/./x/{{ a }}",
            "/etc/nginx/",
            "/etc/x\0",
            "/etc/x\ny",
            "../x",
            "a/../{{ x }}",
            "a//b",
            "manifest.json",
            "applications/x",
            "applications/{{ application.slug }}",
            ".hidden",
        ] {
            assert!(pattern.parse::<Destination>().is_err(), "{pattern:?}");
        }
    }

    #[test]
    fn no_value_leads_out_of_the_directory_or_over_the_agents_own_files() {
        let installed: Destination = "/etc/app/{{ x }}.conf".parse().unwrap();
        assert_eq!(installed.admits("/etc/app/a/b.conf"), Ok("/etc/app/a/b.conf".into()));
        for path in [
            "/etc/app",
            "/etc/application.conf",
            "/etc/app/../x",
            "/etc/app//x",
            "/etc/app/.",
            "etc/app/x",
            "/etc/app/a\0",
        ] {
            assert!(installed.admits(path).is_err(), "{path}");
        }
        let inside: Destination = "{{ x }}".parse().unwrap();
        assert_eq!(inside.admits("a/b"), Ok("a/b".into()));
        for path in ["applications", "manifest.json", "applications/x", ".tmp-x", "/etc/x", "..", "a/"] {
            assert!(inside.admits(path).is_err(), "{path}");
        }
        assert!(inside.admits(&"x".repeat(256)).is_err());
    }
}
