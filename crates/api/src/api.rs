//! Answers requests: finds the resource, checks the method, calls its handler.

use std::{fmt, num::NonZeroU16, sync::Arc};

use bytes::Bytes;
use fleet_registry::{
    Registry, RegistryError,
    why::{Explain, StoreSpace},
};
use hyper::{
    Method, Request, StatusCode,
    body::Body,
    header::{HeaderValue, SERVER},
    http::request::Parts,
};
use tokio::time;
use tracing::{debug, info};

use crate::{
    Availability, Limits,
    body::{BodyReader, RequestBody},
    error::ApiError,
    gzip,
    handlers::{discovery, machines, put, restart, states, units},
    metrics::{self, MetricsSource},
    outage::Outage,
    pending::Reasons,
    query::Query,
    reads::{Reads, Size},
    reply::{self, Reply},
    route::Route,
    via::{self, Via},
};

/// What is configured of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The full version, as `fleetd --version` prints it.
    pub version: String,
    /// The number of items on a page of a list: the option `token_limit`.
    pub token_limit: NonZeroU16,
    /// What clients may take.
    pub limits: Limits,
    /// The names in `Host` that TCP listeners answer to, in lower case, besides addresses and
    /// `localhost`.
    pub hosts: Vec<String>,
}

/// The API of one fleetd.
pub struct Api {
    pub(crate) registry: Registry,
    pub(crate) bodies: BodyReader,
    reads: Reads,
    availability: Availability,
    metrics: Option<Arc<dyn MetricsSource>>,
    pub(crate) reasons: Reasons,
    token_limit: NonZeroU16,
    server: HeaderValue,
    limits: Limits,
    hosts: Vec<String>,
    outage: Outage,
    causes: Option<Causes>,
}

/// Puts the cause of a failure into words.
type Causes = fn(&RegistryError) -> String;

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("registry", &self.registry).finish_non_exhaustive()
    }
}

/// What a resource supports.
pub(crate) struct Methods {
    pub(crate) allow: &'static str,
    /// What the others are refused with.
    refusal: &'static str,
}

impl Api {
    /// An API that shows and changes `registry` whenever `availability` is on.
    #[must_use]
    pub fn new(registry: Registry, availability: Availability, settings: Settings) -> Self {
        let Settings { version, token_limit, limits, hosts } = settings;
        let server = HeaderValue::from_str(&format!("fleetd/{version}"))
            .unwrap_or(HeaderValue::from_static("fleetd"));
        let bodies = BodyReader::new(&limits);
        Self {
            registry,
            bodies,
            reads: Reads::new(&limits),
            availability,
            metrics: None,
            reasons: Reasons::default(),
            token_limit,
            server,
            limits,
            hosts,
            outage: Outage::default(),
            causes: None,
        }
    }

    /// The same, telling of units without a machine what `explain` says.
    #[must_use]
    pub fn with_explain(self, explain: Arc<dyn Explain>) -> Self {
        Self { reasons: Reasons { explain: Some(explain), ..self.reasons }, ..self }
    }

    /// The same, telling of units that wait when `room` says that nothing can be written.
    #[must_use]
    pub fn with_store_space(self, room: Arc<dyn StoreSpace>) -> Self {
        Self { reasons: Reasons { room: Some(room), ..self.reasons }, ..self }
    }

    /// The same with something to show under `/metrics`, which is an empty page otherwise.
    #[must_use]
    pub fn with_metrics(self, source: Arc<dyn MetricsSource>) -> Self {
        Self { metrics: Some(source), ..self }
    }

    /// The same for a client that is the process itself: it is told in the words of `causes` what
    /// otherwise only the log says.
    #[must_use]
    pub fn with_causes(self, causes: fn(&RegistryError) -> String) -> Self {
        Self { causes: Some(causes), ..self }
    }

    /// What clients may take.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The number of items on a page.
    pub(crate) fn page_size(&self) -> usize {
        self.token_limit.get().into()
    }

    /// Takes note that the registry's store answers, if this says so.
    pub(crate) fn note_answer<T>(
        &self,
        answer: Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        if !answer.as_ref().is_err_and(RegistryError::is_unavailable)
            && let Some(refused) = self.outage.is_over()
        {
            info!(refused, "store answers again");
        }
        answer
    }

