//! Reading the configuration file.

use std::path::{Path, PathBuf};

use super::settings::Settings;

/// Where the configuration is read from, when nothing else is said.
pub const DEFAULT_PATH: &str = "/etc/runtime-agent/agent.toml";

/// How large a configuration file may be. It is for people to write; 1 MiB is far beyond that.
const MAX_FILE: u64 = 1024 * 1024;

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
    /// The file is too large.
    #[error("the configuration {0} is larger than 1 MiB")]
    TooLarge(PathBuf),
    /// The file is not TOML, or a key or value in it is not allowed; the text shows the line.
    #[error("the configuration {path} is not valid\n{explanation}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The line, a caret, and what is allowed.
        explanation: String,
    },
    /// Two values do not go together.
    #[error("the configuration {path} is not valid: {explanation}")]
    Contradiction {
        /// The file.
        path: PathBuf,
        /// Which values, and what to do.
        explanation: String,
    },
}

/// Reads the configuration. A missing file at [`DEFAULT_PATH`] means the defaults; any other missing file is an error.
///
/// # Errors
/// When the file cannot be read or is not valid.
pub fn load(path: &Path) -> Result<Settings, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && path == Path::new(DEFAULT_PATH) => {
            return Ok(Settings::default());
        }
        Err(error) => return Err(unreadable(error)),
        Ok(metadata) if metadata.len() > MAX_FILE => return Err(ConfigError::TooLarge(path.to_owned())),
        Ok(_) => {}
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    parse(&text, path)
}

/// Parses a configuration; `path` is only for messages.
///
/// # Errors
/// When the text is not valid.
pub fn parse(text: &str, path: &Path) -> Result<Settings, ConfigError> {
    let settings: Settings = toml::from_str(text)
        .map_err(|error| ConfigError::Invalid { path: path.to_owned(), explanation: error.to_string() })?;
    let contradiction = |explanation: String| Err(ConfigError::Contradiction { path: path.to_owned(), explanation });
    for (key, value) in [
        ("paths.state", &settings.paths.state),
        ("paths.runtime", &settings.paths.runtime),
        ("paths.pairing", &settings.paths.pairing),
        ("paths.hooks", &settings.paths.hooks),
        ("apply.socket", &settings.apply.socket),
        ("apply.state", &settings.apply.state),
    ] {
        if !value.is_absolute() {
            return contradiction(format!("{key} = {value:?} must be an absolute path"));
        }
    }
    if settings.renewal.jitter.get() > settings.renewal.after.get() {
        return contradiction("renewal.jitter must not be larger than renewal.after".into());
    }
    if !(0.05..=0.95).contains(&settings.renewal.after.get()) {
        return contradiction(format!(
            "renewal.after = {} must be from 0.05 to 0.95: earlier wastes certificates, later leaves no time for retries",
            settings.renewal.after.get()
        ));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT_FILE: &str = include_str!("../../etc/agent.toml");

    fn refusal(text: &str) -> String {
        parse(text, Path::new("agent.toml")).unwrap_err().to_string()
    }

    #[test]
    fn the_default_file_changes_nothing_and_each_of_its_values_is_the_built_in_one() {
        assert_eq!(parse(DEFAULT_FILE, Path::new("x")).unwrap(), Settings::default());
        // `#key = value` is a setting with its default; `# prose` is prose.
        let is_setting =
            |line: &str| line.starts_with('#') && line.as_bytes().get(1).is_some_and(u8::is_ascii_lowercase);
        let uncommented: String = DEFAULT_FILE
            .lines()
            .map(|line| if is_setting(line) { &line[1..] } else { line })
            .flat_map(|line| [line, "\n"])
            .collect();
        assert_eq!(parse(&uncommented, Path::new("x")).unwrap(), Settings::default());
        let shown: toml::Table = toml::from_str(&uncommented).unwrap();
        let known = toml::Table::try_from(Settings::default()).unwrap();
        for (section, values) in &known {
            for key in values.as_table().unwrap().keys() {
                assert!(shown[section].get(key).is_some(), "etc/agent.toml does not show {section}.{key}");
            }
        }
    }

    #[test]
    fn a_misspelt_key_is_shown_with_its_line_and_what_is_allowed() {
        let text = refusal("[sync]\nintervall = \"3m\"\n");
        assert!(text.contains("line 2") && text.contains("intervall") && text.contains("`interval`"), "{text}");
    }

    #[test]
    fn an_impossible_value_is_shown_with_its_line_and_its_bounds() {
        let text = refusal("[sync]\ninterval = \"1s\"\n");
        assert!(text.contains("line 2") && text.contains("from 5s to 7days"), "{text}");
        let text = refusal("[plane]\nconnector_url = \"http://plane.example.com\"\n");
        assert!(text.contains("line 2") && text.contains("only https: is accepted"), "{text}");
        let text = refusal("[sync]\npage_size = 0\n");
        assert!(text.contains("line 2") && text.contains("200"), "{text}");
        let text = refusal("[plane]\nmax_answer = \"1 KiB\"\n");
        assert!(text.contains("line 2") && text.contains("out of bounds"), "{text}");
        let text = refusal("[paths]\nstate = \"var\"\n");
        assert!(text.contains("paths.state") && text.contains("absolute"), "{text}");
    }

    #[test]
    fn a_missing_file_is_an_error_unless_it_is_the_default_one() {
        let error = load(Path::new("/nonexistent/agent.toml")).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/agent.toml"), "{error}");
    }
}
