//! Reading the configuration: files laid over one another, variables over all, and the whole checked.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use toml::{Table, Value};

use super::environment::overrides;
use super::error::{ConfigError, masked};
use super::fragment::{Fragment, TEMPLATE};
use super::location::{Location, Text, read_trusted};
use super::origin::Origin;
use super::settings::{CONSOLE_LABEL, EVENTS_LABEL, Paths, Settings};

/// The configuration, and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Configuration {
    /// The values.
    pub settings: Settings,
    /// The files that were read, in the order in which they are laid over one another.
    pub files: Vec<PathBuf>,
    /// Where the values come from, by their dotted keys; what is not in it has its default.
    origins: BTreeMap<String, Origin>,
    /// Where the templates come from, in their order.
    templates: Vec<Origin>,
}

impl Configuration {
    /// Where the value of a dotted key comes from.
    pub fn origin(&self, key: &str) -> &Origin {
        self.origins.get(key).unwrap_or(&Origin::Default)
    }

    /// That it is valid, with the names of all files, so that one that was meant to count and does not is missed.
    pub fn verdict(&self) -> String {
        let files: Vec<_> = self.files.iter().map(|path| path.display().to_string()).collect();
        match &files[..] {
            [] => "there is no configuration file, and the defaults are valid".to_owned(),
            [file] => format!("{file} is valid"),
            files => format!("valid together: {}", files.join(", ")),
        }
    }

    /// Where each of the templates comes from, in their order.
    pub fn template_origins(&self) -> &[Origin] {
        &self.templates
    }
}

/// Reads the settings. Where none of the system's files is there, they are the defaults; a file that was named has to be
/// there.
///
/// # Errors
/// When a file cannot be read, or what they say together is not valid.
pub fn load(location: &Location) -> Result<Settings, ConfigError> {
    gather(location).map(|configuration| configuration.settings)
}

/// Reads the configuration, and keeps where every value comes from.
///
/// # Errors
/// As of [`load`].
pub fn gather(location: &Location) -> Result<Configuration, ConfigError> {
    gather_with(location, std::env::vars_os())
}

