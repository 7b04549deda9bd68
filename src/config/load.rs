//! Reading the configuration file.

use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::settings::{CONSOLE_LABEL, EVENTS_LABEL, Paths, Settings};

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
    /// It is something else than a file.
    #[error("the configuration {0} is not a regular file")]
    NotAFile(PathBuf),
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

impl ConfigError {
    /// The error in one line, without the picture of the place.
    pub fn brief(&self) -> String {
        match self {
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
            Self::Unreadable { .. } | Self::NotAFile(_) | Self::TooLarge(_) | Self::Contradiction { .. } => {
                self.to_string()
            }
        }
    }
}

/// Where the agent that runs is met, as far as the file tells: a file that became invalid after the agent had read it
/// keeps nobody from asking the agent.
pub fn paths(path: &Path) -> Paths {
    /// Only what is looked for; the rest may be as wrong as it likes.
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Lenient {
        paths: Paths,
    }
    let text = read(path).unwrap_or_default();
    toml::from_str::<Lenient>(&text).unwrap_or_default().paths
}

/// The file's text, if it is a file, and not too large to be one that people wrote.
fn read(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    // Without O_NONBLOCK, a FIFO would hold us for ever.
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
        .open(path)
        .map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(ConfigError::NotAFile(path.to_owned()));
    }
    let mut text = String::new();
    file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_FILE { Err(ConfigError::TooLarge(path.to_owned())) } else { Ok(text) }
}

/// Reads the configuration. A missing file at [`DEFAULT_PATH`] means the defaults; any other missing file is an error.
///
/// # Errors
/// When the file cannot be read or is not valid.
pub fn load(path: &Path) -> Result<Settings, ConfigError> {
    match read(path) {
        Err(ConfigError::Unreadable { source, .. })
            if source.kind() == std::io::ErrorKind::NotFound && path == Path::new(DEFAULT_PATH) =>
        {
            Ok(Settings::default())
        }
        text => parse(&text?, path),
    }
}

/// Parses a configuration; `path` is only for messages.
///
/// # Errors
/// When the text is not valid.
pub fn parse(text: &str, path: &Path) -> Result<Settings, ConfigError> {
    let settings: Settings = toml::from_str(text)
        .map_err(|error| ConfigError::Invalid { path: path.to_owned(), explanation: masked(&error.to_string()) })?;
    let contradiction = |explanation: String| Err(ConfigError::Contradiction { path: path.to_owned(), explanation });
    for (key, value) in [
        ("paths.state", &settings.paths.state),
        ("paths.runtime", &settings.paths.runtime),
        ("paths.pairing", &settings.paths.pairing),
        ("paths.hooks", &settings.paths.hooks),
        ("paths.templates", &settings.paths.templates),
        ("apply.socket", &settings.apply.socket),
        ("apply.state", &settings.apply.state),
    ] {
        if !value.is_absolute() {
            return contradiction(format!("{key} = {value:?} must be an absolute path"));
        }
    }
    if let Some(bundle) = settings.plane.ca_bundle.as_ref().filter(|bundle| !bundle.is_absolute()) {
        return contradiction(format!("plane.ca_bundle = {bundle:?} must be an absolute path"));
    }
    let report = &settings.report;
    for (label, key, url) in
        [(EVENTS_LABEL, "events_url", &report.events_url), (CONSOLE_LABEL, "console_url", &report.console_url)]
    {
        if url.is_some() && report.labels.keys().any(|name| name.as_str() == label) {
            return contradiction(format!("the label {label} is given twice, by report.{key} and in report.labels"));
        }
    }
    let mut names = std::collections::BTreeSet::new();
    if let Some(rule) = settings.template.iter().find(|rule| !names.insert(&rule.name)) {
        return contradiction(format!("two templates have the name {}; give each its own", rule.name));
    }
    if settings.sync.jitter.get() > 0.5 {
        return contradiction(format!("sync.jitter = {} must be from 0.0 to 0.5", settings.sync.jitter.get()));
    }
    if settings.renewal.jitter.get() > settings.renewal.after.get() / 2.0 {
        return contradiction("renewal.jitter must not be larger than half of renewal.after".into());
    }
    if !(0.05..=0.95).contains(&settings.renewal.after.get()) {
        return contradiction(format!(
            "renewal.after = {} must be from 0.05 to 0.95: earlier wastes certificates, later leaves no time for retries",
            settings.renewal.after.get()
        ));
    }
    Ok(settings)
}

