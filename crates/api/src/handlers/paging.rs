//! Pages of lists (`api.md` 3.2).

use crate::{
    error::ApiError,
    limits::MAX_PAGE,
    query::Query,
    token::{self, Collection},
};

/// The key after which the page that is asked for starts; `None` for the first page.
pub(crate) fn after(query: &Query, collection: Collection) -> Result<Option<String>, ApiError> {
    let mut tokens = query.all("nextPageToken");
    let Some(token) = tokens.next() else { return Ok(None) };
    if tokens.next().is_some() {
        return Err(ApiError::bad_request("too many values for page token"));
    }
    if token.is_empty() {
        return Err(ApiError::bad_request("EOF"));
    }
    let key = token::decode(collection, token);
    key.map(Some).ok_or_else(|| ApiError::bad_request("invalid page token"))
}

/// How many items the page that is asked for has: `limit`, or what is configured.
pub(crate) fn size(query: &Query, configured: usize) -> Result<usize, ApiError> {
    let Some(limit) = query.first("limit") else { return Ok(configured) };
    let limit = limit.parse().ok().filter(|limit| *limit > 0);
    let limit: usize =
        limit.ok_or_else(|| ApiError::bad_request("invalid limit: expect a number from 1 on"))?;
    Ok(limit.min(MAX_PAGE))
}

/// The token of the page after `key`; empty, and so left out, when there is none.
pub(crate) fn next(key: Option<String>, collection: Collection) -> String {
    key.map(|key| token::encode(collection, &key)).unwrap_or_default()
}
