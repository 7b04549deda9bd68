//! The configuration: TOML files laid over one another, and variables over them, parsed into values that are valid by
//! their types.
//!
//! Every key has a built-in default, so an empty file, or none, is a complete configuration. A key that is not known,
//! a value of a wrong type and a value outside its bounds are errors that show the line. Each file has to be valid by
//! itself; what several of them say together is checked once they are merged.

mod broker;
mod destination;
mod environment;
mod error;
mod fragment;
mod hosts;
mod instance;
mod keys;
mod load;
mod location;
mod metrics;
mod origin;
mod restart;
mod settings;
mod system;
mod templates;
mod values;

pub use broker::{Broker, Brokerage, Orphans};
pub use destination::{Destination, InvalidDestination, Place};
pub use error::ConfigError;
pub use hosts::{HostPattern, InvalidHostPattern, is_allowed};
pub use instance::InstanceName;
pub use keys::sections;
pub use load::{Configuration, gather, load, parse, paths};
pub use location::Location;
pub use metrics::{LoopbackAddress, Metrics, NotATextFile, NotLoopback, TextFile};
pub use origin::Origin;
pub use settings::{
    Apply, ApplyMode, BundleUse, CONSOLE_LABEL, Control, EVENTS_LABEL, Hooks, Log, LogFormat, LogLevel, Output, Paths,
    Plane, Renewal, Report, Settings, Specifications, Sync,
};
pub use system::{ArgList, FileMode, GroupName, InvalidCommand, Unfit, UnitName, UserName};
pub use templates::{
    Each, Install, InvalidRule, OnConflict, Source, SourceName, TemplateLimits, TemplateName, TemplateRule, Wait,
};
pub use values::{ByteSize, HttpsUrl, InvalidUrl, LabelName, Seconds, Share};
