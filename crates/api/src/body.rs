//! Reads the bodies of requests, within limits.

use std::pin::{Pin, pin};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{StatusCode, body::Body};
use tokio::{
    sync::Semaphore,
    time::{self, Instant},
};

use crate::{
    error::ApiError,
    limits::{LARGE_BODIES, Limits, MAX_DRAINED, SMALL_BODY},
};

/// Reads bodies so that all of them together take a bounded part of memory.
#[derive(Debug)]
pub(crate) struct BodyReader {
    limit: usize,
    time: time::Duration,
    large: Semaphore,
}

impl BodyReader {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { limit: limits.body, time: limits.body_time, large: Semaphore::new(LARGE_BODIES) }
    }

    /// Reads a body and hands it to `work`, which must not keep it.
    ///
    /// # Errors
    /// It is too large, too slow, or the client broke off; and what `work` says.
    pub(crate) async fn read<B, T>(
        &self,
        body: B,
        work: impl FnOnce(&[u8]) -> Result<T, ApiError>,
    ) -> Result<T, ApiError>
    where
        B: Body<Data = Bytes>,
        B::Error: std::fmt::Display,
    {
        let deadline = Instant::now() + self.time;
        let late = |_| ApiError::new(StatusCode::REQUEST_TIMEOUT, "request body takes too long");
        let mut body = pin!(body);
        if body.size_hint().lower() > self.limit as u64 {
            drain(body, deadline).await;
            return Err(self.too_large());
        }
        let mut read = Vec::new();
        let mut large = None;
        while let Some(frame) = time::timeout_at(deadline, body.frame()).await.map_err(late)? {
            let frame = frame
                .map_err(|error| ApiError::bad_request(format!("unable to read body: {error}")))?;
            let Ok(data) = frame.into_data() else { continue };
            if data.len() > self.limit - read.len() {
                drop((read, large));
                drain(body, deadline).await;
                return Err(self.too_large());
            }
            if large.is_none() && read.len() + data.len() > SMALL_BODY {
                let permit =
                    time::timeout_at(deadline, self.large.acquire()).await.map_err(late)?;
                large = Some(permit.expect("nothing closes this semaphore"));
            }
            read.extend_from_slice(&data);
        }
        work(&read)
    }

    fn too_large(&self) -> ApiError {
        ApiError::too_large(format!("request body is larger than {} bytes", self.limit))
    }
}

/// Takes what is left of a refused body and drops it: many a client reads no answer before it has
/// sent everything, and would only see the connection break. One that says it sends more than we
/// would take isn't listened to.
async fn drain<B>(mut body: Pin<&mut B>, deadline: Instant)
where
    B: Body<Data = Bytes>,
{
    let mut left = MAX_DRAINED;
    if body.size_hint().lower() > left as u64 {
        return;
    }
    while let Ok(Some(Ok(frame))) = time::timeout_at(deadline, body.frame()).await {
        let taken = frame.data_ref().map_or(0, Bytes::len);
        let Some(rest) = left.checked_sub(taken) else { return };
        left = rest;
    }
}
