//! What the host's own services read: generations of files, published whole.
//!
//! # Layout
//!
//! ```text
//! config/current -> 0007                                     the only path that readers need to know
//! config/0007/manifest.json                            0644  who lies where, with which content
//! config/0007/applications.json                        0644  everything but credentials, in one file
//! config/0007/applications/<app> -> ../../objects/<object>
//! config/objects/<object>/application.json             0644  the application, and the folders of its bundles
//! config/objects/<object>/bundles/<bundle>/bundle.json       0644  APIs, events, what kind of credentials
//! config/objects/<object>/bundles/<bundle>/credentials.json  0640  the credentials
//! config/objects/<object>/bundles/<bundle>/credentials.env   0640  the same for `EnvironmentFile=`
//! config/objects/<object>/bundles/<bundle>/bindings/<binding>.json  0600  those of one binding, for the agent alone
//! config/objects/<object>/bundles/<bundle>/apis/<key>.<ending> -> ../../../../../texts/<sha256>
//! config/texts/<sha256>                                0644  the text of a specification or document
//! config/0007/outputs.json                             0644  what templates made, and where it goes; where there are any
//! config/0007/<destination> -> ../blobs/<blob>               what a template puts inside the generation
//! config/blobs/<blob>                                        content that a template made, with the template's mode
//! config/.rolled-back                                  0644  the number that was rolled back to, while that holds
//! ```
//!
//! So a service reads `config/current/applications/<app>/bundles/<bundle>/credentials.env`. An application without
//! bundles has no `bundles` folder.
//!
//! `<app>` and `<bundle>` are made from names by the rule in [`names`]; both are in the JSON beside the ids. They
//! change only when the name changes. `<object>` is 64 hexadecimal digits, an HMAC over all files of the folder with a
//! key that only the agent has: an application that does not change keeps its object from generation to generation,
//! and the name of an object betrays nothing of what is in it.
//!
//! Files have exactly the modes above. Folders have 0755 less the umask; their group, and with it that of the files, is
//! that of `config/` when that has the setgid bit. The agent changes no group and gives no folder a mode.
//!
//! # Reading
//!
//! A reader that opens several files and wants them to belong together resolves `current` once (`realpath`) and reads
//! below what it found. That generation stays until as many newer ones as are kept have replaced it. Nothing in a
//! generation or an object is ever changed in place. Numbers of generations grow and are never used twice; there can be
//! gaps. Names that begin with a dot are the agent's own.
//!
//! # What templates make
//!
//! Each file's content is a blob, named by an HMAC over content and mode, so that generations share what did not change.
//! What goes outside is only listed in `outputs.json` (`version`, 1, and `outputs`: a list of `template`, `item`,
//! `destination`, `blob`, `size`, `mode`), for the applier.
//!
//! What bindings of a service broker are to call a bundle with is in no file, for it is for their holders. Only where a
//! template is rendered for bindings, the folder of a bundle has `bindings/`: one file for each, with the keys of
//! `credentials.json` but for `bundle`, `not_understood` and `instances`, and with `binding` (`id`, `instance_id`,
//! `auth_id`). Nobody but the agent is to read those; templates make of them what is to be read.
//!
//! # Files for everybody
//!
//! Every JSON file has a `version`, 1 today. Within a version keys can be added, and none goes or changes its meaning.
//! A key is always there: `null` where the plane says nothing. URLs are without user and password.
//!
//! - `manifest.json`: `generation`, `published_at`, `runtime`, and `applications`: by id `name`, `folder`, `object`,
//!   `bundles` (how many).
//! - `application.json`: `id`, `name`, `normalized_name` (that under which the plane's other agents know it, see
//!   [`Naming`](crate::snapshot::Naming)), `provider`, `description`, `base_url`, `system_number`, `local_tenant_id`,
//!   `health_check_url`, `events_url`, `condition`, `system_status`, `error`, `deleted_at`, `labels`, and `bundles`: a
//!   list of `id`, `name`, `folder`.
//! - `bundle.json`: `id`, `name`, `description`, `request_schema`; `apis`: a list of `id`, `name`, `key`,
//!   `description`, `target_url`, `group`, `version` (`value`, `deprecated`, `deprecated_since`, `for_removal`),
//!   `specification` (`kind`, `format`, and `file`, `sha256` of its text where that is there); `events`: the same without
//!   `target_url`; `documents`: a list of `id`, `title`, `key`, `display_name`, `description`, `format`, `kind`, `file`,
//!   `sha256`; `credentials`: `usable`,
//!   `type`, `not_understood` (the plane's name of a type that this program does not know), `instances` (a list of `id`,
//!   `condition`).
//! - `applications.json`: `generation`, `runtime`, and `applications`: for each its `folder`, the keys of
//!   `application.json`, and in `bundles` for each its `folder` and the keys of `bundle.json`.
//!
//! # Texts
//!
//! Where they are asked for, the texts of specifications and documents lie in `apis/`, `events/` and `documents/` of their
//! bundle, as links to `texts/`, where each different one lies once. What no generation links to is removed.
//!
//! # Credentials
//!
//! `credentials.json`: `bundle` (`id`, `name`), `usable`, `type`, `not_understood`, `credentials`, `headers` and
//! `query_parameters` (name to list of values), `csrf` (`null`, or `url`, `type`, `credentials`, `headers`,
//! `query_parameters`), `certificate_common_name`, `access_strategy`, `target_urls` (an API's `key` to its full URL), and
//! `instances` (a list of `id`, `condition`, `message`).
//!
//! | `type`              | keys of `credentials`                   |
//! |---------------------|-----------------------------------------|
//! | `none`              | none: the APIs ask for nothing          |
//! | `basic`             | `username`, `password`                  |
//! | `oauth`             | `client_id`, `client_secret`, `token_url` |
//! | `certificate_oauth` | `client_id`, `certificate`, `token_url` |
//! | `unknown`           | none; occurs in `csrf` only             |
//!
//! Credentials that are pending, refused, given back, or of a type that this program does not know are not usable:
//! `usable` is then `false`, `type` is `null`, and no file holds any secret.
//!
//! `credentials.env` holds the same as variables:
//!
//! - `BUNDLE_ID`, and `CREDENTIALS_USABLE` (`true` or `false`; where `false`, nothing else follows).
//! - `CREDENTIALS_TYPE`; the keys of the table in capitals (`USERNAME`, `PASSWORD`, `CLIENT_ID`, …).
//! - `HEADER_<NAME>` and `QUERY_<NAME>`: the first value; a second one is `HEADER_<NAME>__2`, and so on. `<NAME>` is made
//!   as folder names are, in capitals, with `_` for `-`.
//! - `CSRF_URL`, `CSRF_TYPE`, and all of the above once more with `CSRF_` before it.
//! - `CERTIFICATE_COMMON_NAME`, `ACCESS_STRATEGY` where there are any.
//! - `TARGET_URL_<KEY>` for each API, from its `key`; and `TARGET_URL` where the bundle has exactly one API.
//!
//! A value with a NUL or a Unicode noncharacter, or one longer than the kernel takes (128 KiB with its name), cannot be
//! in an environment: a comment says that it is left out, and `credentials.json` has it.

mod address;
mod bindings;
mod blobs;
mod catalogue;
mod credentials;
mod current;
mod digest;
mod environment;
mod folder;
mod given;
mod layout;
pub mod manifest;
pub mod names;
pub mod outputs;
mod pool;
mod public;
mod render;
mod rendering;
mod store;
#[cfg(test)]
mod tests;
mod texts;
mod view;

pub(crate) use address::without_userinfo;
pub(crate) use credentials::{Lists, Value, lists, values};
pub use digest::{DigestKey, DigestKeyError};
pub(crate) use environment::quoted;
pub(crate) use folder::{Content, measured};
pub(crate) use public::{Sorted, kind, not_understood};
pub(crate) use render::{Given, given};
pub use render::{Names, NamesError, RepeatedPart};
pub use rendering::{Rendering, RenderingError};
pub use store::{Draft, OutputError, Published, Store};
pub use texts::{IncomingText, Texts};
pub use view::{FileKind, PublishedFile, View, ViewError};
