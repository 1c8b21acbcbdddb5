//! Reads the bodies of requests, within limits.

use std::pin::pin;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{StatusCode, body::Body};
use tokio::{
    sync::Semaphore,
    time::{self, Instant},
};

use crate::{
    error::ApiError,
    limits::{LARGE_BODIES, Limits, SMALL_BODY},
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
        if body.size_hint().lower() > self.limit as u64 {
            return Err(self.too_large());
        }
        let mut body = pin!(body);
        let mut read = Vec::new();
        let mut large = None;
        while let Some(frame) = time::timeout_at(deadline, body.frame()).await.map_err(late)? {
            let frame = frame
                .map_err(|error| ApiError::bad_request(format!("unable to read body: {error}")))?;
            let Ok(data) = frame.into_data() else { continue };
            if data.len() > self.limit - read.len() {
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
