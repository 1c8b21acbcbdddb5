//! Which requests are answered over which kind of socket.
//!
//! A unix socket has permissions. TCP has none: what keeps a web page in somebody's browser from
//! giving orders there is that a browser says which name it was sent to (`Host`) and by whose page
//! (`Origin`). A name that is nobody's of this machine was pointed here by somebody else (DNS
//! rebinding); an origin that isn't the API's own is another site's page.

use std::net::{IpAddr, Ipv6Addr};

use hyper::{
    Method, Version,
    header::{HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN},
    http::{request::Parts, uri::Authority},
};

use crate::error::ApiError;

/// Says how a page came to ask; only browsers send it (Fetch Metadata, W3C).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The kind of socket that a request came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// A unix socket: whoever may open it may use the API.
    Unix,
    /// A TCP socket.
    Tcp,
}

/// Checks that a request is meant for this machine, and made by who seems to make it. `names` are
/// those that the machine has, in lower case, besides its addresses and `localhost`.
///
/// # Errors
/// 400 where it doesn't say for whom it is, 403 where that is somebody else or another site's page
/// asks.
pub(crate) fn check(via: Via, head: &Parts, names: &[String]) -> Result<(), ApiError> {
    if via == Via::Unix {
        return Ok(());
    }
    let Some(host) = host(head)? else { return Ok(()) };
    let named = head.uri.authority();
    for authority in [Some(&host), named].into_iter().flatten() {
        if !is_ours(authority.host(), names) {
            let name = authority.host();
            return Err(ApiError::forbidden(format!(
                "this machine isn't called {name:?}: use its address, or name it in the option api_hosts"
            )));
        }
    }
    check_origin(head, &host)
}

/// The one `Host` that a request names; HTTP/1.0 needs none.
fn host(head: &Parts) -> Result<Option<Authority>, ApiError> {
    let mut hosts = head.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if head.version == Version::HTTP_10 => Ok(None),
        (None, _) => Err(ApiError::bad_request("missing required Host header")),
        (Some(_), Some(_)) => Err(ApiError::bad_request("too many Host headers")),
        (Some(host), None) => {
            parse(host).map(Some).ok_or_else(|| ApiError::bad_request("malformed Host header"))
        }
    }
}

fn parse(host: &HeaderValue) -> Option<Authority> {
    let authority: Authority = host.to_str().ok()?.parse().ok()?;
    // What stands before an @ is no part of a name.
    (!authority.as_str().contains('@')).then_some(authority)
}

/// Whether a host's name, as URLs write it, is one of this machine.
fn is_ours(host: &str, names: &[String]) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_address = match bare {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => host.parse::<IpAddr>().is_ok(),
    };
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    is_address || name == "localhost" || names.contains(&name)
}

/// Only the API's own pages may ask by a browser.
fn check_origin(head: &Parts, host: &Authority) -> Result<(), ApiError> {
    let mut origins = head.headers.get_all(ORIGIN).iter();
    let is_own = |origin: &HeaderValue| origin.to_str().is_ok_and(|origin| is_same(origin, host));
    if !origins.all(is_own) {
        return Err(ApiError::forbidden("requests of other sites' pages are refused"));
    }
    let changes = !matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS);
    if changes && is_foreign(&head.headers) {
        return Err(ApiError::forbidden("requests of other sites' pages are refused"));
    }
    Ok(())
}

fn is_same(origin: &str, host: &Authority) -> bool {
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host.as_str()))
}

fn is_foreign(headers: &HeaderMap) -> bool {
    let site = headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes);
    matches!(site, Some(b"cross-site" | b"same-site"))
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    /// The status that a request is refused with; 200 when it isn't.
    fn answer(via: Via, method: &str, version: Version, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().method(method).uri("/fleet/v1/units").version(version);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        match check(via, &head, &["h1".to_owned(), "h1.example.com".to_owned()]) {
            Ok(()) => 200,
            Err(ApiError::Refused { status, .. }) => status.as_u16(),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn over_tcp_a_request_is_for_this_machine() {
        for (hosts, expected) in [
            (&["198.18.0.11:49153"][..], 200),
            (&["127.0.0.1"], 200),
            (&["[::1]:49153"], 200),
            (&["[fe80::1]"], 200),
            (&["localhost:49153"], 200),
            (&["LocalHost"], 200),
            (&["h1"], 200),
            (&["H1:49153"], 200),
            (&["h1.example.com."], 200),
            (&["h2"], 403),
            (&["evil.example.com"], 403),
            (&["localhost.evil.example.com"], 403),
            (&["127.0.0.1.evil.example.com"], 403),
            (&["[h1]"], 403),
            (&["h1@evil.example.com"], 400),
            (&["127.0.0.1@evil.example.com"], 400),
            (&[""], 400),
            (&["a b"], 400),
            (&[], 400),
            (&["h1", "h1"], 400),
            (&["h1", "evil.example.com"], 400),
        ] {
            let headers: Vec<_> = hosts.iter().map(|host| ("Host", *host)).collect();
            let tcp = answer(Via::Tcp, "DELETE", Version::HTTP_11, &headers);
            assert_eq!(tcp, expected, "{hosts:?}");
            assert_eq!(answer(Via::Unix, "DELETE", Version::HTTP_11, &headers), 200);
        }
        assert_eq!(answer(Via::Tcp, "GET", Version::HTTP_10, &[]), 200, "it knows no Host");
        let foreign = [("Host", "evil.example.com")];
        assert_eq!(answer(Via::Tcp, "GET", Version::HTTP_10, &foreign), 403);
    }

    #[test]
    fn over_tcp_no_other_site_s_page_asks() {
        let host = ("Host", "198.18.0.11:49153");
        for (header, reading, changing) in [
            (("Origin", "http://198.18.0.11:49153"), 200, 200),
            (("Origin", "http://198.18.0.11"), 403, 403),
            (("Origin", "http://evil.example.com"), 403, 403),
            (("Origin", "null"), 403, 403),
            (("Origin", ""), 403, 403),
            (("Sec-Fetch-Site", "cross-site"), 200, 403),
            (("Sec-Fetch-Site", "same-site"), 200, 403),
            (("Sec-Fetch-Site", "same-origin"), 200, 200),
            (("Sec-Fetch-Site", "none"), 200, 200),
        ] {
            for (method, expected) in [("GET", reading), ("POST", changing), ("DELETE", changing)] {
                let tcp = answer(Via::Tcp, method, Version::HTTP_11, &[host, header]);
                assert_eq!(tcp, expected, "{method} {header:?}");
                let unix = answer(Via::Unix, method, Version::HTTP_11, &[host, header]);
                assert_eq!(unix, 200, "{method} {header:?}");
            }
        }
        let two = [host, ("Origin", "http://198.18.0.11:49153"), ("Origin", "http://evil")];
        assert_eq!(answer(Via::Tcp, "GET", Version::HTTP_11, &two), 403);
    }
}
