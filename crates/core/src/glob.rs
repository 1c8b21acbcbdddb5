//! The shell-style patterns of `Conflicts` and `Replaces` (`units.md` 5.7).

/// A pattern. A malformed one is kept and never matches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(String);

impl Pattern {
    /// Takes any text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// Whether the whole of `name` matches.
    #[must_use]
    pub fn matches(&self, _name: &str) -> bool {
        todo!()
    }
}
