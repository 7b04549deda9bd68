//! `bindings/<binding>.json`: what one binding of a bundle is to call it with. It is for the agent alone, which makes of it
//! what templates make of bindings, tells by it that a binding changed, remembers its name, and knows what to hide.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::credentials::{Held, Value, target_urls};
use super::folder::{Content, json};
use super::public::{VERSION, kind};
use super::render::ApplicationNames;
use crate::ids::{InstanceAuthId, ServiceBindingId, ServiceInstanceId};
use crate::snapshot::{Binding, Bundle};

/// The folder of these files, in that of their bundle.
pub(super) const FOLDER: &str = "bindings";

/// Whether the folders of applications have what bindings are to call them with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bindings {
    /// They have it, for there are templates that are rendered for bindings.
    Kept,
    /// They have it not: it is for the holders of the bindings, and nobody here asks for it.
    LeftOut,
}

#[derive(Serialize)]
struct BindingFile<'a> {
    version: u32,
    binding: Described<'a>,
    usable: bool,
    #[serde(rename = "type")]
    kind: Option<&'static str>,
    #[serde(flatten)]
    held: Held<'a>,
    target_urls: BTreeMap<&'a str, Value<'a>>,
}

#[derive(Serialize)]
struct Described<'a> {
    id: &'a ServiceBindingId,
    instance_id: &'a ServiceInstanceId,
    auth_id: &'a InstanceAuthId,
}

/// The file of a binding of this bundle.
pub(super) fn file(bundle: &Bundle, binding: &Binding<'_>, names: &ApplicationNames) -> Content {
    let auth = binding.auth.usable_auth();
    json(&BindingFile {
        version: VERSION,
        binding: Described { id: &binding.id, instance_id: &binding.instance, auth_id: &binding.auth.id },
        usable: auth.is_some(),
        kind: auth.map(|auth| kind(&auth.credential)),
        held: Held::of(auth),
        target_urls: target_urls(bundle, names, auth),
    })
}

/// The part of the file that says what its name was given to.
#[derive(Deserialize)]
pub(super) struct GivenBinding {
    pub(super) binding: GivenTo,
}

/// The binding, and the instance auth that was made for it.
#[derive(Deserialize)]
pub(super) struct GivenTo {
    pub(super) id: ServiceBindingId,
    pub(super) auth_id: InstanceAuthId,
}
