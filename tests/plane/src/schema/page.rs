//! Pages: cursors that are offsets, the window they open on a list, and the page types of the schema.

use std::{any::Any, sync::Arc};

use async_graphql::dynamic::{Field, FieldValue, InputValue, Object, ResolverContext, TypeRef};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    Failure,
    field::{inner, maybe, nn, of, optional, plain, text},
};
use crate::model::{ApiDefinition, Application, Bundle, Document, EventDefinition};

/// The part of a list that a page shows.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) offset: usize,
    pub(crate) length: usize,
    start_cursor: String,
    end_cursor: String,
    pub(crate) has_next: bool,
    total: i64,
}

impl Window {
    /// The window that the arguments `first` and `after` open on a list of `total` items.
    pub(crate) fn open(context: &ResolverContext<'_>, total: usize, limit: usize) -> Result<Self, Failure> {
        let first = match context.args.get("first") {
            Some(value) if !value.is_null() => value.i64().map_err(|_| Failure::invalid("first is not a number"))?,
            Some(_) | None => 200.min(i64::try_from(limit).unwrap_or(i64::MAX)),
        };
        let first = usize::try_from(first).ok().filter(|first| (1..=limit).contains(first));
        let Some(first) = first else {
            return Err(Failure::invalid(format!("page size must be between 1 and {limit}")));
        };
        let start_cursor = optional(context, "after")?.unwrap_or_default();
        let offset = offset(&start_cursor).ok_or_else(|| Failure::invalid("cursor is not correct"))?;
        let offset = offset.min(total);
        let length = first.min(total - offset);
        let has_next = offset + length < total;
        let end_cursor = if has_next { cursor(offset + length) } else { String::new() };
        let total = i64::try_from(total).unwrap_or(i64::MAX);
        Ok(Self { offset, length, start_cursor, end_cursor, has_next, total })
    }

    pub(crate) fn miscount(self, delta: i64) -> Self {
        Self { total: (self.total + delta).max(0), ..self }
    }
}

fn cursor(offset: usize) -> String {
    URL_SAFE_NO_PAD.encode(format!("plane-offset-{offset}"))
}

fn offset(cursor: &str) -> Option<usize> {
    if cursor.is_empty() {
        return Some(0);
    }
    let decoded = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    decoded.strip_prefix("plane-offset-")?.parse().ok()
}

/// A page of applications.
pub(crate) struct Applications {
    pub(crate) data: Vec<Arc<Application>>,
    pub(crate) window: Window,
}

/// A page of what one application holds; the application stays in memory as long as the page.
pub(crate) struct Items {
    pub(crate) application: Arc<Application>,
    /// The bundle, by its place in the application, unless these are bundles.
    pub(crate) bundle: usize,
    /// The items' places in their list.
    pub(crate) places: Vec<usize>,
    pub(crate) window: Window,
}

/// A bundle within its application.
pub(crate) struct BundleOf {
    pub(crate) application: Arc<Application>,
    pub(crate) place: usize,
}

impl BundleOf {
    pub(crate) fn bundle(&self) -> &Bundle {
        &self.application.bundles[self.place]
    }
}

impl Items {
    fn bundle(&self) -> &Bundle {
        &self.application.bundles[self.bundle]
    }
}

/// `PageInfo`.
pub(crate) fn info() -> Object {
    Object::new("PageInfo")
        .field(text::<Window>("startCursor", nn("PageCursor"), |window| Some(&window.start_cursor)))
        .field(text::<Window>("endCursor", nn("PageCursor"), |window| Some(&window.end_cursor)))
        .field(plain::<Window>("hasNextPage", nn(TypeRef::BOOLEAN), |window| Some(window.has_next.into())))
}

fn page<P: Any + Send + Sync>(name: &str, window: for<'a> fn(&'a P) -> &'a Window, data: Field) -> Object {
    Object::new(name)
        .field(data)
        .field(of::<P>("pageInfo", nn("PageInfo"), move |page, _| Ok(Some(FieldValue::borrowed_any(window(page))))))
        .field(of::<P>("totalCount", nn(TypeRef::INT), move |page, _| Ok(Some(FieldValue::value(window(page).total)))))
}

/// `ApplicationPage`.
pub(crate) fn applications() -> Object {
    let data = of::<Applications>("data", TypeRef::named_nn_list_nn("Application"), |page, _| {
        Ok(Some(FieldValue::list(page.data.iter().map(|application| FieldValue::borrowed_any(application)))))
    });
    page::<Applications>("ApplicationPage", |page| &page.window, data)
}

/// `BundlePage` or `PackagePage`.
pub(crate) fn bundles(bundle: &str) -> Object {
    let data = of::<Items>("data", TypeRef::named_nn_list_nn(bundle), |page, _| {
        let bundle = |place: &usize| BundleOf { application: Arc::clone(&page.application), place: *place };
        Ok(Some(FieldValue::list(page.places.iter().map(|place| FieldValue::owned_any(bundle(place))))))
    });
    page::<Items>(&format!("{bundle}Page"), |page| &page.window, data)
}

