//! Work that takes long, away from the threads that everything else waits for.

use tokio::task::{self, JoinHandle, JoinSet};

/// Has `work` done on a thread that may be blocked.
#[cfg_attr(
    feature = "testing",
    expect(
        clippy::disallowed_methods,
        reason = "it stands for a thread, which has no owner either"
    )
)]
pub fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    #[cfg(feature = "testing")]
    if crate::played::is_on() {
        return task::spawn(async move { work() });
    }
    task::spawn_blocking(work)
}

/// The same, as one of `tasks`.
pub fn spawn_on<T: Send + 'static>(
    tasks: &mut JoinSet<T>,
    work: impl FnOnce() -> T + Send + 'static,
) {
    #[cfg(feature = "testing")]
    if crate::played::is_on() {
        tasks.spawn(async move { work() });
        return;
    }
    tasks.spawn_blocking(work);
}
