//! Reads the bodies of requests, within limits.

use std::{panic, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    StatusCode,
    body::Body,
    header::{EXPECT, HeaderMap},
};
use tokio::{
    sync::Semaphore,
    task,
    time::{self, Instant},
};

use crate::{
    error::ApiError,
    limits::{LARGE_AT_ONCE, Limits, MAX_DRAINED, SMALL_BODY},
};

/// The body of one request, and until when it may be sent.
pub(crate) struct RequestBody<B> {
    body: B,
    deadline: Instant,
    /// Whether the client sends it only when it is asked to, and hasn't been.
    held_back: bool,
}

impl<B> RequestBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    /// The body of a request with these headers, which may take this long from now on.
    pub(crate) fn new(body: B, headers: &HeaderMap, time: Duration) -> Self {
        let deadline = Instant::now() + time;
        Self { body, deadline, held_back: headers.contains_key(EXPECT) }
    }

    /// Takes what is left of the body and drops it: many a client reads no answer before it has
    /// sent everything, and would only see the connection break. One that says it sends more than
    /// we would take isn't listened to, and one that waits to be asked isn't asked.
    pub(crate) async fn drain(&mut self) {
        let mut left = MAX_DRAINED;
        if self.held_back || self.body.size_hint().lower() > left as u64 {
            return;
        }
        while !self.body.is_end_stream()
            && let Ok(Some(Ok(frame))) = time::timeout_at(self.deadline, self.body.frame()).await
        {
            let taken = frame.data_ref().map_or(0, Bytes::len);
            let Some(rest) = left.checked_sub(taken) else { return };
            left = rest;
        }
    }

    /// Takes the whole body, into no more memory than `limit`.
    async fn collect(&mut self, limit: usize) -> Result<Vec<u8>, ApiError> {
        let too_large =
            || ApiError::too_large(format!("request body is larger than {limit} bytes"));
        let late = |_| ApiError::new(StatusCode::REQUEST_TIMEOUT, "request body takes too long");
        let announced = usize::try_from(self.body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > limit {
            return Err(too_large());
        }
        self.held_back = false;
        let mut read = Vec::new();
        while let Some(frame) =
            time::timeout_at(self.deadline, self.body.frame()).await.map_err(late)?
        {
            let frame = frame
                .map_err(|error| ApiError::bad_request(format!("unable to read body: {error}")))?;
            let Ok(data) = frame.into_data() else { continue };
            let size = read.len() + data.len();
            if size > limit {
                return Err(too_large());
            }
            if size > read.capacity() {
                let wanted = announced.max(2 * size).min(limit);
                read.reserve_exact(wanted - read.len());
            }
            read.extend_from_slice(&data);
        }
        Ok(read)
    }
}

/// Reads bodies, and works on a bounded number of large ones at a time: what is made of a body
/// takes several times its size, and long enough to hold up others.
///
/// Only what is complete is worked on. So whoever sends slowly takes memory, as large as a body may
/// be for each connection, and nobody else's turn.
#[derive(Debug)]
pub(crate) struct BodyReader {
    limit: usize,
    large: Arc<Semaphore>,
}

impl BodyReader {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { limit: limits.body, large: Arc::new(Semaphore::new(LARGE_AT_ONCE)) }
    }

    /// Reads a body and hands it to `work`; a large one on a thread that may be blocked.
    ///
    /// # Errors
    /// It is too large, too slow, or the client broke off; and what `work` says.
    pub(crate) async fn read<B, T>(
        &self,
        body: &mut RequestBody<B>,
        work: impl FnOnce(&[u8]) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
        T: Send + 'static,
    {
        let read = body.collect(self.limit).await?;
        if read.len() <= SMALL_BODY {
            return work(&read);
        }
        let permit = Arc::clone(&self.large).acquire_owned().await;
        let permit = permit.expect("nothing closes this semaphore");
        let worked = task::spawn_blocking(move || {
            // It ends with the work, also when the client has gone.
            let _permit = permit;
            work(&read)
        });
        worked.await.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => panic::resume_unwind(panic),
            // The runtime ends before the work began.
            Err(_) => Err(ApiError::Late),
        })
    }
}
