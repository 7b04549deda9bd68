//! One-time tokens: the forms in which they reach a host, and the folder that they are dropped into.

pub mod credential;
mod file;
mod forms;
mod inbox;

pub use file::{Dropped, TokenFile, peek};
pub use forms::{MAX_TOKEN_FILE, OneTimeToken, TokenError, parse};
pub use inbox::{Arrival, Inbox};