    /// Answers a request, whatever it is.
    pub(crate) async fn respond<B>(&self, request: Request<B>, via: Via) -> Reply
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let (head, body) = request.into_parts();
        let mut body = RequestBody::new(body, &head.headers, self.limits.body_time);
        let reads = matches!(head.method, Method::PUT | Method::PATCH);
        if !reads {
            // Nobody reads it, and before it is there the request isn't complete.
            body.drain().await;
        }
        let reply = match via::check(via, &head, &self.hosts) {
            Ok(()) => self.reply(&head, &mut body).await,
            Err(error) => self.refuse(error),
        };
        // One that is refused for something else may have been left unread.
        body.drain().await;
        reply
    }

    async fn reply<B>(&self, head: &Parts, body: &mut RequestBody<B>) -> Reply
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        // What this process has counted it can always tell, and is asked for most in an outage.
        let of_itself = matches!(Route::find(head.uri.path()), Some(Route::Metrics));
        if !of_itself && !self.availability.get() {
            return reply::unavailable();
        }
        debug!("HTTP {} {}", head.method, head.uri);
        // Bodies have a limit of their own, so it is the registry that is late.
        let time = self.limits.body_time + self.limits.store_time;
        let answer = time::timeout(time, self.answer(head, body)).await;
        let answer = answer.unwrap_or(Err(ApiError::Late));
        let mut reply = answer.unwrap_or_else(|error| self.refuse(error));
        if reply.status() != StatusCode::SERVICE_UNAVAILABLE {
            reply.headers_mut().insert(SERVER, self.server.clone());
        }
        reply
    }

    fn refuse(&self, error: ApiError) -> Reply {
        match (self.causes, error.cause()) {
            (Some(causes), Some((status, cause))) => reply::error(status, &causes(cause)),
            _ => error.into_reply(&self.outage),
        }
    }

    async fn answer<B>(&self, head: &Parts, body: &mut RequestBody<B>) -> Result<Reply, ApiError>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let route = Route::find(head.uri.path()).ok_or_else(|| ApiError::not_found(""))?;
        let Methods { allow, refusal } = methods(&route);
        let query = Query::parse(head.uri.query().unwrap_or(""));
        // HEAD is GET: hyper leaves out the body.
        let method = match head.method {
            Method::HEAD => Method::GET,
            Method::OPTIONS => return Ok(reply::options(allow)),
            ref method => method.clone(),
        };
        // Writes are few, and decided anew for as long as they must; waiting for readers they would
        // be late for nothing.
        let _reading = match reads_registry(&route, &method, &query) {
            Some(size) => Some(self.reads.begin(size).await?),
            None => None,
        };
        let takes_gzip = gzip::is_accepted(&head.headers);
        match (&route, method) {
            (Route::Metrics, _) => {
                let families = self.metrics.as_ref().map(|source| source.families());
                let page = metrics::page(&families.unwrap_or_default());
                Ok(reply::metrics(page, takes_gzip))
            }
            (Route::Discovery, Method::GET) => Ok(discovery::get()),
            (Route::Discovery, _) => Err(ApiError::bad_request(refusal)),
            (Route::Machines, Method::GET) => {
                reply::page(machines::list(self, &query).await?, takes_gzip).await
            }
            (Route::Machines, Method::PATCH) => machines::patch(self, body).await,
            (Route::Units, Method::GET) => {
                reply::page(units::list(self, &query).await?, takes_gzip).await
            }
            (Route::Unit(name), Method::GET) => units::get(self, name).await,
            (Route::Unit(name), Method::DELETE) => units::delete(self, name).await,
            (Route::Unit(name), Method::PUT) => put::put(self, name, &head.headers, body).await,
            (Route::Restart(name), Method::GET) => restart::get(self, name, &query).await,
            (Route::Restart(name), Method::POST) => restart::post(self, name, &query).await,
            (Route::States, Method::GET) => {
                reply::page(states::list(self, &query).await?, takes_gzip).await
            }
            (Route::State(name), Method::GET) => states::get(self, name).await,
            _ => Err(ApiError::MethodNotAllowed { message: refusal, allow }),
        }
    }
}

/// How much is read in the registry for the answer, if nothing is changed there.
fn reads_registry(route: &Route, method: &Method, query: &Query) -> Option<Size> {
    let size = match route {
        Route::States if query.first("unitName").is_some() => Size::Item,
        Route::Machines | Route::Units | Route::States => Size::List,
        Route::Unit(_) | Route::Restart(_) | Route::State(_) => Size::Item,
        Route::Server | Route::Root | Route::Metrics | Route::Discovery => return None,
    };
    (*method == Method::GET).then_some(size)
}

