//! A read of everything: page by page, at four levels, until it is whole or certain to fail.

mod again;

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use self::again::{Asked, Known, ReadPage};
pub use self::again::{Beginning, ReadPages};
use super::paging::{Drift, Next, Walk};
use super::wire::{self, Identified, Page, PageVariables};
use super::{Dialect, Director, Documents, FetchError, FetchOptions, Fetched, PageSize, convert, dialect};
use crate::ids::{ApplicationId, BundleId, RuntimeId};
use crate::snapshot::pack::Packer;
use crate::snapshot::{self, NAMING_LABEL, Naming, Snapshot};
use crate::transport::{Again, AnswerSum, CallError, Fault, GraphqlError, Operation};

/// A list that comes in pages.
#[derive(Debug, Clone, Copy)]
enum List<'a> {
    Applications,
    Bundles(&'a ApplicationId),
    Apis(&'a ApplicationId, &'a BundleId),
    Events(&'a ApplicationId, &'a BundleId),
    Documents(&'a ApplicationId, &'a BundleId),
}

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Applications => f.write_str("the applications of this runtime"),
            Self::Bundles(application) => write!(f, "the bundles of application {application}"),
            Self::Apis(application, bundle) => {
                write!(f, "the API definitions of bundle {bundle} of application {application}")
            }
            Self::Events(application, bundle) => {
                write!(f, "the event definitions of bundle {bundle} of application {application}")
            }
            Self::Documents(application, bundle) => {
                write!(f, "the documents of bundle {bundle} of application {application}")
            }
        }
    }
}

/// What is asked for of each item of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    Whole,
    Ids,
}

/// Why a read stopped before its end.
enum Stop {
    /// The plane's state changed under the read: it can be begun again.
    Shifted { list: String, drift: Drift },
    /// The plane does not know the words: the other dialect can be tried.
    Dialect(CallError),
    /// Nothing more can be done now.
    Failed(FetchError),
}

impl Stop {
    fn shifted(list: List<'_>, drift: Drift) -> Self {
        Self::Shifted { list: list.to_string(), drift }
    }
}

impl From<FetchError> for Stop {
    fn from(error: FetchError) -> Self {
        Self::Failed(error)
    }
}

/// One fetch, over all its attempts.
pub(super) struct Reader<'a> {
    director: &'a Director,
    runtime: &'a RuntimeId,
    options: &'a FetchOptions,
    dialect: Dialect,
    whole: PageSize,
    ids: PageSize,
    timeouts: u8,
    requests: u32,
    items: u32,
    /// Whether the runtime's labels come with the first page.
    asks_labels: bool,
    naming: Naming,
    beginning: Beginning<'a>,
}

/// A page of applications, as it came.
enum Came<'a> {
    /// Just as in the read before.
    Known(Known<'a>),
    /// Anew, with what is to be remembered of it.
    New(Page<wire::Application>, ReadPage),
}

/// How often a page is made smaller because of a timeout. A plane that is down also times out, and must not be asked
/// again and again; by a quarter each, two steps reach small pages.
const TIMEOUTS: u8 = 2;

/// The plane's codes for something in a request that it does not accept: NotFound, InvalidData.
const NOT_FOUND: i64 = 20;
const INVALID_DATA: i64 = 22;

/// The plane's codes for what a caller may not do.
const INSUFFICIENT_SCOPES: i64 = 23;
const UNAUTHORIZED: i64 = 26;

impl<'a> Reader<'a> {
    pub(super) fn new(
        director: &'a Director,
        runtime: &'a RuntimeId,
        options: &'a FetchOptions,
        beginning: Beginning<'a>,
    ) -> Self {
        let dialect = options.dialect.unwrap_or(Dialect::Bundle);
        Self {
            director,
            runtime,
            options,
            dialect,
            whole: options.page_size.min(PageSize::largest(dialect)),
            ids: PageSize::largest(dialect),
            timeouts: 0,
            requests: 0,
            items: 0,
            asks_labels: true,
            naming: Naming::default(),
            beginning,
        }
    }

    pub(super) async fn run(mut self) -> Result<Fetched, FetchError> {
        let mut refusal = None;
        let mut attempts = 1;
        loop {
            self.items = 0;
            match self.snapshot().await {
                Ok((snapshot, pages)) => {
                    let Self { dialect, whole: page_size, requests, .. } = self;
                    return Ok(Fetched { snapshot, dialect, page_size, requests, pages });
                }
                Err(Stop::Failed(error)) => return Err(error),
                Err(Stop::Dialect(error)) => match refusal {
                    Some(first) => return Err(FetchError::Call(first)),
                    None => {
                        tracing::debug!(DIALECT = self.dialect.as_str(), "{error}; trying the other dialect");
                        refusal = Some(error);
                        self.switch_dialect();
                    }
                },
                Err(Stop::Shifted { list, drift }) if attempts >= self.options.attempts.get() => {
                    return Err(FetchError::Shifted { list, drift, attempts });
                }
                Err(Stop::Shifted { list, drift }) => {
                    tracing::debug!("{list} changed while they were read ({drift}); reading everything again");
                    attempts += 1;
                }
            }
        }
    }

