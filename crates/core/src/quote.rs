//! Quoting of text that strangers wrote, as the specification's messages have it (`units.md` 4.3).

use std::fmt::{self, Write as _};

/// Displays a text in double quotes with backslash escapes, so that it stays on one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted<'a>(pub &'a str);

/// Displays a character in single quotes with backslash escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotedChar(pub char);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            write_escaped(f, c, '"')?;
        }
        f.write_char('"')
    }
}

impl fmt::Display for QuotedChar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('\'')?;
        write_escaped(f, self.0, '\'')?;
        f.write_char('\'')
    }
}

/// Writes `c`, escaped where it is `quote`, a backslash, or would not print.
fn write_escaped(f: &mut fmt::Formatter<'_>, c: char, quote: char) -> fmt::Result {
    match c {
        '\\' => f.write_str("\\\\"),
        _ if c == quote => write!(f, "\\{c}"),
        '\u{7}' => f.write_str("\\a"),
        '\u{8}' => f.write_str("\\b"),
        '\u{c}' => f.write_str("\\f"),
        '\n' => f.write_str("\\n"),
        '\r' => f.write_str("\\r"),
        '\t' => f.write_str("\\t"),
        '\u{b}' => f.write_str("\\v"),
        '\0'..='\x1f' | '\x7f' => write!(f, "\\x{:02x}", u32::from(c)),
        _ if is_printable(c) => f.write_char(c),
        '\0'..='\u{ffff}' => write!(f, "\\u{:04x}", u32::from(c)),
        _ => write!(f, "\\U{:08x}", u32::from(c)),
    }
}

/// Whether `c` shows as itself; the standard library's own escaping knows.
fn is_printable(c: char) -> bool {
    c == ' ' || (!c.is_whitespace() && !c.escape_debug().to_string().starts_with("\\u"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_on_one_line() {
        for (text, shown) in [
            ("bar", r#""bar""#),
            ("", r#""""#),
            ("service\n", r#""service\n""#),
            ("a\"b'c\\d", r#""a\"b'c\\d""#),
            ("\0\u{7}\u{8}\u{b}\u{c}\r\t\u{1b}\u{7f}", r#""\x00\a\b\v\f\r\t\x1b\x7f""#),
            ("é日\u{fffd}", "\"é日\u{fffd}\""),
            ("\u{85}\u{a0}\u{2028}\u{e0001}", r#""\u0085\u00a0\u2028\U000e0001""#),
        ] {
            assert_eq!(Quoted(text).to_string(), shown);
        }
    }

    #[test]
    fn characters_are_escaped() {
        for (c, shown) in [
            ('%', "'%'"),
            ('\'', r"'\''"),
            ('"', "'\"'"),
            ('\t', r"'\t'"),
            ('\n', r"'\n'"),
            ('\0', r"'\x00'"),
            ('é', "'é'"),
            ('日', "'日'"),
            ('\u{fffd}', "'\u{fffd}'"),
        ] {
            assert_eq!(QuotedChar(c).to_string(), shown);
        }
    }
}
