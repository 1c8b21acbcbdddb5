//! The operating system's errors in the words that scripts know.

pub(crate) use fleet_core::error_text::plain as text;
