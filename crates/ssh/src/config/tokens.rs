//! `%` tokens.

/// Replaces `%` and a letter, `%%` by `%`. Tokens that aren't known stay.
pub(crate) fn tokens(text: &str, known: &[(char, &str)]) -> String {
    let mut replaced = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            replaced.push(letter);
            continue;
        }
        match letters.next() {
            Some('%') => replaced.push('%'),
            Some(token) => match known.iter().find(|(known, _)| *known == token) {
                Some((_, value)) => replaced.push_str(value),
                None => replaced.extend(['%', token]),
            },
            None => replaced.push('%'),
        }
    }
    replaced
}
