//! Templates of the administrator, rendered for what the plane lists.
//!
//! [`Templates::load`] compiles them all, so that what is wrong with one is known before anything is rendered, and
//! [`Templates::render`] gives one file after another to a sink: nothing is written here, and no more than one file is in
//! memory. The first error ends the rendering.
//!
//! Templates are strict: what is not there is an error and not an empty text. So is printing a value that the plane does
//! not give (`none`), a list or a table; filters turn those into text on purpose. Nothing is escaped by itself, for the
//! files are of all kinds, and the filter that fits is named by the template.
//!
//! No message holds a value, for a value can be a credential: messages show the text of the template, where in it, and
//! the names that there are.

mod destination;
mod engine;
mod error;
mod fields;
pub mod filters;
mod items;
mod landscape;
mod output;
mod references;
mod source;
#[cfg(test)]
mod tests;
mod view;

pub use destination::DestinationPattern;
pub use engine::{Content, Rendered, Templates};
pub use error::{Problem, RenderError, Spot, TemplateError};
pub use items::{ItemPlace, Named};
pub use landscape::Landscape;
pub use source::SourceError;
