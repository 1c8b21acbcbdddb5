//! The query of a URL (`api.md` 1.4).

use percent_encoding::percent_decode_str;

/// The parameters of a request, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Takes a query apart; pieces that can't be read are dropped.
    pub(crate) fn parse(query: &str) -> Self {
        let pair = |piece: &str| {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            Some((unescape(name)?, unescape(value)?))
        };
        let pieces = query.split('&').filter(|piece| !piece.is_empty() && !piece.contains(';'));
        Self(pieces.filter_map(pair).collect())
    }

    /// All values of a parameter.
    pub(crate) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| &**value)
    }

    /// The first value of a parameter, unless it is empty.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.all(name).next().filter(|value| !value.is_empty())
    }
}

/// Undoes the escaping of a query; `None` when an escape is broken.
fn unescape(text: &str) -> Option<String> {
    let mut rest = text;
    while let Some((_, escape)) = rest.split_once('%') {
        let digits = escape.get(..2)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        rest = &escape[2..];
    }
    let text = text.replace('+', " ");
    Some(percent_decode_str(&text).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_dropped_and_the_rest_is_used() {
        for (query, expected) in [
            ("", vec![]),
            ("&&", vec![]),
            ("a=1&b=2&a=3", vec![("a", "1"), ("b", "2"), ("a", "3")]),
            ("a", vec![("a", "")]),
            ("=x", vec![("", "x")]),
            ("a=b=c", vec![("a", "b=c")]),
            ("a=%zz&b=%4", vec![]),
            ("a=%é0&b=%", vec![]),
            ("%zz&x=1", vec![("x", "1")]),
            ("a;b&c=d;e&x=1", vec![("x", "1")]),
            ("a+b=c+%2B%3d%40", vec![("a b", "c +=@")]),
            ("a=%ff", vec![("a", "\u{fffd}")]),
        ] {
            let expected = expected.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned()));
            assert_eq!(Query::parse(query), Query(expected.collect()), "{query}");
        }
    }

    #[test]
    fn the_first_value_counts_and_an_empty_one_is_none() {
        let query = Query::parse("a=1&a=2&b=&b=2");
        assert_eq!((query.first("a"), query.first("b"), query.first("c")), (Some("1"), None, None));
        assert_eq!(query.all("a").collect::<Vec<_>>(), ["1", "2"]);
    }
}
