//! One-time tokens: the forms in which they reach a host, and the folder that they are dropped into.

pub mod credential;
mod forms;
mod inbox;

pub use forms::{OneTimeToken, TokenError, parse};
pub use inbox::{Arrival, Dropped, Inbox, MAX_TOKEN_FILE, TokenFile};
