//! Values of `[X-Fleet]`: several in one, words, specifiers (`units.md` 5.2 to 5.4).

use crate::UnitName;

/// Splits a value into its elements (`units.md` 5.2).
///
/// Only a value that starts and ends with `"` is a list; any other is one element, verbatim. A
/// backslash before a newline separates like a space, and what is between two separators without
/// any quotes is no element.
pub(super) fn elements(value: &str) -> Vec<String> {
    if !(value.starts_with('"') && value.ends_with('"')) {
        return vec![value.to_owned()];
    }
    let mut elements = Vec::new();
    let mut element = Element::default();
    let mut in_quotes = false;
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                in_quotes = !in_quotes;
                element.was_quoted = true;
            }
            ' ' if !in_quotes => element.end(&mut elements),
            '\\' if !in_quotes && chars.next_if_eq(&'\n').is_some() => element.end(&mut elements),
            other => element.text.push(other),
        }
    }
    element.end(&mut elements);
    elements
}

/// An element being read.
#[derive(Default)]
struct Element {
    text: String,
    was_quoted: bool,
}

impl Element {
    /// Adds this to `elements` if it is one, and starts anew.
    fn end(&mut self, elements: &mut Vec<String>) {
        let Self { text, was_quoted } = std::mem::take(self);
        if was_quoted || !text.is_empty() {
            elements.push(text);
        }
    }
}

/// Splits an element at white space; a backslash before a newline belongs to it.
pub(super) fn words(element: &str) -> Vec<String> {
    let lines = element.split("\\\n");
    lines.flat_map(str::split_whitespace).map(str::to_owned).collect()
}

/// Expands the specifiers, one after the other (`units.md` 5.3).
pub(super) fn expand(element: &str, name: &UnitName) -> String {
    if !element.contains('%') {
        return element.to_owned();
    }
    element
        .replace("%n", name.as_str())
        .replace("%N", name.stem())
        .replace("%p", name.prefix())
        .replace("%i", name.instance().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_split_as_in_the_original() {
        for (value, expected) in [
            ("a b", &["a b"][..]),
            (r#""a" "b""#, &["a", "b"]),
            (r#""a b" "c""#, &["a b", "c"]),
            ("\"a\"\t\"b\"", &["a\tb"]),
            (r#""a""b""#, &["ab"]),
            (r#""a" b "c""#, &["a", "b", "c"]),
            (r#""a","b""#, &["a,b"]),
            (r#""a" "b" c"#, &[r#""a" "b" c"#]),
            ("'a' 'b'", &["'a' 'b'"]),
            (r#""foo\"bar""#, &[r"foo\bar"]),
            (r#""a" ""#, &["a", ""]),
            (r#""a" """#, &["a", ""]),
            (r#""""#, &[""]),
            (r#"""#, &[""]),
            ("", &[""]),
        ] {
            assert_eq!(elements(value), expected, "{value:?}");
        }
    }

    #[test]
    fn empty_elements_of_double_spaces_are_dropped() {
        assert_eq!(elements(r#""a"  "b""#), ["a", "b"]);
        assert_eq!(elements(r#""a"   """#), ["a", ""]);
    }

    #[test]
    fn backslash_newline_separates_elements_and_words() {
        assert_eq!(elements("\"a\" \\\n  \"b\""), ["a", "b"]);
        assert_eq!(elements("\"a\"\\\n\"b\""), ["a", "b"]);
        assert_eq!(elements("\"a\\\nb\""), ["a\\\nb"]);
        assert_eq!(words("a \\\n  b\\\nc\td\\e"), ["a", "b", "c", "d\\e"]);
        assert_eq!(words(" \u{a0}\n"), [""; 0]);
    }

    #[test]
    fn specifiers_are_replaced_in_order() {
        for (name, value, expected) in [
            ("foo@7.service", "%p@%i.socket", "foo@7.socket"),
            ("foo@7.service", "%p@*.service", "foo@*.service"),
            ("foo@7.service", "%n", "foo@7.service"),
            ("foo@7.service", "%N", "foo@7"),
            ("test.service", "%i", ""),
            ("test@.service", "%i", ""),
            ("foo@1.service", "%%i", "%1"),
            ("foo@1.service", "%% %x % %I %P", "%% %x % %I %P"),
            (r"a\x2db@1.service", "%p %N", r"a\x2db a\x2db@1"),
        ] {
            let name: UnitName = name.parse().expect(name);
            assert_eq!(expand(value, &name), expected, "{value}");
        }
    }
}
