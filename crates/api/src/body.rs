//! Reads the bodies of requests, within limits.

use std::{future, panic, sync::Arc, time::Duration};

use bytes::Bytes;
use fleet_runtime::threads;
use http_body_util::BodyExt;
use hyper::{
    StatusCode,
    body::{Body, Frame},
    header::{EXPECT, HeaderMap},
};
use tokio::time::{self, Instant};

use crate::{
    budget::{Budget, Share},
    error::ApiError,
    limits::{BODIES_TOGETHER, Limits, MAX_DRAINED, SMALL_BODY, UNCOUNTED_BODY},
};

/// The body of one request, and until when it may be sent.
pub(crate) struct RequestBody<B> {
    body: B,
    deadline: Instant,
    /// Whether the client sends it only when it is asked to, and hasn't been.
    held_back: bool,
    /// The memory it may take, kept until its request is answered.
    share: Option<Arc<Share>>,
}

impl<B> RequestBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    /// The body of a request with these headers, which may take this long from now on.
    pub(crate) fn new(body: B, headers: &HeaderMap, time: Duration) -> Self {
        let deadline = Instant::now() + time;
        Self { body, deadline, held_back: headers.contains_key(EXPECT), share: None }
    }

    /// Takes what is left of the body and drops it: many a client reads no answer before it has
    /// sent everything, and would only see the connection break. One that says it sends more than
    /// we would take isn't listened to, and one that waits to be asked isn't asked.
    pub(crate) async fn drain(&mut self) {
        // Nothing of what was read is kept any more.
        self.share = None;
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

    /// Takes the whole body, into no more memory than `limit`, and no more than `budget` has.
    async fn collect(&mut self, limit: usize, budget: &Arc<Budget>) -> Result<Vec<u8>, ApiError> {
        let too_large =
            || ApiError::too_large(format!("request body is larger than {limit} bytes"));
        let announced = usize::try_from(self.body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > limit {
            return Err(too_large());
        }
        let most = self.body.size_hint().exact().map_or(limit, |_| announced);
        if announced > UNCOUNTED_BODY {
            self.reserve(most, budget).await?;
        }
        self.held_back = false;
        let mut read = Vec::new();
        while let Some(frame) = self.frame().await? {
            let Ok(data) = frame.into_data() else { continue };
            let size = read.len() + data.len();
            if size > limit {
                return Err(too_large());
            }
            if size > UNCOUNTED_BODY && self.share.is_none() {
                self.reserve(most, budget).await?;
            }
            if size > read.capacity() {
                let wanted = announced.max(2 * size).min(limit);
                read.reserve_exact(wanted - read.len());
            }
            read.extend_from_slice(&data);
        }
        Ok(read)
    }

    async fn reserve(&mut self, bytes: usize, budget: &Arc<Budget>) -> Result<(), ApiError> {
        let share = time::timeout_at(self.deadline, budget.take(bytes)).await;
        self.share = Some(Arc::new(share.map_err(|_| crowded())?));
        Ok(())
    }

    /// The next part of the body, for as long as it may take.
    async fn frame(&mut self) -> Result<Option<Frame<Bytes>>, ApiError> {
        let share = &self.share;
        let is_wanted_back = async {
            match share {
                Some(share) => share.is_wanted_back().await,
                None => future::pending().await,
            }
        };
        let frame = tokio::select! {
            biased;
            frame = self.body.frame() => frame,
            () = time::sleep_until(self.deadline) => {
                return Err(ApiError::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "request body takes too long",
                ));
            }
            () = is_wanted_back => return Err(crowded()),
        };
        let unreadable = |error| ApiError::bad_request(format!("unable to read body: {error}"));
        frame.transpose().map_err(unreadable)
    }
}

/// Others have sent theirs, or wait to.
fn crowded() -> ApiError {
    let text = "too many large request bodies at a time, try again";
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text)
}

/// Reads bodies, of which larger ones may only take so much memory together.
///
/// A large one counts until its request is answered: what is made of it takes several times its
/// size. Whoever sends slowly gives way to others who wait ([`Budget`]).
#[derive(Debug)]
pub(crate) struct BodyReader {
    limit: usize,
    budget: Arc<Budget>,
}

impl BodyReader {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { limit: limits.body, budget: Budget::new(BODIES_TOGETHER) }
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
        let read = body.collect(self.limit, &self.budget).await?;
        if read.len() <= SMALL_BODY {
            return work(&read);
        }
        let share = body.share.clone();
        let worked = threads::spawn(move || {
            // It ends with the work, also when the client has gone.
            let _share = share;
            work(&read)
        });
        worked.await.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => panic::resume_unwind(panic),
            // The runtime ends before the work began.
            Err(_) => Err(ApiError::Late),
        })
    }
}
