//! Answers (`api.md` 1.3).

use bytes::Bytes;
use fleet_runtime::threads;
use fleet_schema::{Entity, ErrorEntity, to_json};
use http_body_util::{BodyExt, Collected, Full};
use hyper::{
    Response, StatusCode,
    body::Body as _,
    header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER, VARY},
};

use crate::{
    error::ApiError,
    gzip,
    limits::{COME_AGAIN, UNCOMPRESSED_PAGE},
};

/// An answer to a request.
pub(crate) type Reply = Response<Full<Bytes>>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4");

/// What clients match on (`api.md` 1.2).
const UNAVAILABLE: &str = "fleet server unable to communicate with etcd";

/// What those are told who are one too many.
pub(crate) const BUSY: &str = "too many requests are reading at the same time, try again";

/// 200 with an entity.
pub(crate) fn entity<T: Entity>(entity: &T) -> Reply {
    json(StatusCode::OK, to_json(entity))
}

/// 200 with the page of metrics, compressed for those who take that.
pub(crate) fn metrics(page: String, gzipped: bool) -> Reply {
    let mut reply = empty(StatusCode::OK);
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, METRICS);
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    let page = if gzipped {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        gzip::compressed(page.as_bytes())
    } else {
        page.into_bytes()
    };
    *reply.body_mut() = Full::new(page.into());
    reply
}

/// A page of a list, compressed for those who take that.
pub(crate) async fn page(page: Reply, gzipped: bool) -> Result<Reply, ApiError> {
    let size = page.body().size_hint().lower();
    if !gzipped || size <= UNCOMPRESSED_PAGE as u64 {
        return Ok(page);
    }
    let (mut head, body) = page.into_parts();
    let body = body.collect().await.map(Collected::to_bytes);
    let Ok(body) = body;
    // Of the largest this takes some milliseconds.
    let compressed = threads::spawn(move || gzip::compressed(&body)).await;
    // It fails when the runtime ends before the work began.
    let compressed = compressed.map_err(|_| ApiError::Late)?;
    head.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    head.headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    Ok(Response::from_parts(head, Full::new(compressed.into())))
}

/// 202 with an entity.
pub(crate) fn accepted<T: Entity>(entity: &T) -> Reply {
    json(StatusCode::ACCEPTED, to_json(entity))
}

/// 200 with a JSON text that never changes.
pub(crate) fn text(text: &'static str) -> Reply {
    json(StatusCode::OK, text)
}

/// An error entity.
pub(crate) fn error(status: StatusCode, message: &str) -> Reply {
    json(status, to_json(&ErrorEntity::new(status.as_u16(), message)))
}

/// The 503 of a server without etcd.
pub(crate) fn unavailable() -> Reply {
    error(StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE)
}

/// The 503 of a server that has too much to do; it isn't etcd's fault, and soon over.
pub(crate) fn busy() -> Reply {
    let mut reply = error(StatusCode::SERVICE_UNAVAILABLE, BUSY);
    reply.headers_mut().insert(RETRY_AFTER, COME_AGAIN.into());
    reply
}

/// A status and nothing else.
pub(crate) fn empty(status: StatusCode) -> Reply {
    let mut reply = Reply::default();
    *reply.status_mut() = status;
    reply
}

/// 204 with a content type, as PATCH answers.
pub(crate) fn empty_json() -> Reply {
    let mut reply = empty(StatusCode::NO_CONTENT);
    reply.headers_mut().insert(CONTENT_TYPE, JSON);
    reply
}

/// The answer to OPTIONS.
pub(crate) fn options(allow: &'static str) -> Reply {
    allowing(empty(StatusCode::NO_CONTENT), allow)
}

/// Adds the methods that a resource allows.
pub(crate) fn allowing(mut reply: Reply, allow: &'static str) -> Reply {
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    reply
}

fn json(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    let mut reply = empty(status);
    reply.headers_mut().insert(CONTENT_TYPE, JSON);
    *reply.body_mut() = Full::new(body.into());
    reply
}