/// Puts asterisks in place of user names and passwords in addresses: the picture of a wrong line ends in the journal.
fn masked(explanation: &str) -> String {
    let masked = |line: &str| {
        let place = line.find("://").map(|place| place + 3);
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
    use crate::renewal::Moment;

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
        let text = refusal("[plane]\nproxy = \"http://u:canary@proxy.example.com\" # @\n");
        assert!(text.contains("line 2") && text.contains("**@") && text.contains("HTTPS_PROXY in a file"), "{text}");
        assert!(!text.contains("canary"), "{text}");
        let text = refusal("[sync]\npage_size = 0\n");
        assert!(text.contains("line 2") && text.contains("200"), "{text}");
        let text = refusal("[plane]\nmax_answer = \"1 KiB\"\n");
        assert!(text.contains("line 2") && text.contains("out of bounds"), "{text}");
        let text = refusal("[paths]\nstate = \"var\"\n");
        assert!(text.contains("paths.state") && text.contains("absolute"), "{text}");
    }

    #[test]
    fn renewal_is_by_a_share_or_by_what_remains_and_only_within_bounds() {
        let settings = |text: &str| parse(text, Path::new("x")).unwrap();
        assert_eq!(settings("").renewal.policy().moment, Moment::After(0.667));
        let moment = settings("[renewal]\nafter = 0.5\nbefore = \"30days\"\n").renewal.policy().moment;
        let remaining = std::time::Duration::from_secs(30 * 24 * 60 * 60);
        assert_eq!(moment, Moment::Before { remaining, otherwise: 0.5 });
        let text = refusal("[renewal]\nbefore = \"0s\"\n");
        assert!(text.contains("line 2") && text.contains("from 1m to"), "{text}");
        let text = refusal("[renewal]\nbefore = 0.3\n");
        assert!(text.contains("line 2") && text.contains("a duration"), "{text}");
        let text = refusal("[renewal]\nafter = 0.97\nbefore = \"30days\"\n");
        assert!(text.contains("renewal.after = 0.97 must be from"), "{text}");
        let text = refusal("[renewal]\njitter = 0.4\n");
        assert!(text.contains("half of renewal.after"), "{text}");
    }

    #[test]
    fn a_label_has_a_name_that_planes_take_and_one_value() {
        let settings = parse("[report.labels]\nsite_2 = \"fra\"\n", Path::new("x")).unwrap();
        assert_eq!(settings.report.labels.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["site_2"]);
        let text = refusal("[report.labels]\n\"a-b\" = \"x\"\n");
        assert!(text.contains("line 2") && text.contains("letters, digits and underscores"), "{text}");
        let twice = "[report]\nevents_url = \"https://e.example.com\"\nlabels = { runtime_eventServiceUrl = \"x\" }\n";
        assert!(refusal(twice).contains("given twice"), "{}", refusal(twice));
    }

    #[test]
    fn a_broken_file_is_told_in_one_line_and_does_not_hide_the_agent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.toml");
        std::fs::write(&path, "[paths]\nruntime = \"/elsewhere\"\n[sync]\nintervall = \"3m\"\n").unwrap();
        let brief = load(&path).unwrap_err().brief();
        assert!(brief.contains("line 4") && brief.contains("unknown field `intervall`"), "{brief}");
        assert!(!brief.contains('\n') && !brief.contains('|') && !brief.contains('^'), "{brief}");
        assert_eq!(paths(&path).runtime, Path::new("/elsewhere"));
        std::fs::write(&path, "not TOML at all").unwrap();
        assert_eq!(paths(&path), Paths::default());
    }

    #[test]
    fn what_is_no_file_is_refused_without_hanging() {
        assert!(matches!(load(Path::new("/dev/zero")), Err(ConfigError::NotAFile(_))));
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(load(&fifo), Err(ConfigError::NotAFile(_))));
    }

    #[test]
    fn a_missing_file_is_an_error_unless_it_is_the_default_one() {
        let error = load(Path::new("/nonexistent/agent.toml")).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/agent.toml"), "{error}");
    }
}