fn gather_with(
    location: &Location,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Configuration, ConfigError> {
    let mut inputs = Inputs::new(&Settings::of(location.instance()))?;
    if let Some(main) = location.read_main()? {
        inputs.read(main)?;
    }
    for path in location.fragments()? {
        inputs.read(read_trusted(&path)?)?;
    }
    for fragment in overrides(variables)? {
        inputs.lay(fragment);
    }
    inputs.settle(location.main())
}

/// Parses a configuration of one file; `path` is only for messages.
///
/// # Errors
/// When the text is not valid.
pub fn parse(text: &str, path: &Path) -> Result<Settings, ConfigError> {
    let mut inputs = Inputs::new(&Settings::default())?;
    inputs.read(Text { path: path.to_owned(), text: text.to_owned() })?;
    inputs.settle(path).map(|configuration| configuration.settings)
}

/// Where the agent that runs is met, as far as files and variables tell: what became invalid after the agent had read it
/// keeps nobody from asking the agent.
pub fn paths(location: &Location) -> Paths {
    let mut paths = Settings::of(location.instance()).paths;
    let main = location.read_main().ok().flatten();
    let fragments = location.fragments().unwrap_or_default().into_iter().filter_map(|path| read_trusted(&path).ok());
    for file in main.into_iter().chain(fragments) {
        paths = over(paths, toml::from_str(&file.text).unwrap_or_default());
    }
    for variable in std::env::vars_os() {
        let fragment = overrides([variable]).unwrap_or_default().into_iter().next();
        paths = over(paths, fragment.map(|fragment| fragment.table).unwrap_or_default());
    }
    paths
}

/// The paths with those of `table` over them; without, where those are none.
fn over(paths: Paths, mut table: Table) -> Paths {
    let Ok(mut merged) = Table::try_from(&paths) else { return paths };
    if let Some(Value::Table(changes)) = table.remove("paths") {
        merged.extend(changes);
    }
    Paths::deserialize(merged).unwrap_or(paths)
}

/// What was read so far, one laid over the other.
struct Inputs {
    table: Table,
    origins: BTreeMap<String, Origin>,
    templates: Vec<(String, Value, Origin)>,
    files: Vec<PathBuf>,
}

impl Inputs {
    fn new(defaults: &Settings) -> Result<Self, ConfigError> {
        let table = Table::try_from(defaults).map_err(|error| ConfigError::Contradiction {
            path: PathBuf::from("the defaults"),
            explanation: error.to_string(),
        })?;
        Ok(Self { table, origins: BTreeMap::new(), templates: Vec::new(), files: Vec::new() })
    }

    fn read(&mut self, file: Text) -> Result<(), ConfigError> {
        let fragment = Fragment::parse(&file)?;
        self.files.push(file.path);
        self.lay(fragment);
        Ok(())
    }

    /// Tables are merged; a later value takes the place of an earlier one, and a template that of one with its name.
    fn lay(&mut self, fragment: Fragment) {
        overlay(&mut self.table, fragment.table);
        self.origins.extend(fragment.origins);
        for template in fragment.templates {
            match self.templates.iter_mut().find(|(name, ..)| *name == template.0) {
                Some(known) => *known = template,
                None => self.templates.push(template),
            }
        }
    }

    fn settle(self, main: &Path) -> Result<Configuration, ConfigError> {
        let Self { mut table, origins, templates, files } = self;
        let (values, templates): (Vec<_>, Vec<_>) =
            templates.into_iter().map(|(_, value, origin)| (value, origin)).unzip();
        table.insert(TEMPLATE.to_owned(), Value::Array(values));
        let settings = Settings::deserialize(table).map_err(|error| ConfigError::Contradiction {
            path: main.to_owned(),
            explanation: masked(&error.to_string()),
        })?;
        let configuration = Configuration { settings, files, origins, templates };
        match contradiction(&configuration.settings) {
            None => Ok(configuration),
            Some(Contradiction { what, keys }) => {
                let place = |key: &String| match configuration.origin(key) {
                    Origin::Default => format!("{key} has its default"),
                    Origin::File { path, line } => format!("{key} is set in {}, line {line}", path.display()),
                    Origin::Environment { variable } => format!("{key} is set by {variable}"),
                };
                let places: Vec<_> = keys.iter().map(place).collect();
                let explanation = format!("{} ({})", masked(&what), places.join("; "));
                Err(ConfigError::Contradiction { path: main.to_owned(), explanation })
            }
        }
    }
}

fn overlay(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => overlay(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

/// Values that do not go together, or not with the world.
struct Contradiction {
    what: String,
    /// Their dotted keys.
    keys: Vec<String>,
}

fn contradiction(settings: &Settings) -> Option<Contradiction> {
    let found = |keys: &[&str], what: String| {
        Some(Contradiction { what, keys: keys.iter().map(ToString::to_string).collect() })
    };
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
            return found(&[key], format!("{key} = {value:?} must be an absolute path"));
        }
    }
    if let Some(file) = settings.broker.password_file.as_ref().filter(|file| !file.is_absolute()) {
        let what = format!("broker.password_file = {file:?} must be an absolute path");
        return found(&["broker.password_file"], what);
    }
    if let Some(address) = settings.broker.listen.filter(|address| settings.metrics.listen == Some(*address)) {
        let what = format!("the service broker and metrics cannot both be served at {address}");
        return found(&["broker.listen", "metrics.listen"], what);
    }
    if let Some(bundle) = settings.plane.ca_bundle.as_ref().filter(|bundle| !bundle.is_absolute()) {
        return found(&["plane.ca_bundle"], format!("plane.ca_bundle = {bundle:?} must be an absolute path"));
    }
    let report = &settings.report;
    for (label, key, url) in
        [(EVENTS_LABEL, "events_url", &report.events_url), (CONSOLE_LABEL, "console_url", &report.console_url)]
    {
        if url.is_some() && report.labels.keys().any(|name| name.as_str() == label) {
            let keys = [format!("report.{key}"), format!("report.labels.{label}")];
            let what = format!("the label {label} is given twice, by report.{key} and in report.labels");
            return found(&[&keys[0], &keys[1]], what);
        }
    }
    if settings.sync.jitter.get() > 0.5 {
        let what = format!("sync.jitter = {} must be from 0.0 to 0.5", settings.sync.jitter.get());
        return found(&["sync.jitter"], what);
    }
    let (after, jitter) = (settings.renewal.after.get(), settings.renewal.jitter.get());
    if jitter > after / 2.0 {
        let what = format!("renewal.jitter = {jitter} must not be larger than half of renewal.after, which is {after}");
        return found(&["renewal.jitter", "renewal.after"], what);
    }
    if !(0.05..=0.95).contains(&after) {
        let what = format!(
            "renewal.after = {after} must be from 0.05 to 0.95: earlier wastes certificates, later leaves no time for \
             retries"
        );
        return found(&["renewal.after"], what);
    }
    None
}

#[cfg(test)]
#[path = "load/tests.rs"]
mod tests;
