//! Why there is no configuration, and how that is told.

use std::path::PathBuf;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is something else than a file.
    #[error("the configuration {0} is not a regular file")]
    NotAFile(PathBuf),
    /// The file is too large.
    #[error("the configuration {0} is larger than 1 MiB")]
    TooLarge(PathBuf),
    /// There are too many files.
    #[error("the folder {0} holds more than 1000 fragments of a configuration")]
    TooMany(PathBuf),
    /// Others could change it, and so decide what root does.
    #[error("the configuration {path} is not read, for others could change it: {why}")]
    Untrusted {
        /// The file.
        path: PathBuf,
        /// Who, and what to do.
        why: String,
    },
    /// The file is not TOML, or a key or value in it is not allowed; the text shows the line.
    #[error("the configuration {path} is not valid\n{explanation}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The line, a caret, and what is allowed.
        explanation: String,
    },
    /// A variable of the environment that is to override a value does not.
    #[error("the environment variable {name} is not valid: {explanation}")]
    Variable {
        /// Its name.
        name: String,
        /// What is wrong with it.
        explanation: String,
    },
    /// Two values do not go together.
    #[error("the configuration {path} is not valid: {explanation}")]
    Contradiction {
        /// The file.
        path: PathBuf,
        /// Which values, where they are set, and what to do.
        explanation: String,
    },
}

impl ConfigError {
    /// Whether the same would be answered at the next try. Where the disk fails, or the system has too little of
    /// something, nothing is known of the configuration.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Unreadable { source, .. } => crate::disk::is_lasting(source),
            Self::NotAFile(_)
            | Self::TooLarge(_)
            | Self::TooMany(_)
            | Self::Untrusted { .. }
            | Self::Invalid { .. }
            | Self::Variable { .. }
            | Self::Contradiction { .. } => true,
        }
    }

    /// The error in one line, without the picture of the place, and without what has no place in a line: keys can hold it.
    pub fn brief(&self) -> String {
        crate::transport::fit(&match self {
            Self::Invalid { path, explanation } => {
                let mut lines = explanation.lines();
                let place = lines.next().unwrap_or_default();
                // The picture's lines have a bar in them, after a line number or none.
                let is_picture = |line: &&str| {
                    line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()).trim_start().starts_with('|')
                };
                let reason: Vec<_> = lines.filter(|line| !is_picture(line)).collect();
                format!("{}: {place}: {}", path.display(), reason.join(" "))
            }
            Self::Unreadable { .. }
            | Self::NotAFile(_)
            | Self::TooLarge(_)
            | Self::TooMany(_)
            | Self::Untrusted { .. }
            | Self::Variable { .. }
            | Self::Contradiction { .. } => self.to_string(),
        })
    }
}

/// Puts asterisks in place of user names and passwords in addresses: the picture of a wrong line ends in the journal.
pub(super) fn masked(explanation: &str) -> String {
    let masked = |line: &str| {
        // Who forgets the scheme of a proxy has the password in the line all the same.
        let value = || line.find(['"', '\'']).or_else(|| line.find('=')).map(|place| place + 1);
        let place = line.find("://").map(|place| place + 3).or_else(|| line.contains("proxy").then(value).flatten());
        match place.and_then(|start| Some((start, start + line[start..].rfind('@')?))) {
            Some((start, end)) => {
                [&line[..start], &"*".repeat(line[start..end].chars().count()), &line[end..]].concat()
            }
            None => line.to_owned(),
        }
    };
    explanation.split_inclusive('\n').map(masked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_an_address_is_not_shown_with_a_scheme_or_without() {
        for line in ["3 | proxy = \"http://user:canary@p:3128\"", "proxy = \"user:canary@p\"", "proxy = user:canary@p"]
        {
            let shown = masked(line);
            assert!(!shown.contains("canary") && shown.contains("proxy =") && shown.contains("@p"), "{shown}");
            assert_eq!(shown.chars().count(), line.chars().count(), "the caret below still points at it");
        }
    }
}
