//! Where log lines go: to the journal with fields, or to standard error as text or JSON.

mod readable;

use std::io::IsTerminal as _;
use std::os::fd::AsFd as _;

use tracing::level_filters::LevelFilter;
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use self::readable::Readable;
use crate::config::{Log, LogFormat, LogLevel};

/// Begins logging. What other crates log through `log` comes along, from warnings upwards.
pub fn init(log: &Log) {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let filter = Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("runtime_agent", level);
    let journal = match log.format {
        LogFormat::Auto if !stderr_is_the_journal() => None,
        LogFormat::Text | LogFormat::Json => None,
        LogFormat::Auto | LogFormat::Journal => tracing_journald::layer().ok(),
    };
    let json = (log.format == LogFormat::Json)
        .then(|| fmt::layer().with_writer(std::io::stderr).with_target(false).json().flatten_event(true));
    let text = (journal.is_none() && json.is_none()).then(|| {
        fmt::layer()
            .with_writer(std::io::stderr)
            .with_target(false)
            .with_ansi(std::io::stderr().is_terminal())
            .fmt_fields(Readable)
    });
    let journal = journal.map(|layer| {
        layer.with_field_prefix(None).with_syslog_identifier("runtime-agent".into()).with_priority_mappings(
            PriorityMappings {
                error: Priority::Error,
                warn: Priority::Warning,
                info: Priority::Informational,
                debug: Priority::Debug,
                trace: Priority::Debug,
            },
        )
    });
    // Only a second call can fail, and then the first one counts.
    let _ = tracing_subscriber::registry().with(filter).with(text).with(json).with(journal).try_init();
    let _ = tracing_log::LogTracer::init_with_filter(tracing_log::log::LevelFilter::Warn);
}

/// Whether systemd connected standard error to the journal: it says which file that is (systemd.exec(5),
/// `$JOURNAL_STREAM`), so that a redirection is not mistaken for it.
fn stderr_is_the_journal() -> bool {
    let Some(stream) = std::env::var("JOURNAL_STREAM").ok() else { return false };
    let Ok(stat) = nix::sys::stat::fstat(std::io::stderr().as_fd()) else { return false };
    stream
        .split_once(':')
        .is_some_and(|(device, inode)| device.parse() == Ok(stat.st_dev) && inode.parse() == Ok(stat.st_ino))
}
