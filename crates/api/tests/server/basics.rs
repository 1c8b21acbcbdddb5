//! Paths, methods, headers (`api.md` 1.3, 1.4, 2, 9).

use crate::harness::Server;

const PREFIXES: [&str; 2] = ["/fleet/v1", "/v1-alpha"];
const METHODS: [&str; 8] = ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "TRACE", "QUUX"];

#[tokio::test]
async fn paths_that_name_nothing_are_404_for_every_method() {
    let server = Server::start();
    let mut paths: Vec<String> =
        ["/bogus", "/fleet", "/discovery", "/metrics/", "/debug/pprof", "/fleet/inmemory"]
            .map(str::to_owned)
            .to_vec();
    for prefix in PREFIXES {
        for rest in [
            "/",
            "/machines/",
            "/machines/XXX",
            "/discovery/",
            "/units/",
            "/units/a/b",
            "/state/",
            "/units/a.service/",
            "/units/a%2Fb.service",
            "/units/..",
            "/units/%2e%2e",
            "/units/.",
            "//units",
            "/./units",
            "/../v1/units",
            "/state/a/b",
        ] {
            paths.push(format!("{prefix}{rest}"));
        }
    }
    paths.push("//fleet/v1/units".to_owned());
    for path in paths {
        for method in METHODS.into_iter().filter(|method| *method != "HEAD") {
            server.call(method, &path).await.assert_error(404, "");
        }
    }
}

#[tokio::test]
async fn the_root_and_the_bare_prefixes_support_nothing_but_options() {
    let server = Server::start();
    for path in ["/", "/fleet/v1", "/v1-alpha"] {
        for method in ["GET", "PUT", "POST", "DELETE", "QUUX"] {
            let answer = server.call(method, path).await;
            answer.assert_error(405, "");
            assert_eq!(answer.header("Allow"), Some("OPTIONS"), "{answer:?}");
        }
        let options = server.call("OPTIONS", path).await;
        assert_eq!((options.status, options.header("Allow")), (204, Some("OPTIONS")));
    }
    assert_eq!(
        server.get("/").await.head,
        "HTTP/1.1 405 Method Not Allowed\nContent-Type: application/json\nAllow: OPTIONS\n\
         Server: fleetd/v2.0.0-test\nContent-Length: 35"
    );
}

/// Resource, the methods it answers itself, and what the others are told.
const RESOURCES: [(&str, &[&str], &str, &str); 5] = [
    (
        "/machines",
        &["GET", "HEAD", "PATCH"],
        "GET, HEAD, OPTIONS, PATCH",
        "only GET and PATCH supported against this resource",
    ),
    ("/units", &["GET", "HEAD"], "GET, HEAD, OPTIONS", "only GET supported against this resource"),
    (
        "/units/AAA.service",
        &["GET", "HEAD", "PUT", "DELETE"],
        "DELETE, GET, HEAD, OPTIONS, PUT",
        "only GET, PUT and DELETE supported against this resource",
    ),
    ("/state", &["GET", "HEAD"], "GET, HEAD, OPTIONS", "only GET supported against this resource"),
    (
        "/state/AAA.service",
        &["GET", "HEAD"],
        "GET, HEAD, OPTIONS",
        "only GET supported against this resource",
    ),
];

#[tokio::test]
async fn other_methods_are_405_with_what_is_allowed() {
    let server = Server::start();
    for prefix in PREFIXES {
        for (resource, supported, allow, message) in RESOURCES {
            for method in METHODS.iter().filter(|method| !supported.contains(method)) {
                let answer = server.call(method, &format!("{prefix}{resource}")).await;
                answer.assert_error(405, message);
                assert_eq!(answer.header("Allow"), Some(allow));
            }
            for method in supported {
                let answer = server.call(method, &format!("{prefix}{resource}")).await;
                assert_ne!(answer.status, 405, "{method} {resource}");
            }
        }
    }
}