    fn switch_dialect(&mut self) {
        self.dialect = self.dialect.other();
        self.whole = self.options.page_size.min(PageSize::largest(self.dialect));
        self.ids = PageSize::largest(self.dialect);
    }

    async fn snapshot(&mut self) -> Result<(Snapshot, ReadPages), Stop> {
        let list = List::Applications;
        let (mut packer, mut pages) = (self.beginning.packer(), ReadPages::default());
        let mut walk = Walk::default();
        let mut after: Option<Box<str>> = None;
        loop {
            let next = match self.applications(pages.len(), after.as_deref()).await? {
                Came::Known(known) => {
                    self.naming = known.page.naming.unwrap_or(self.naming);
                    let ids = known.applications.iter().map(|place| place.id().as_str());
                    let next = walk.take(ids, &known.page.place()).map_err(|drift| Stop::shifted(list, drift))?;
                    self.count(known.page.items)?;
                    known.applications.into_iter().for_each(|place| packer.keep(place.clone()));
                    self.weigh(&packer)?;
                    pages.note(Arc::clone(known.page));
                    next
                }
                Came::New(page, read) => {
                    let (items, requests) = (self.items, self.requests);
                    let next = self.take(list, &mut walk, &page)?;
                    let ids = page.data.iter().map(|application| application.id.clone()).collect();
                    for application in page.data {
                        let known = self.beginning.kept.and_then(|kept| kept.place_of(&application.id));
                        let application = self.application(application).await?;
                        packer.take(application, known).map_err(FetchError::Spool)?;
                        self.weigh(&packer)?;
                    }
                    // What more than this answer decided is not known by it.
                    if self.requests == requests {
                        pages.note(Arc::new(read.with(self.items - items, ids)));
                    }
                    next
                }
            };
            match next {
                Next::Done => break,
                Next::After(cursor) => after = Some(cursor),
            }
        }
        self.confirm(list, &walk).await?;
        let repeated =
            |error: snapshot::RepeatedApplication| Stop::shifted(list, Drift::Repeated(error.0.as_str().into()));
        let places = packer.finish().map_err(FetchError::Spool)?;
        Ok((Snapshot::of(self.runtime.clone(), self.naming, places).map_err(repeated)?, pages))
    }

    async fn application(&mut self, mut wire: wire::Application) -> Result<snapshot::Application, Stop> {
        let first = wire.bundles.take();
        let mut bundles = Vec::with_capacity(first.data.len());
        for mut bundle in self.gather(List::Bundles(&wire.id), first).await? {
            let (apis, events) = (bundle.api_definitions.take(), bundle.event_definitions.take());
            let apis = self.gather(List::Apis(&wire.id, &bundle.id), apis).await?;
            let events = self.gather(List::Events(&wire.id, &bundle.id), events).await?;
            let documents = match bundle.documents.take() {
                Some(page) => self.gather(List::Documents(&wire.id, &bundle.id), page).await?,
                None => Vec::new(),
            };
            bundles.push(convert::bundle(bundle, apis, events, documents, self.runtime));
        }
        Ok(convert::application(wire, bundles))
    }

    /// The whole of a list whose first page came with its owner.
    async fn gather<T: DeserializeOwned + Identified>(
        &mut self,
        list: List<'_>,
        first: Page<T>,
    ) -> Result<Vec<T>, Stop> {
        let mut walk = Walk::default();
        let mut next = self.take(list, &mut walk, &first)?;
        let mut items = first.data;
        while let Next::After(cursor) = next {
            let page = self.page(list, Depth::Whole, Some(&cursor)).await?;
            next = self.take(list, &mut walk, &page)?;
            items.extend(page.data);
        }
        self.confirm(list, &walk).await?;
        Ok(items)
    }

    /// Looks at the ids of a list a second time, if it could have changed since the first.
    async fn confirm(&mut self, list: List<'_>, earlier: &Walk) -> Result<(), Stop> {
        if !earlier.needs_confirmation() {
            return Ok(());
        }
        let mut walk = Walk::default();
        let mut after = None;
        loop {
            let page: Page<wire::Item> = self.page(list, Depth::Ids, after.as_deref()).await?;
            let ids = page.data.iter().map(Identified::id);
            match walk.take(ids, &page.place()).map_err(|drift| Stop::shifted(list, drift))? {
                Next::Done => break,
                Next::After(cursor) => after = Some(cursor),
            }
        }
        walk.confirms(earlier).map_err(|drift| Stop::shifted(list, drift))
    }

