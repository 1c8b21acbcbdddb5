//! The syntax of the config file (`fleetd.md` 2.2).

use std::collections::BTreeMap;

/// A global option of the file: its value, and the line it ended on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) value: String,
    pub(crate) line: usize,
}

/// A line that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IniError {
    #[error("iniparser: syntax error at ':{0}'.")]
    Syntax(usize),
    #[error("EOF: line {0} ends in a backslash, but there is no line after it")]
    Eof(usize),
}

/// Reads the options outside any section, keys in lower case. Options inside a named section are
/// none of ours; `[]` leads back to the global section and drops what it held.
pub(crate) fn parse(text: &str) -> Result<BTreeMap<String, Setting>, IniError> {
    let mut options = BTreeMap::new();
    let mut global = true;
    for line in logical_lines(text.strip_prefix('\u{feff}').unwrap_or(text)) {
        let (number, line) = line?;
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(section) = line.strip_prefix('[') {
            let name = section.strip_suffix(']').ok_or(IniError::Syntax(number))?;
            global = name.trim().is_empty();
            if global {
                options.clear();
            }
            continue;
        }
        let (key, value) = line.split_once('=').ok_or(IniError::Syntax(number))?;
        let key = key.trim_end();
        if key.is_empty() || key.contains([' ', '\t']) {
            return Err(IniError::Syntax(number));
        }
        if global {
            let value = value_of(value.trim());
            options.insert(key.to_lowercase(), Setting { value, line: number });
        }
    }
    Ok(options)
}

/// Trimmed lines with continuations joined, each with the number of its last line.
fn logical_lines(text: &str) -> impl Iterator<Item = Result<(usize, String), IniError>> {
    let mut lines = text.lines().map(str::trim).enumerate();
    std::iter::from_fn(move || {
        let (mut number, first) = lines.next()?;
        let mut line = first.to_owned();
        while let Some(head) = line.strip_suffix('\\') {
            let Some((next, rest)) = lines.next() else {
                return Some(Err(IniError::Eof(number + 1)));
            };
            line = format!("{head}{rest}");
            number = next;
        }
        Some(Ok((number + 1, line)))
    })
}

/// A quoted value, with a comment after it or not; else everything up to a comment.
fn value_of(text: &str) -> String {
    for quote in ['"', '\''] {
        let quoted = text.strip_prefix(quote).and_then(|rest| rest.split_once(quote));
        if let Some((value, rest)) = quoted
            && (rest.trim().is_empty() || rest.trim_start().starts_with(['#', ';']))
        {
            return value.to_owned();
        }
    }
    text.split(['#', ';']).next().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Result<Vec<(String, String)>, IniError> {
        Ok(parse(text)?.into_iter().map(|(key, setting)| (key, setting.value)).collect())
    }

    #[test]
    fn each_construct_reads_as_specified() {
        for (text, key, value) in [
            ("a=1", "a", "1"),
            ("  A = 1 \r\n", "a", "1"),
            ("\u{feff}a=1", "a", "1"),
            ("a=1\na=2", "a", "2"),
            ("a=", "a", ""),
            ("a=x # c", "a", "x"),
            ("a=x;c", "a", "x"),
            ("a=\"x # y\"", "a", "x # y"),
            ("a='x;y'", "a", "x;y"),
            ("a=\"x=1,y=2\" # c", "a", "x=1,y=2"),
            ("a=\"open", "a", "\"open"),
            ("a=\"x\" y", "a", "\"x\" y"),
            ("a=1\\\n   2", "a", "12"),
            ("a=b=c", "a", "b=c"),
            ("b=0\n[]\na=1", "a", "1"),
            ("a=1\n[other]\na=2\nz z=3\n", "a", "1"),
        ] {
            let found = options(text);
            if text.contains("z z") {
                assert_eq!(found, Err(IniError::Syntax(4)));
                continue;
            }
            assert_eq!(found, Ok(vec![(key.to_owned(), value.to_owned())]), "{text:?}");
        }
        assert_eq!(options("# c\n; d\n\n"), Ok(vec![]));
        assert_eq!(options("# swallows \\\na=1"), Ok(vec![]));
    }

    #[test]
    fn nonsense_is_an_error_with_its_line() {
        for (text, error) in [
            ("a=1\nword", IniError::Syntax(2)),
            ("a b=x", IniError::Syntax(1)),
            ("=x", IniError::Syntax(1)),
            ("k:v", IniError::Syntax(1)),
            ("[open", IniError::Syntax(1)),
            ("a=1\\", IniError::Eof(1)),
        ] {
            assert_eq!(options(text), Err(error), "{text:?}");
        }
        assert_eq!(IniError::Syntax(3).to_string(), "iniparser: syntax error at ':3'.");
    }
}