#[tokio::test]
async fn discovery_refuses_other_methods_in_its_own_way() {
    let server = Server::start();
    for method in ["POST", "PUT", "DELETE", "PATCH", "QUUX"] {
        let answer = server.call(method, "/fleet/v1/discovery").await;
        answer.assert_error(400, "only HTTP GET supported against this resource");
    }
}

#[tokio::test]
async fn options_says_what_is_allowed() {
    let server = Server::start();
    let discovery: (&str, &[&str], &str, &str) = ("/discovery", &[], "GET, HEAD, OPTIONS", "");
    for (resource, _, allow, _) in RESOURCES.into_iter().chain([discovery]) {
        let answer = server.call("OPTIONS", &format!("/fleet/v1{resource}")).await;
        assert_eq!(
            answer.head,
            format!("HTTP/1.1 204 No Content\nAllow: {allow}\nServer: fleetd/v2.0.0-test")
        );
        assert_eq!(answer.body, "");
    }
    let answer = server.call("OPTIONS", "*").await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    assert_eq!(server.call("OPTIONS", "/bogus").await.status, 404);
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let server = Server::start();
    for path in ["/fleet/v1/units", "/fleet/v1/discovery", "/fleet/v1/units/a.service", "/", "/x"] {
        let (get, head) = (server.get(path).await, server.call("HEAD", path).await);
        assert_eq!((head.head, &*head.body), (get.head, ""), "{path}");
        assert!(!get.body.is_empty());
    }
}

#[tokio::test]
async fn an_answer_has_the_headers_that_are_specified() {
    let server = Server::start();
    let answer = server.get("/fleet/v1/units").await;
    assert_eq!(
        answer.head,
        "HTTP/1.1 200 OK\nContent-Type: application/json\nServer: fleetd/v2.0.0-test\n\
         Content-Length: 2"
    );
    assert_eq!(answer.body, "{}");
}

#[tokio::test]
async fn get_looks_neither_at_the_content_type_nor_at_the_body() {
    let server = Server::start();
    let answer = server.send("GET", "/fleet/v1/units", "Content-Type: image/png\r\n", "{").await;
    answer.assert_ok("{}");
}

#[tokio::test]
async fn old_clients_are_answered() {
    let server = Server::start();
    for request in ["GET /fleet/v1/units HTTP/1.0\r\n\r\n", "GET /fleet/v1/units HTTP/1.1\r\n\r\n"]
    {
        let answer = String::from_utf8(server.raw(request.as_bytes()).await).unwrap();
        assert!(answer.contains(" 200 OK\r\n") && answer.ends_with("\r\n\r\n{}"), "{answer}");
    }
}

#[tokio::test]
async fn the_discovery_document_is_the_same_for_both_prefixes() {
    let server = Server::start();
    let document = server.get("/fleet/v1/discovery?alt=json").await;
    assert_eq!(document, server.get("/v1-alpha/discovery").await);
    assert_eq!(document.header("Content-Type"), Some("application/json"));
    let json: serde_json::Value = serde_json::from_str(&document.body).unwrap();
    for (pointer, expected) in [
        ("/kind", "discovery#restDescription"),
        ("/id", "fleet:v1"),
        ("/title", "fleet API"),
        ("/baseUrl", "$ENDPOINT/fleet/v1/"),
        ("/rootUrl", "$ENDPOINT/"),
        ("/schemas/Unit/properties/options/items/$ref", "UnitOption"),
        ("/schemas/Machine/properties/metadata/additionalProperties/type", "string"),
        ("/resources/Units/methods/Set/request/$ref", "Unit"),
        ("/resources/Units/methods/Delete/path", "units/{unitName}"),
        ("/resources/UnitState/methods/List/parameters/machineID/location", "query"),
    ] {
        assert_eq!(json.pointer(pointer).and_then(|value| value.as_str()), Some(expected));
    }
    let keys = ["\"kind\"", "\"icons\"", "\"batchPath\"", "\"schemas\"", "\"resources\""];
    let places = keys.map(|key| document.body.find(key).unwrap());
    assert!(places.is_sorted(), "top-level members are in the order of the specification");
    assert!(document.body.ends_with("}\n"));
}