    /// Checks a page against the bounds and against those before it.
    fn take<T: Identified>(&mut self, list: List<'_>, walk: &mut Walk, page: &Page<T>) -> Result<Next, Stop> {
        let limit = match list {
            List::Applications => self.options.max_applications,
            List::Bundles(_) | List::Apis(..) | List::Events(..) | List::Documents(..) => self.options.max_items,
        };
        if page.total_count > limit {
            return Err(FetchError::TooMany { what: list.to_string(), count: page.total_count, limit }.into());
        }
        self.count(u32::try_from(page.data.len()).unwrap_or(u32::MAX))?;
        let ids = page.data.iter().map(Identified::id);
        walk.take(ids, &page.place()).map_err(|drift| Stop::shifted(list, drift))
    }

    /// Counts what came, against the bound on all of it.
    fn count(&mut self, items: u32) -> Result<(), Stop> {
        self.items = self.items.saturating_add(items);
        if self.items > self.options.max_items {
            let what = "applications, bundles and definitions together".to_owned();
            return Err(FetchError::TooMany { what, count: self.items, limit: self.options.max_items }.into());
        }
        Ok(())
    }

    /// Holds what was taken against the bound on it: a plane gone wrong must not fill this host's disk.
    fn weigh(&self, packer: &Packer) -> Result<(), Stop> {
        let limit = self.options.max_bytes;
        if packer.length() > u64::from(limit) {
            let what = "bytes of applications".to_owned();
            let count = u32::try_from(packer.length()).unwrap_or(u32::MAX);
            return Err(FetchError::TooMany { what, count, limit }.into());
        }
        Ok(())
    }

    /// Counts a request, against the bound on all of them.
    fn admit(&mut self) -> Result<(), Stop> {
        if self.requests >= self.options.max_requests {
            let what = "requests for one read".to_owned();
            let limit = self.options.max_requests;
            return Err(FetchError::TooMany { what, count: self.requests, limit }.into());
        }
        self.requests += 1;
        Ok(())
    }

