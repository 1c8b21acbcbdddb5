//! JSON as the API writes and reads it (`api.md` 1.3, 3).

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::error::Category;

pub(crate) trait Sealed {}

/// A type of this crate that is sent as a whole.
#[expect(private_bounds, reason = "only this crate can say that a type always serialises")]
pub trait Entity: Serialize + DeserializeOwned + Default + Sealed {}

/// Why a body could not be read. The first two texts are the original's.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// There is nothing in it.
    #[error("EOF")]
    Empty,
    /// It ends too early.
    #[error("unexpected EOF")]
    Truncated,
    /// It isn't JSON, or not of this type.
    #[error(transparent)]
    Invalid(serde_json::Error),
}

/// Writes `entity` compactly, with `<`, `>`, `&`, U+2028 and U+2029 escaped.
#[must_use]
pub fn to_json<T: Entity>(entity: &T) -> String {
    let plain = serde_json::to_string(entity).expect("entities have text keys and plain members");
    let mut text = String::with_capacity(plain.len());
    // Outside of strings JSON has none of these characters.
    for c in plain.chars() {
        match c {
            '<' => text.push_str("\\u003c"),
            '>' => text.push_str("\\u003e"),
            '&' => text.push_str("\\u0026"),
            '\u{2028}' => text.push_str("\\u2028"),
            '\u{2029}' => text.push_str("\\u2029"),
            c => text.push(c),
        }
    }
    text
}

/// Reads the first JSON value of `body`; what follows it is ignored, as is broken UTF-8 (each
/// piece becomes U+FFFD). `null` is the empty value.
///
/// # Errors
/// The body is empty, ends too early, or isn't a `T`.
pub fn from_json<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, DecodeError> {
    let text = String::from_utf8_lossy(body);
    if text.trim_ascii().is_empty() {
        return Err(DecodeError::Empty);
    }
    let mut input = serde_json::Deserializer::from_str(&text);
    match Option::<T>::deserialize(&mut input) {
        Ok(value) => Ok(value.unwrap_or_default()),
        Err(error) if error.classify() == Category::Eof => Err(DecodeError::Truncated),
        Err(error) => Err(DecodeError::Invalid(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Unit, UnitOption};

    #[test]
    fn characters_that_are_dangerous_in_html_are_escaped() {
        let option =
            UnitOption { value: "<a> & \u{2028}\u{2029} \"é\"\n".into(), ..Default::default() };
        let text = to_json(&option);
        assert_eq!(text, r#"{"value":"\u003ca\u003e \u0026 \u2028\u2029 \"é\"\n"}"#);
        assert_eq!(from_json::<UnitOption>(text.as_bytes()).unwrap(), option);
    }

    #[test]
    fn bodies_that_end_early_say_so() {
        for (body, text) in [
            ("", "EOF"),
            (" \n", "EOF"),
            ("{", "unexpected EOF"),
            (r#"{"name":"a"#, "unexpected EOF"),
        ] {
            assert_eq!(from_json::<Unit>(body.as_bytes()).unwrap_err().to_string(), text, "{body}");
        }
    }

    #[test]
    fn broken_utf8_is_replaced() {
        assert_eq!(from_json::<Unit>(b"{\"name\":\"a\xff\"}").unwrap().name, "a\u{fffd}");
    }
}
