//! The client against a scripted server: what it sends, what it makes of the answers, and what it
//! does about servers that hang, hang up, or never end.

mod support;

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use fleet_client::{Client, ClientError, Endpoint, Removal};
use fleet_core::JobState;
use fleet_schema::UnitOption;
use support::{Reply, Request, Server};

const LONG: Option<Duration> = Some(Duration::from_secs(30));
const SHORT: Option<Duration> = Some(Duration::from_millis(50));

fn ok(body: &str) -> Reply {
    Reply::Send(200, body.to_owned())
}

fn client(server: &Server) -> Client {
    Client::new(server.endpoint().parse().unwrap(), LONG)
}

#[tokio::test]
async fn requests_are_those_of_the_original() {
    let server = Server::tcp(|request| match &*request.method {
        "GET" => ok(r#"{"name":"a"}"#),
        _ => Reply::Send(204, String::new()),
    });
    let client = Client::new(format!("{}/base/", server.endpoint()).parse().unwrap(), LONG);
    client.unit("foo@1.service").await.unwrap();
    client.state("*.service").await.unwrap();
    let option =
        UnitOption { section: "Unit".into(), name: "Description".into(), value: "<Hello>".into() };
    client.put_unit("a.service", vec![option]).await.unwrap();
    client.put_unit("empty.service", Vec::new()).await.unwrap();
    client.set_state("a.service", JobState::Launched).await.unwrap();
    assert_eq!(client.destroy("a.service").await.unwrap(), Removal::Removed);
    let requests = server.requests();
    let sent: Vec<_> =
        requests.iter().map(|r| format!("{} {} {}", r.method, r.target, r.body)).collect();
    assert_eq!(
        sent,
        [
            "GET /base/fleet/v1/units/foo%401.service?alt=json ",
            "GET /base/fleet/v1/state/%2A.service?alt=json ",
            r#"PUT /base/fleet/v1/units/a.service?alt=json {"name":"a.service","options":[{"name":"Description","section":"Unit","value":"\u003cHello\u003e"}]}"#,
            r#"PUT /base/fleet/v1/units/empty.service?alt=json {"name":"empty.service"}"#,
            r#"PUT /base/fleet/v1/units/a.service?alt=json {"desiredState":"launched","name":"a.service"}"#,
            "DELETE /base/fleet/v1/units/a.service?alt=json ",
        ]
    );
    assert_eq!(requests[2].header("content-type"), Some("application/json"));
    assert_eq!(requests[0].header("host"), server.endpoint().strip_prefix("http://"));
    assert!(requests.iter().all(|r| r.connection == 0), "one connection does it all");
}

#[tokio::test]
async fn restarts_are_asked_for_and_looked_after() {
    let server =
        Server::tcp(|request| match (&*request.method, request.target.contains("/state")) {
            ("POST", _) => Reply::Send(202, r#"{"machines":["m1","m2"]}"#.to_owned()),
            (_, true) => ok(r#"{"states":[{"machineID":"m1","name":"a.service"}]}"#),
            _ if request.target.contains("machineID") => ok("{}"),
            _ => ok(r#"{"pending":["m2"]}"#),
        });
    let client = client(&server);
    assert_eq!(client.restart("a@1.service", None).await.unwrap(), ["m1", "m2"]);
    client.restart("a.service", Some("m 1")).await.unwrap();
    assert_eq!(client.pending_restarts("a.service", None).await.unwrap(), ["m2"]);
    assert!(client.pending_restarts("a.service", Some("m1")).await.unwrap().is_empty());
    assert_eq!(client.states_of("a@1.service", None).await.unwrap()[0].machine_id, "m1");
    client.states_of("a.service", Some("m 1")).await.unwrap();
    assert_eq!(
        server.lines(),
        [
            "POST units/a%401.service/restart",
            "POST units/a.service/restart?machineID=m%201",
            "GET units/a.service/restart",
            "GET units/a.service/restart?machineID=m1",
            "GET state?unitName=a%401.service",
            "GET state?unitName=a.service&machineID=m%201",
        ]
    );
}

#[tokio::test]
async fn unix_sockets_are_asked_as_domain_sock() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fleet.sock");
    let server = Server::unix(&path, |_| ok("{}"));
    let client = Client::new(format!("unix://{}", path.display()).parse().unwrap(), LONG);
    assert_eq!(client.machines().await.unwrap(), []);
    assert_eq!(server.requests()[0].header("host"), Some("domain-sock"));
}

#[tokio::test]
async fn pages_are_joined_in_order() {
    let server = Server::tcp(|request| match &*request.line() {
        "GET units" => ok(r#"{"nextPageToken":"a/b==","units":[{"name":"1"},null]}"#),
        "GET units?limit=10000&nextPageToken=a%2Fb%3D%3D" => ok(r#"{"units":[{"name":"2"}]}"#),
        _ => Reply::Send(400, String::new()),
    });
    let names: Vec<_> =
        client(&server).units().await.unwrap().into_iter().map(|unit| unit.name).collect();
    assert_eq!(names, ["1", "2"]);
}

#[tokio::test]
async fn only_who_is_far_away_is_asked_to_compress() {
    let server = Server::tcp(|_| ok("{}"));
    client(&server).machines().await.unwrap();
    let far = client(&server).compressed();
    far.machines().await.unwrap();
    far.set_state("a.service", JobState::Loaded).await.unwrap();
    let requests = server.requests();
    let accepted: Vec<_> = requests.iter().map(|r| r.header("accept-encoding")).collect();
    assert_eq!(accepted, [None, Some("gzip"), None]);
    for (endpoint, is_near) in [
        ("unix:///run/fleet.sock", true),
        ("http://127.0.0.1:49153", true),
        ("http://[::1]:49153", true),
        ("http://localhost:49153", true),
        ("http://198.18.0.11:49153", false),
        ("https://fleet.example:49153", false),
    ] {
        assert_eq!(endpoint.parse::<Endpoint>().unwrap().is_near(), is_near, "{endpoint}");
    }
}

#[tokio::test]
async fn a_repeated_token_ends_the_list_with_an_error() {
    let server = Server::tcp(|_| ok(r#"{"nextPageToken":"again","states":[{"name":"1"}]}"#));
    let error = client(&server).states().await.unwrap_err();
    assert!(matches!(error, ClientError::RepeatedToken { .. }), "{error}");
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn absent_is_told_from_failed() {
    let server = Server::tcp(|_| Reply::Send(404, "whatever".into()));
    let client = client(&server);
    assert_eq!(client.unit("a.service").await.unwrap(), None);
    assert_eq!(client.state("a.service").await.unwrap(), None);
    assert_eq!(client.destroy("a.service").await.unwrap(), Removal::Absent);
    let error = client.set_state("a.service", JobState::Loaded).await.unwrap_err();
    assert_eq!(error.to_string(), "googleapi: got HTTP response code 404 with body: whatever");
}

#[tokio::test]
async fn answers_that_are_no_json_are_errors() {
    for (body, text) in [("", "EOF"), ("{", "unexpected EOF"), ("<html>", "expected value")] {
        let server = Server::tcp(move |_| ok(body));
        let error = client(&server).unit("a.service").await.unwrap_err().to_string();
        let url = format!(r#"Get "{}/fleet/v1/units/a.service?alt=json": "#, server.endpoint());
        assert!(error.starts_with(&url) && error.contains(text), "{body}: {error}");
    }
}

#[tokio::test]
async fn a_missing_socket_is_named() {
    let client = Client::new("unix:///nowhere/fleet.sock".parse().unwrap(), LONG);
    let error = client.machines().await.unwrap_err().to_string();
    let text = r#"Get "unix:///nowhere/fleet.sock/fleet/v1/machines?alt=json": dial unix /nowhere/fleet.sock: connect: no such file or directory"#;
    assert_eq!(error, text);
    let client = Client::new("http://127.0.0.1:1".parse().unwrap(), LONG);
    let error = client.machines().await.unwrap_err().to_string();
    assert!(error.ends_with(": dial tcp 127.0.0.1:1: connect: connection refused"), "{error}");
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_and_named() {
    let server = Server::tcp(|_| Reply::Hang);
    let client = Client::new(server.endpoint().parse().unwrap(), SHORT);
    let error = client.machines().await.unwrap_err().to_string();
    let tail = format!(": no answer from {} within 0.05s", server.endpoint());
    assert!(error.ends_with(&tail), "{error}");
}

#[tokio::test]
async fn a_connection_that_was_closed_is_replaced() {
    let server = Server::tcp(|_| Reply::SendAndClose(200, r#"{"name":"a"}"#.into()));
    let client = client(&server);
    for _ in 0..3 {
        assert!(client.unit("a.service").await.unwrap().is_some());
    }
    let connections: Vec<_> = server.requests().iter().map(|r| r.connection).collect();
    assert_eq!(connections, [0, 1, 2]);
}

#[tokio::test]
async fn a_get_is_sent_again_when_its_old_connection_breaks_and_a_put_is_not() {
    let breaks = |request: &Request| {
        if request.connection == 0 && request.target.contains("second") {
            Reply::Close
        } else {
            ok(r#"{"name":"a"}"#)
        }
    };
    let server = Server::tcp(breaks);
    let get = client(&server);
    get.unit("first.service").await.unwrap();
    assert!(get.unit("second.service").await.unwrap().is_some());
    let connections: Vec<_> = server.requests().iter().map(|r| r.connection).collect();
    assert_eq!(connections, [0, 0, 1]);

    let server = Server::tcp(breaks);
    let put = client(&server);
    put.unit("first.service").await.unwrap();
    let error = put.set_state("second.service", JobState::Loaded).await.unwrap_err();
    assert!(matches!(error, ClientError::Transport { .. }), "{error}");
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn many_requests_at_once_share_few_connections() {
    let server = Server::tcp(|_| ok(r#"{"name":"a"}"#));
    let client = client(&server).connections(4);
    let (a, b, c, d, e, f) = tokio::join!(
        client.unit("a"),
        client.unit("b"),
        client.unit("c"),
        client.unit("d"),
        client.unit("e"),
        client.unit("f"),
    );
    for unit in [a, b, c, d, e, f] {
        assert!(unit.unwrap().is_some());
    }
    let last = server.requests().iter().map(|r| r.connection).max();
    assert!(last.is_some_and(|last| last < 4), "{last:?}");
}

#[tokio::test]
async fn redirects_are_followed_on_the_same_server_only() {
    let server = Server::tcp(|request| match &*request.target {
        "/fleet/v1/units/moved.service?alt=json" => {
            Reply::With(301, "Location: /elsewhere?x=1".into(), String::new())
        }
        "/elsewhere?x=1" => ok(r#"{"name":"a"}"#),
        "/fleet/v1/units/loop.service?alt=json" => {
            Reply::With(302, "Location: ?alt=json".into(), String::new())
        }
        _ => Reply::With(302, "Location: http://198.18.0.1/".into(), String::new()),
    });
    let client = client(&server);
    assert!(client.unit("moved.service").await.unwrap().is_some());
    assert!(client.unit("loop.service").await.is_err());
    assert!(client.unit("away.service").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn who_asks_to_be_asked_again_is_and_not_for_ever() {
    let busy = || {
        Reply::With(
            503,
            "Retry-After: 1".into(),
            r#"{"error":{"code":503,"message":"busy"}}"#.into(),
        )
    };
    let times = AtomicUsize::new(0);
    let server = Server::tcp(move |request| match &*request.target {
        target if target.contains("stuck") => busy(),
        target if target.contains("down") => Reply::Send(503, String::new()),
        _ if times.fetch_add(1, Ordering::Relaxed) < 2 => busy(),
        _ => Reply::Send(204, String::new()),
    });
    let client = Client::new(server.endpoint().parse().unwrap(), None);
    client.set_state("a.service", JobState::Loaded).await.unwrap();
    assert_eq!(server.requests().len(), 3);
    let error = client.set_state("stuck.service", JobState::Loaded).await.unwrap_err();
    assert_eq!(error.to_string(), "googleapi: Error 503: busy");
    assert_eq!(server.requests().len(), 3 + 6);
    client.set_state("down.service", JobState::Loaded).await.unwrap_err();
    assert_eq!(server.requests().len(), 3 + 6 + 1, "only who asks for it");
}