    /// One page of applications, the `number`th of this read, made smaller until the plane can answer it.
    async fn applications(&mut self, number: usize, after: Option<&str>) -> Result<Came<'a>, Stop> {
        loop {
            self.admit()?;
            match self.ask_for_applications(number, after).await {
                Ok(came) => return Ok(came),
                Err(error) => self.after_failure(List::Applications, Depth::Whole, after, error).await?,
            }
        }
    }

    async fn ask_for_applications(&mut self, number: usize, after: Option<&str>) -> Result<Came<'a>, CallError> {
        let labels = self.asks_labels && after.is_none();
        let (dialect, first) = (self.dialect, self.whole.get());
        let documents = self.options.documents == Documents::Listed;
        let asked = Asked { dialect, first, after: after.map(Into::into), documents, labels };
        let variables = PageVariables {
            runtime: Some(self.runtime),
            first,
            after,
            bundles: Some(self.whole.bundles()),
            definitions: Some(self.whole.definitions()),
            documents: Some(documents),
            labels: Some(labels),
            ..PageVariables::default()
        };
        let known = self.beginning.known(number, &asked);
        let sum = known.as_ref().map(|known| known.page.sum());
        let graphql = &self.director.graphql;
        let answer = graphql.call_again(dialect.queries().applications, variables, sum).await?;
        let (answer, sum): (wire::OfRuntime<wire::Application>, AnswerSum) = match (answer, known) {
            (Again::Same, Some(known)) => return Ok(Came::Known(known)),
            (Again::Other(answer, sum), _) => (answer, sum),
            (Again::Same, None) => unreachable!("nothing is the same as nothing"),
        };
        let naming = labels.then(|| {
            let known = answer.runtime.and_then(|runtime| runtime.labels).unwrap_or_default();
            Naming::of_label(known.get(NAMING_LABEL))
        });
        self.naming = naming.unwrap_or(self.naming);
        let page = answer.applications_for_runtime;
        let read = ReadPage::new(asked, sum, naming, &page.place());
        Ok(Came::New(page, read))
    }

    /// One page, made smaller until the plane can answer it.
    async fn page<T: DeserializeOwned>(
        &mut self,
        list: List<'_>,
        depth: Depth,
        after: Option<&str>,
    ) -> Result<Page<T>, Stop> {
        loop {
            self.admit()?;
            match self.ask(list, depth, after).await {
                Ok(Some(page)) => return Ok(page),
                Ok(None) => return Err(Stop::shifted(list, Drift::Gone)),
                Err(error) => self.after_failure(list, depth, after, error).await?,
            }
        }
    }

    async fn ask<T: DeserializeOwned>(
        &mut self,
        list: List<'_>,
        depth: Depth,
        after: Option<&str>,
    ) -> Result<Option<Page<T>>, CallError> {
        let graphql = &self.director.graphql;
        let queries = self.dialect.queries();
        let first = match depth {
            Depth::Whole => self.whole.get(),
            Depth::Ids => self.ids.get(),
        };
        let (bundles, definitions) = (Some(self.whole.bundles()), Some(self.whole.definitions()));
        let documents = Some(self.options.documents == Documents::Listed);
        let page = PageVariables { first, after, ids_only: depth == Depth::Ids, ..PageVariables::default() };
        match list {
            List::Applications => {
                let runtime = Some(self.runtime);
                let variables = PageVariables { runtime, bundles, definitions, documents, labels: Some(false), ..page };
                let answer: wire::OfRuntime<T> = graphql.call(queries.applications, variables).await?;
                Ok(Some(answer.applications_for_runtime))
            }
            List::Bundles(application) => {
                let variables = PageVariables { application: Some(application), definitions, documents, ..page };
                let answer: wire::OfApplication<T> = graphql.call(queries.bundles, variables).await?;
                Ok(answer.application.map(|application| application.bundles))
            }
            List::Apis(application, bundle) => self.of_bundle(queries.apis, application, bundle, page).await,
            List::Events(application, bundle) => self.of_bundle(queries.events, application, bundle, page).await,
            List::Documents(application, bundle) => self.of_bundle(queries.documents, application, bundle, page).await,
        }
    }

    async fn of_bundle<T: DeserializeOwned>(
        &self,
        query: Operation<'static>,
        application: &ApplicationId,
        bundle: &BundleId,
        page: PageVariables<'_>,
    ) -> Result<Option<Page<T>>, CallError> {
        let variables = PageVariables { application: Some(application), bundle: Some(bundle), ..page };
        let answer: wire::OfBundle<T> = self.director.graphql.call(query, variables).await?;
        let bundle = answer.application.and_then(|application| application.bundle);
        Ok(bundle.map(|bundle| bundle.definitions))
    }

    /// Decides what a failed request means: ask the same again with a smaller page (`Ok`), or stop.
    async fn after_failure(
        &mut self,
        list: List<'_>,
        depth: Depth,
        after: Option<&str>,
        error: CallError,
    ) -> Result<(), Stop> {
        if dialect::is_refusal(&error.fault) {
            return Err(Stop::Dialect(error));
        }
        if self.asks_labels && is_about_the_labels(&error.fault) {
            tracing::debug!("{error}; asking again without the labels of the runtime");
            self.asks_labels = false;
            return Ok(());
        }
        let divisor = match &error.fault {
            Fault::TooLarge(_) | Fault::Status { code: 413, .. } => 2,
            Fault::Timeout(_) if self.timeouts < TIMEOUTS => {
                self.timeouts += 1;
                4
            }
            Fault::Graphql(errors) => match errors.first().and_then(|error| error.error_code()) {
                Some(NOT_FOUND) if !matches!(list, List::Applications) => return Err(Stop::shifted(list, Drift::Gone)),
                Some(INVALID_DATA) if after.is_some() => return Err(Stop::shifted(list, Drift::RefusedCursor)),
                Some(NOT_FOUND | INVALID_DATA) => {
                    // The same code stands for an unknown runtime and for a page size that the plane does not take.
                    self.requests += 1;
                    if self.director.lacks(self.runtime).await {
                        return Err(FetchError::UnknownRuntime(self.runtime.clone()).into());
                    }
                    2
                }
                _ => return Err(FetchError::Call(error).into()),
            },
            _ => return Err(FetchError::Call(error).into()),
        };
        let size = match depth {
            Depth::Whole => &mut self.whole,
            Depth::Ids => &mut self.ids,
        };
        match size.lowered(divisor) {
            Some(smaller) => {
                tracing::debug!("{error}; asking again for {smaller} at a time instead of {size}");
                *size = smaller;
                Ok(())
            }
            None => Err(FetchError::Call(error).into()),
        }
    }
}

/// Whether nothing but the labels was refused, and for good: this runtime may not read itself. Its names are then as
/// without a label.
fn is_about_the_labels(fault: &Fault) -> bool {
    let Fault::Graphql(errors) = fault else { return false };
    let refused = |error: &GraphqlError| {
        let place = error.path.as_ref().and_then(|path| path.first()).and_then(|name| name.as_str());
        place == Some("runtime") && matches!(error.error_code(), Some(INSUFFICIENT_SCOPES | UNAUTHORIZED))
    };
    !errors.is_empty() && errors.iter().all(refused)
}

#[cfg(test)]
mod script;
#[cfg(test)]
mod tests;
