//! The configuration: a TOML file, parsed into values that are valid by their types.
//!
//! Every key has a built-in default, so an empty file, or none, is a complete configuration. A key that is not known,
//! a value of a wrong type and a value outside its bounds are errors that show the line.

mod destination;
mod hosts;
mod load;
mod settings;
mod system;
mod templates;
mod values;

pub use destination::{Destination, InvalidDestination, Place};
pub use hosts::{HostPattern, InvalidHostPattern, is_allowed};
pub use load::{ConfigError, DEFAULT_PATH, load, parse, paths};
pub use settings::{
    Apply, ApplyMode, BundleUse, CONSOLE_LABEL, EVENTS_LABEL, Hooks, Log, LogFormat, LogLevel, Output, Paths, Plane,
    Renewal, Report, Settings, Specifications, Sync,
};
pub use system::{ArgList, FileMode, GroupName, InvalidCommand, Unfit, UnitName, UserName};
pub use templates::{
    Each, Install, InvalidRule, OnConflict, Source, SourceName, TemplateLimits, TemplateName, TemplateRule, Wait,
};
pub use values::{ByteSize, HttpsUrl, InvalidUrl, LabelName, Seconds, Share};
