//! The lines of a configuration.

use super::Fault;

/// Blanks within a line.
const BLANKS: [char; 4] = [' ', '\t', '\r', '\x0c'];

/// A line that says something.
pub(super) struct Line {
    /// The option, in lower case.
    pub(super) keyword: String,
    /// What follows it.
    pub(super) rest: String,
}

/// Splits a line; comments and empty lines are none.
pub(super) fn split(text: &str) -> Result<Option<Line>, Fault> {
    let text = text.trim_matches(BLANKS);
    if text.is_empty() || text.starts_with('#') {
        return Ok(None);
    }
    let end = text.find(|letter| BLANKS.contains(&letter) || letter == '=');
    let (keyword, rest) = text.split_at(end.unwrap_or(text.len()));
    let rest = rest.trim_start_matches(BLANKS);
    let rest = rest.strip_prefix('=').unwrap_or(rest).trim_start_matches(BLANKS);
    Ok(Some(Line { keyword: keyword.to_ascii_lowercase(), rest: rest.into() }))
}

impl Line {
    /// The only word.
    pub(super) fn word(&self) -> Result<String, String> {
        match <[String; 1]>::try_from(self.words()?) {
            Ok([word]) if !word.is_empty() => Ok(word),
            Ok(_) => Err(format!("no argument after {}", self.keyword)),
            Err(_) => Err(format!("extra arguments after {}", self.keyword)),
        }
    }

    /// The words: blanks separate them, quotes of both kinds hold them together, a backslash
    /// stands before a quote, a backslash or a blank that is meant, and `#` begins a comment.
    pub(super) fn words(&self) -> Result<Vec<String>, String> {
        let mut words = Vec::new();
        let mut letters = self.rest.chars().peekable();
        loop {
            while letters.next_if(|letter| BLANKS.contains(letter)).is_some() {}
            match letters.peek() {
                None | Some('#') => break,
                Some(_) => {}
            }
            let mut word = String::new();
            let mut quote = None;
            while let Some(letter) = letters.next() {
                match letter {
                    '\\' => {
                        let meant = |next: &char| {
                            "'\"\\".contains(*next) || (quote.is_none() && *next == ' ')
                        };
                        word.push(letters.next_if(meant).unwrap_or('\\'));
                    }
                    _ if quote == Some(letter) => quote = None,
                    '"' | '\'' if quote.is_none() => quote = Some(letter),
                    _ if quote.is_none() && BLANKS.contains(&letter) => break,
                    _ => word.push(letter),
                }
            }
            if quote.is_some() {
                return Err("invalid quotes".into());
            }
            words.push(word);
        }
        if words.is_empty() {
            return Err(format!("no argument after {}", self.keyword));
        }
        Ok(words)
    }
}
