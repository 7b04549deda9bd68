//! The names of all metrics, in one place: what each is called, which kind it is, and what it says.

/// What begins every name. Even where convention has common names (`process_start_time_seconds`): node_exporter, which
/// may read ours from a file, has those of its own.
pub const PREFIX: &str = "runtime_agent";

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, and begins anew with the process.
    Counter,
    /// It is what it is at the moment.
    Gauge,
    /// Counts of durations, by upper bounds in seconds.
    Histogram,
}

macro_rules! names {
    ($($(#[label($label:literal)])? $name:ident: $kind:ident $text:literal, $help:literal;)*) => {
        /// A metric.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Name {
            $(#[doc = $help] $name,)*
        }

        impl Name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name, without the prefix and without what its kind adds.
            pub const fn stem(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// How it behaves.
            pub const fn kind(self) -> Kind {
                match self { $(Self::$name => Kind::$kind,)* }
            }

            /// What it says, without a full stop, which the encoder adds.
            pub const fn help(self) -> &'static str {
                match self { $(Self::$name => $help,)* }
            }

            /// The one label that it has, if it has one. Its values are words of the program: never anything that the
            /// plane, a file or a person names.
            pub const fn label(self) -> Option<&'static str> {
                match self { $(Self::$name => { let label: &[&str] = &[$($label)?]; label.first().copied() })* }
            }
        }
    };
}

names! {
    #[label("version")] BuildInfo: Gauge "build_info", "Which version of the agent runs; always 1";
    StartTime: Gauge "start_time_seconds", "When the agent was started, as a Unix time";
    #[label("state")] State: Gauge "state", "1 for the state that the host is in, as status names it, and 0 for all others";
    Paired: Gauge "paired", "1 while the host has an identity, valid or not";
    NotBefore: Gauge "certificate_not_before_timestamp_seconds", "From when on the certificate is valid, as a Unix time";
    NotAfter: Gauge "certificate_not_after_timestamp_seconds", "Until when the certificate is valid, as a Unix time";
    RenewalAt: Gauge "certificate_renewal_timestamp_seconds", "When the certificate is going to be renewed, as a Unix time";
    #[label("result")] Renewals: Counter "renewals", "Renewals of the certificate, by what came of them";
    Pairings: Counter "pairings", "How often the host was paired";
    #[label("result")] Polls: Counter "polls", "Polls of the plane, by what came of them";
    PollDuration: Histogram "poll_duration_seconds", "How long polls took, until the list was complete or an error";
    AnswerBytes: Counter "answer_bytes", "Bytes of answers of the plane, as they came over the wire";
    LastPoll: Gauge "last_successful_poll_timestamp_seconds", "When the plane last gave a complete list, as a Unix time";
    FailedInARow: Gauge "failed_polls_in_a_row", "Polls that failed since the last one that did not";
    Applications: Gauge "applications", "Applications in the files that are published";
    Bundles: Gauge "bundles", "Bundles of these applications";
    Generation: Gauge "generation", "The number of the generation of files that is current";
    RolledBack: Gauge "rolled_back", "1 while the files are rolled back to an older generation";
    Generations: Counter "generations_published", "Generations that were published";
    FilesWritten: Counter "installed_files_written", "Files of templates that were written where they belong";
    FilesRemoved: Counter "installed_files_removed", "Files of templates that were removed";
    #[label("result")] Applies: Counter "applies", "Requests to the applier, by what came of them";
    ApplySucceeded: Gauge "apply_succeeded", "1 if the last request to the applier succeeded, 0 if it did not";
    #[label("result")] Hooks: Counter "hooks", "Hooks that ran, by how they ended";
    HookDuration: Histogram "hook_duration_seconds", "How long hooks ran";
    BrokerInstances: Gauge "broker_instances", "Service instances, where the broker is on";
    #[label("state")] BrokerBindings: Gauge "broker_bindings", "Service bindings, by whether they have credentials, are being made or given back, or failed";
    BrokerOrphans: Gauge "broker_orphans", "Sets of credentials that the plane has in the name of this host and no binding stands for";
    #[label("result")] BrokerRequests: Counter "broker_requests", "Requests to the service broker, by how they were answered";
    #[label("area")] Problems: Gauge "problems", "1 for what there is a problem with, as status names it, and 0 for all others";
    #[label("what")] Retries: Counter "retries", "What failed and is tried again by itself";
}

impl Name {
    /// Its whole name, as in queries; for a histogram, what all of its samples begin with.
    pub fn full(self) -> String {
        let total = if self.kind() == Kind::Counter { "_total" } else { "" };
        format!("{PREFIX}_{}{total}", self.stem())
    }

    /// The names of its samples.
    pub fn samples(self) -> Vec<String> {
        match self.kind() {
            Kind::Counter | Kind::Gauge => vec![self.full()],
            Kind::Histogram => ["bucket", "sum", "count"].map(|part| format!("{}_{part}", self.full())).to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_what_conventions_ask_for_and_none_is_there_twice() {
        let stems: BTreeSet<_> = Name::ALL.iter().map(|name| name.stem()).collect();
        assert_eq!(stems.len(), Name::ALL.len());
        for stem in stems {
            assert!(stem.chars().all(|c| c.is_ascii_lowercase() || c == '_') && !stem.ends_with("_total"), "{stem}");
        }
    }
}
