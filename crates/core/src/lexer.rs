//! The unit-file lexer (`units.md` 1).

/// Why a text does not lex (`units.md` 1.5).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("todo")]
pub struct LexError;