/// The methods of `api.md` 2, and those that HTTP adds (`spec/README.md` 17).
pub(crate) fn methods(route: &Route) -> Methods {
    let (allow, refusal) = match route {
        Route::Server => ("DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT", ""),
        Route::Root => ("OPTIONS", ""),
        Route::Metrics => ("DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT", ""),
        Route::Discovery => ("GET, HEAD, OPTIONS", "only HTTP GET supported against this resource"),
        Route::Machines => {
            ("GET, HEAD, OPTIONS, PATCH", "only GET and PATCH supported against this resource")
        }
        Route::Units | Route::States | Route::State(_) => {
            ("GET, HEAD, OPTIONS", "only GET supported against this resource")
        }
        Route::Restart(_) => {
            ("GET, HEAD, OPTIONS, POST", "only GET and POST supported against this resource")
        }
        Route::Unit(_) => (
            "DELETE, GET, HEAD, OPTIONS, PUT",
            "only GET, PUT and DELETE supported against this resource",
        ),
    };
    Methods { allow, refusal }
}

#[cfg(test)]
mod tests {
    use fleet_registry::Keys;
    use fleet_store::MemoryStore;
    use http_body_util::{BodyExt, Full};

    use super::*;

    async fn status(api: &Api, method: &str, uri: &str, body: &'static str) -> u16 {
        let request = Request::builder().method(method).uri(uri).body(Full::from(body)).unwrap();
        api.respond(request, Via::Unix).await.status().as_u16()
    }

    fn api(store: &MemoryStore) -> Api {
        let registry = Registry::new(Arc::new(store.clone()), Keys::new("/f").unwrap());
        let availability = Availability::new();
        availability.set(true);
        let settings = Settings {
            version: String::new(),
            token_limit: NonZeroU16::MIN,
            limits: Limits::default(),
            hosts: vec![],
        };
        Api::new(registry, availability, settings)
    }

    #[tokio::test]
    async fn who_runs_it_is_told_the_cause_instead_of_the_log() {
        let store = MemoryStore::new();
        let api = api(&store).with_causes(|error| format!("because: {error}"));
        let refused = async |uri: &str| {
            let request = Request::get(uri).body(Full::<Bytes>::default()).unwrap();
            let reply = api.respond(request, Via::Unix).await;
            let body = reply.into_body().collect().await.unwrap().to_bytes();
            String::from_utf8(body.into()).unwrap()
        };
        assert!(refused("/fleet/v1/units/a.service").await.contains("unit does not exist"));
        store.set_available(false);
        let said = refused("/fleet/v1/units/a.service").await;
        assert!(said.contains(r#""code":503"#) && said.contains("because: "), "{said}");
        assert_eq!(api.outage.is_over(), None, "the log was told of none");
    }

    #[tokio::test]
    async fn an_outage_ends_when_the_store_answers_and_not_before() {
        let store = MemoryStore::new();
        let api = api(&store);
        let refused = async || {
            store.set_available(false);
            assert_eq!(status(&api, "GET", "/fleet/v1/units", "").await, 503);
        };

        refused().await;
        // Nobody asks the store for these.
        for (method, uri, body) in [
            ("PATCH", "/fleet/v1/machines", "[]"),
            ("PATCH", "/fleet/v1/machines", "x"),
            ("GET", "/fleet/v1/units/bad", ""),
            ("GET", "/fleet/v1/state?unitName=a,b", ""),
            ("GET", "/fleet/v1/state/bad", ""),
            ("GET", "/fleet/v1/discovery", ""),
            ("OPTIONS", "/fleet/v1/units", ""),
            ("GET", "/metrics", ""),
        ] {
            assert_ne!(status(&api, method, uri, body).await, 503, "{method} {uri}");
        }
        assert_eq!(api.outage.is_over(), Some(1), "it had not ended");

        for (method, uri, body) in [
            ("GET", "/fleet/v1/units", ""),
            ("GET", "/fleet/v1/machines", ""),
            ("GET", "/fleet/v1/state", ""),
            // It answers that there is none.
            ("GET", "/fleet/v1/units/a.service", ""),
            ("DELETE", "/fleet/v1/units/a.service", ""),
            ("PATCH", "/fleet/v1/machines", r#"[{"op":"remove","path":"/m/metadata/a"}]"#),
        ] {
            refused().await;
            store.set_available(true);
            assert_ne!(status(&api, method, uri, body).await, 503, "{method} {uri}");
            assert_eq!(api.outage.is_over(), None, "{method} {uri} has ended it");
        }
    }
}
