//! Compresses an answer, for clients that take that (`api.md` 8).

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use hyper::header::{ACCEPT_ENCODING, HeaderMap};

/// Whether a request with these headers may be answered compressed.
pub(crate) fn is_accepted(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        is_gzip && !parts.any(is_no_weight)
    })
}

/// Whether a parameter is a weight of 0, which means: not at all.
fn is_no_weight(parameter: &str) -> bool {
    let weight = parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q="));
    weight.and_then(|weight| weight.trim().parse::<f32>().ok()).is_some_and(|weight| weight <= 0.0)
}

/// Compresses a page.
pub(crate) fn compressed(page: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(page).and_then(|()| encoder.finish()).expect("a vector takes everything")
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn only_who_says_so_takes_gzip() {
        for (accepted, expected) in [
            (&["gzip"][..], true),
            (&["GZip"], true),
            (&["deflate, gzip;q=0.5, *"], true),
            (&["gzip;q=1.0"], true),
            (&["br", "gzip"], true),
            (&[], false),
            (&[""], false),
            (&["identity, br"], false),
            (&["gzip;q=0"], false),
            (&["gzip ; q=0.000"], false),
            (&["x-gzip"], false),
            (&["gzipped"], false),
        ] {
            let headers: HeaderMap = accepted
                .iter()
                .map(|value| (ACCEPT_ENCODING, HeaderValue::from_static(value)))
                .fold(HeaderMap::new(), |mut headers, (name, value)| {
                    headers.append(name, value);
                    headers
                });
            assert_eq!(is_accepted(&headers), expected, "{accepted:?}");
        }
    }
}