fn items<T: Any + Send + Sync>(kind: &str, list: for<'a> fn(&'a Bundle) -> &'a [T]) -> Object {
    let data = of::<Items>("data", TypeRef::named_nn_list_nn(kind), move |page, _| {
        let items = list(page.bundle());
        Ok(Some(FieldValue::list(page.places.iter().map(|place| FieldValue::borrowed_any(&items[*place])))))
    });
    page::<Items>(&format!("{kind}Page"), |page| &page.window, data)
}

/// The page types of what a bundle holds.
pub(crate) fn of_bundle() -> [Object; 3] {
    [
        items::<ApiDefinition>("APIDefinition", |bundle| &bundle.api_definitions),
        items::<EventDefinition>("EventDefinition", |bundle| &bundle.event_definitions),
        items::<Document>("Document", |bundle| &bundle.documents),
    ]
}

/// A field of a bundle that pages through one of its lists.
pub(crate) fn paged<T: Any + Send + Sync>(
    name: &str,
    kind: &str,
    list: for<'a> fn(&'a Bundle) -> &'a [T],
    group: Option<for<'a> fn(&'a T) -> Option<&'a str>>,
) -> Field {
    let field = of::<BundleOf>(name, maybe(&format!("{kind}Page")), move |parent, context| {
        let wanted = optional(context, "group")?;
        let items = list(parent.bundle()).iter().enumerate();
        let places = items.filter(|(_, item)| match (&wanted, group) {
            (Some(wanted), Some(group)) => group(item) == Some(wanted),
            (None, _) | (_, None) => true,
        });
        let places: Vec<usize> = places.map(|(place, _)| place).collect();
        let limit = super::field::call(context).shared.read(|state| state.options.max_page);
        let window = Window::open(context, places.len(), limit)?;
        let places = places[window.offset..window.offset + window.length].to_vec();
        let application = Arc::clone(&parent.application);
        Ok(Some(FieldValue::owned_any(Items { application, bundle: parent.place, places, window })))
    });
    let field = if group.is_some() { field.argument(InputValue::new("group", maybe(TypeRef::STRING))) } else { field };
    page_arguments(field)
}

/// The arguments `first` and `after`.
pub(crate) fn page_arguments(field: Field) -> Field {
    field
        .argument(InputValue::new("first", maybe(TypeRef::INT)).default_value(200))
        .argument(InputValue::new("after", maybe("PageCursor")))
}

/// The field `data` of an object is listed in full, not in pages.
pub(crate) fn listed<T: Any, U: Any + Send + Sync>(
    name: &str,
    kind: TypeRef,
    list: for<'a> fn(&'a T) -> &'a [U],
) -> Field {
    of::<T>(name, kind, move |parent, _| {
        Ok(Some(FieldValue::list(list(parent).iter().map(|item| FieldValue::borrowed_any(item)))))
    })
}

/// A field of a bundle that is one item of a list, by its id.
pub(crate) fn single<T: Any + Send + Sync>(
    name: &str,
    kind: &str,
    list: for<'a> fn(&'a Bundle) -> &'a [T],
    id: for<'a> fn(&'a T) -> &'a str,
) -> Field {
    of::<BundleOf>(name, maybe(kind), move |parent, context| {
        let wanted = super::field::required(context, "id")?;
        let item = list(parent.bundle()).iter().find(|item| id(item) == wanted);
        Ok(item.map(|item| FieldValue::borrowed_any(item)))
    })
    .argument(super::field::id_argument("id"))
}

/// `Version`.
pub(crate) fn version() -> Object {
    use crate::model::Version;
    Object::new("Version")
        .field(text::<Version>("value", nn(TypeRef::STRING), |version| Some(&version.value)))
        .field(plain::<Version>("deprecated", maybe(TypeRef::BOOLEAN), |version| version.deprecated.map(Into::into)))
        .field(text::<Version>("deprecatedSince", maybe(TypeRef::STRING), |version| {
            version.deprecated_since.as_deref()
        }))
        .field(plain::<Version>("forRemoval", maybe(TypeRef::BOOLEAN), |version| version.for_removal.map(Into::into)))
}

/// A field that is the version of an item.
pub(crate) fn version_of<T: Any>(get: for<'a> fn(&'a T) -> Option<&'a crate::model::Version>) -> Field {
    inner::<T, crate::model::Version>("version", maybe("Version"), get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_an_offset() {
        assert_eq!(offset(&cursor(400)), Some(400));
        assert_eq!(offset(""), Some(0));
        assert_eq!(offset("nonsense"), None);
    }
}
