//! Where everything is: the one place that knows the keys (`design.md` 3).

/// The keys under one prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    prefix: std::sync::Arc<str>,
}

/// A text that can't be a prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid key prefix {0:?}")]
pub struct InvalidPrefix(pub String);

impl Keys {
    /// The keys under `prefix`, normalised to one leading and one trailing slash and none doubled.
    ///
    /// # Errors
    /// A prefix with `.` or `..` elements, or control characters.
    pub fn new(_prefix: &str) -> Result<Self, InvalidPrefix> {
        todo!()
    }
}
