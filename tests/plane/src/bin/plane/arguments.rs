//! The commands and their arguments.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use jiff::SignedDuration;
use plane::{
    Answering, CredentialKind, Dialect, Endpoint, KeyAlgorithm, ListChange, Refusal, ServerCertificate, TokenForm,
};

/// A simulated management plane.
#[derive(Parser)]
#[command(name = "plane")]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where the running plane is found.
#[derive(Args)]
pub(crate) struct Place {
    /// The directory with plane.json (else $PLANE_DIR, else the working directory)
    #[arg(long, global = true)]
    pub(crate) dir: Option<PathBuf>,
    /// The URL of the administration (else $PLANE_ADMIN, else what plane.json says)
    #[arg(long, global = true)]
    pub(crate) admin: Option<String>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run a plane until SIGTERM or SIGINT
    Serve(Box<Serve>),
    /// Register a runtime and print its id
    Runtime {
        /// Its name
        name: String,
        /// The only applications that it may see
        #[arg(long = "application")]
        applications: Option<Vec<String>>,
    },
    /// Make a one-time token and print it
    Token {
        /// The runtime's id or name
        runtime: String,
        /// The form in which it is handed over
        #[arg(long, value_enum, default_value = "json")]
        form: TokenForm,
        /// How long it can be used
        #[arg(long, value_parser = duration)]
        expires: Option<Duration>,
    },
    /// Add applications from a JSON file
    Load {
        /// One application, a list, or an object with the list "applications"
        file: PathBuf,
    },
    /// Add generated applications and print their ids
    Generate(Generate),
    /// Change an application
    Change {
        /// Its id or name
        application: String,
        #[arg(long)]
        name: Option<String>,
        #[arg(long)]
        description: Option<String>,
        /// The URL under which all its APIs are reached from now on
        #[arg(long)]
        target_url: Option<String>,
        /// Give every credential a new secret
        #[arg(long)]
        rotate_credentials: bool,
    },
    /// Delete an application
    Delete {
        /// Its id or name
        application: String,
    },
    /// Revoke all certificates of a runtime
    Revoke {
        /// Its id or name
        runtime: String,
    },
    /// Let all tokens of a runtime expire now
    Expire {
        /// Its id or name
        runtime: String,
        /// Also let certificates live only so long from now on
        #[arg(long, value_parser = duration)]
        certificates: Option<Duration>,
    },
    /// Issue client certificates from a new authority
    RotateCa {
        /// Also refuse the certificates of the former ones
        #[arg(long)]
        distrust_former: bool,
    },
    /// Change what can be changed while the plane runs
    Set(Box<Set>),
    /// Let something go wrong
    Fault(Box<FaultArguments>),
    /// Answer for an application that was asked for credentials
    Auth {
        /// The id of the instance auth
        id: String,
        #[command(subcommand)]
        answer: AuthAnswer,
    },
    /// Print the instance auths of a runtime
    Auths {
        /// Its id or name
        runtime: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Print what was asked
    Requests {
        /// As JSON
        #[arg(long)]
        json: bool,
        /// Forget them
        #[arg(long)]
        clear: bool,
    },
    /// Print everything that is listed
    State {
        /// Only what this runtime sees, by its id or name
        #[arg(long)]
        runtime: Option<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Print every secret value that was handed out
    Canaries,
    /// Print where the plane is met
    Urls,
}

#[derive(Args)]
pub(crate) struct Serve {
    /// The first of four ports: connector, secured connector, director, administration
    #[arg(long, default_value_t = 0)]
    pub(crate) port_base: u16,
    /// The host name in the URLs
    #[arg(long, default_value = "127.0.0.1", value_parser = ["127.0.0.1", "localhost"])]
    pub(crate) host: String,
    /// Applications to begin with
    #[arg(long)]
    pub(crate) load: Option<PathBuf>,
    /// Let TLS sessions be resumed
    #[arg(long)]
    pub(crate) session_resumption: bool,
    /// Answer what was asked before from memory, until something changes: for measuring a client
    #[arg(long)]
    pub(crate) keep_answers: bool,
    /// End when the parent process ends
    #[arg(long)]
    pub(crate) with_parent: bool,
    #[command(flatten)]
    pub(crate) set: Set,
}

#[derive(Args)]
pub(crate) struct Set {
    /// The words in which the Director speaks
    #[arg(long, value_enum)]
    pub(crate) dialect: Option<Dialect>,
    /// Life of a host's first token
    #[arg(long, value_parser = duration)]
    pub(crate) token_lifetime: Option<Duration>,
    /// Life of the token that `configuration` answers with
    #[arg(long, value_parser = duration)]
    pub(crate) follow_up_lifetime: Option<Duration>,
    /// Life of client certificates
    #[arg(long, value_parser = duration)]
    pub(crate) certificate_lifetime: Option<Duration>,
    /// The key algorithm that is announced and accepted
    #[arg(long, value_enum)]
    pub(crate) key_algorithm: Option<KeyAlgorithm>,
    /// An attribute of the subject in RFC 4514 spelling; can be repeated
    #[arg(long)]
    pub(crate) subject: Option<Vec<String>>,
    /// Ask for the subject's attributes in random order
    #[arg(long)]
    pub(crate) shuffle_subject: Option<bool>,
    /// End certificate chains with a root
    #[arg(long)]
    pub(crate) chain_with_root: Option<bool>,
    /// How untrusted, expired or absent certificates are turned away
    #[arg(long, value_enum)]
    pub(crate) untrusted: Option<Refusal>,
    /// How revoked certificates are turned away
    #[arg(long, value_enum)]
    pub(crate) revoked: Option<Refusal>,
    /// Insist on the header Tenant
    #[arg(long)]
    pub(crate) tenant_required: Option<bool>,
    /// How applications answer when they are asked for credentials, or given them back
    #[arg(long, value_enum)]
    pub(crate) answering: Option<Answering>,
    /// The largest page
    #[arg(long)]
    pub(crate) max_page: Option<usize>,
}

#[derive(Args)]
pub(crate) struct Generate {
    #[arg(long, default_value_t = 3)]
    pub(crate) applications: usize,
    /// Bundles per application
    #[arg(long, default_value_t = 1)]
    pub(crate) bundles: usize,
    /// APIs per bundle
    #[arg(long, default_value_t = 1)]
    pub(crate) apis: usize,
    /// Events per bundle
    #[arg(long, default_value_t = 0)]
    pub(crate) events: usize,
    /// Documents per bundle
    #[arg(long, default_value_t = 0)]
    pub(crate) documents: usize,
    /// Size of each specification in bytes; without it there are none
    #[arg(long)]
    pub(crate) spec_bytes: Option<usize>,
    /// The kinds of credentials, in turn; all if absent
    #[arg(long = "credentials", value_enum, value_delimiter = ',')]
    pub(crate) credentials: Option<Vec<CredentialKind>>,
    /// The JSON schema of the parameters with which credentials are asked for
    #[arg(long)]
    pub(crate) request_schema: Option<String>,
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Print nothing
    #[arg(long)]
    pub(crate) quiet: bool,
}

#[derive(Subcommand)]
pub(crate) enum AuthAnswer {
    /// With a user name and a password
    Grant {
        #[arg(long, default_value = "user")]
        username: String,
        /// A new canary if absent
        #[arg(long)]
        password: Option<String>,
    },
    /// With a refusal
    Refuse {
        #[arg(long, default_value = "The application refused.")]
        message: String,
    },
    /// By revoking the credentials: the instance auth is gone
    #[command(alias = "revoke")]
    Remove,
}

#[derive(Args)]
pub(crate) struct FaultArguments {
    /// Where; everywhere if absent
    #[arg(long, value_enum)]
    pub(crate) on: Option<Endpoint>,
    /// Only calls of this operation or with this field at the root
    #[arg(long)]
    pub(crate) operation: Option<String>,
    /// Only the next so many calls
    #[arg(long)]
    pub(crate) times: Option<u32>,
    /// Only after so many calls
    #[arg(long, default_value_t = 0)]
    pub(crate) after: u32,
    /// Carry the request out first
    #[arg(long)]
    pub(crate) processed: bool,
    #[command(subcommand)]
    pub(crate) effect: FaultEffect,
}

#[derive(Subcommand)]
pub(crate) enum FaultEffect {
    /// Answer with a status and a body
    Status {
        status: u16,
        #[arg(long, default_value = "The gateway says no.")]
        body: String,
        #[arg(long, default_value = "text/plain")]
        content_type: String,
        /// Seconds
        #[arg(long, conflicts_with = "retry_after_date")]
        retry_after: Option<u64>,
        /// Seconds from now, written as a date
        #[arg(long)]
        retry_after_date: Option<u64>,
    },
    /// Let the answer wait
    Delay {
        #[arg(value_parser = duration)]
        duration: Duration,
    },
    /// Send the body in small pieces
    Drip {
        #[arg(long, default_value_t = 16)]
        bytes: usize,
        #[arg(long, value_parser = duration, default_value = "100ms")]
        every: Duration,
    },
    /// Reset the connection instead of answering
    Reset,
    /// Carry the request out and then reset the connection
    LostAnswer,
    /// Reset connections as soon as they are accepted
    Refuse,
    /// End the body early
    Truncate {
        #[arg(default_value_t = 20)]
        bytes: usize,
    },
    /// Answer HTTP 200 with this body
    Body {
        body: String,
        #[arg(long, default_value = "application/json")]
        content_type: String,
    },
    /// Give the true answer another content type
    ContentType { content_type: String },
    /// Answer with that many blanks
    Huge { bytes: u64 },
    /// The same, compressed
    GzipBomb { bytes: u64 },
    /// Answer with that many bytes that decompress to nothing
    GzipNothing { bytes: u64 },
    /// Say of the true answer that it is compressed in another way
    ContentEncoding { coding: String },
    /// Put an error beside complete data
    ErrorsBeside {
        #[arg(default_value = "something failed")]
        message: String,
    },
    /// Answer a business error instead of data
    Failure {
        code: u16,
        #[arg(default_value = "something failed")]
        message: String,
    },
    /// Make a nullable field null
    Null {
        field: String,
        /// Only its first so many occurrences
        #[arg(long)]
        first: Option<usize>,
        /// Without an entry in errors
        #[arg(long)]
        silent: bool,
    },
    /// Let totalCount be off
    TotalCount {
        #[arg(allow_hyphen_values = true)]
        delta: i64,
    },
    /// Change the list after a page was read
    BetweenPages {
        #[arg(value_enum)]
        change: ListChange,
    },
    /// Show another server certificate
    ServerCertificate {
        #[arg(value_enum)]
        certificate: ServerCertificate,
    },
    /// End all faults
    Clear,
    /// Print the faults that wait
    List,
}

/// Reads a duration such as `60m`, `1h30m` or `500ms`.
fn duration(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration = text.parse().map_err(|error| format!("{error}"))?;
    Duration::try_from(parsed).map_err(|_| "a duration cannot be negative".to_owned())
}
