//! Paging and filters (`api.md` 3.1, 3.2, 5, 6.1; `spec/README.md` 2).

use std::io::Read as _;

use flate2::read::GzDecoder;
use fleet_core::JobState;

use crate::harness::{SLEEP, Server, settings};

/// Takes a list page by page and returns the value of `field` in each item.
async fn walk(server: &Server, url: &str, items: &str, field: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut token: Option<String> = None;
    while pages.len() < 100 {
        let query = token.map_or_else(String::new, |token| format!("nextPageToken={token}"));
        let answer =
            server.get(&format!("{url}{}{query}", if url.contains('?') { "" } else { "?" })).await;
        let page: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let items = page[items].as_array().cloned().unwrap_or_default();
        pages.push(items.iter().map(|item| item[field].as_str().unwrap().to_owned()).collect());
        match page["nextPageToken"].as_str() {
            None => return pages,
            Some(next) => token = Some(next.to_owned()),
        }
    }
    panic!("the list does not end");
}

#[tokio::test]
async fn pages_show_every_item_once_and_the_last_has_no_token() {
    for (count, limit, sizes) in [
        (0, 3, vec![0]),
        (1, 3, vec![1]),
        (3, 3, vec![3]),
        (4, 3, vec![3, 1]),
        (6, 3, vec![3, 3]),
        (3, 1, vec![1, 1, 1]),
    ] {
        let server = Server::start_with(settings(limit));
        for item in 0..count {
            server.create(&format!("u@{item}.service"), SLEEP, JobState::Inactive).await;
            let machine = server.register(&format!("m{item}"), "", &[]).await;
            server.publish(&machine, "u@0.service", JobState::Loaded).await;
        }
        for (url, items, field) in [
            ("/fleet/v1/units", "units", "name"),
            ("/fleet/v1/state", "states", "machineID"),
            ("/fleet/v1/machines", "machines", "id"),
        ] {
            let pages = walk(&server, url, items, field).await;
            assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), sizes, "{url} {count}");
            let all = pages.concat();
            assert!(all.is_sorted(), "{all:?}");
            assert_eq!(all.len(), count);
        }
    }
}

#[tokio::test]
async fn changes_between_pages_neither_skip_nor_repeat() {
    let server = Server::start_with(settings(2));
    for name in ["b", "d", "f", "h"] {
        server.create(&format!("{name}.service"), SLEEP, JobState::Inactive).await;
    }
    let first = server.get("/fleet/v1/units").await.body;
    assert!(first.contains(r#""nextPageToken":"1u.d.service""#), "{first}");
    for gone in ["b", "d"] {
        server.call("DELETE", &format!("/fleet/v1/units/{gone}.service")).await;
    }
    server.create("a.service", SLEEP, JobState::Inactive).await;
    let second = server.get("/fleet/v1/units?nextPageToken=1u.d.service").await.body;
    let names: Vec<&str> =
        second.split(r#""name":""#).filter(|part| part.contains(".service\"")).collect();
    assert_eq!(names.len(), 2, "{second}");
    assert!(second.contains("f.service") && second.contains("h.service"));
}

#[tokio::test]
async fn bad_tokens_are_refused() {
    let server = Server::start();
    for (query, message) in [
        ("nextPageToken=", "EOF"),
        ("nextPageToken", "EOF"),
        ("nextPageToken=1u.a&nextPageToken=1u.b", "too many values for page token"),
        ("nextPageToken=&nextPageToken=", "too many values for page token"),
        ("nextPageToken=bogus", "invalid page token"),
        ("nextPageToken=ZAACAA%3D%3D", "invalid page token"),
        ("nextPageToken=2u.a", "invalid page token"),
        ("nextPageToken=1x.a", "invalid page token"),
        ("nextPageToken=1u.", "invalid page token"),
        ("nextPageToken=%FF", "invalid page token"),
    ] {
        for collection in ["units", "state", "machines"] {
            let url = format!("/fleet/v1/{collection}?alt=json&{query}");
            server.get(&url).await.assert_error(400, message);
        }
    }
    for (collection, foreign) in
        [("units", "1s.a"), ("units", "1m.a"), ("state", "1u.a"), ("machines", "1u.a")]
    {
        let url = format!("/fleet/v1/{collection}?nextPageToken={foreign}");
        server.get(&url).await.assert_error(400, "invalid page token");
    }
    // What can't be read is as if it weren't there.
    for query in ["nextPageToken=%zz", "nextPageToken=a;b", "other=1", "&&=&%"] {
        server.get(&format!("/fleet/v1/units?{query}")).await.assert_ok("{}");
    }
}

#[tokio::test]
async fn a_token_beyond_everything_gives_an_empty_page() {
    let server = Server::start();
    server.create("a.service", SLEEP, JobState::Inactive).await;
    server.get("/fleet/v1/units?nextPageToken=1u.zzz").await.assert_ok("{}");
    server.get("/fleet/v1/state?nextPageToken=1s.zzz~2czzz").await.assert_ok("{}");
    server.get("/fleet/v1/machines?nextPageToken=1m.~f4~8f~bf~bf").await.assert_ok("{}");
}

fn state(name: &str, machine: &str) -> String {
    let hash = fleet_core::UnitHash::of(SLEEP.as_bytes());
    format!(
        r#"{{"hash":"{hash}","machineID":"{machine}","name":"{name}","systemdActiveState":"active","systemdLoadState":"loaded","systemdSubState":"running"}}"#
    )
}

async fn with_states() -> Server {
    let server = Server::start_with(settings(10));
    for id in ["YYY", "XXX"] {
        let machine = server.register(id, "", &[]).await;
        server.publish(&machine, "AAA.service", JobState::Launched).await;
        if id == "XXX" {
            server.publish(&machine, "BBB.service", JobState::Launched).await;
        }
    }
    server
}

#[tokio::test]
async fn states_are_filtered_before_they_are_paged() {
    let server = with_states().await;
    let states = |rows: &[(&str, &str)]| {
        let rows: Vec<String> = rows.iter().map(|(name, machine)| state(name, machine)).collect();
        match rows.is_empty() {
            true => "{}".to_owned(),
            false => format!(r#"{{"states":[{}]}}"#, rows.join(",")),
        }
    };
    let (ax, ay, bx) = (("AAA.service", "XXX"), ("AAA.service", "YYY"), ("BBB.service", "XXX"));
    for (query, expected) in [
        ("", vec![ax, ay, bx]),
        ("?machineID=&unitName=", vec![ax, ay, bx]),
        ("?machineID=YYY", vec![ay]),
        ("?machineID=XXX", vec![ax, bx]),
        ("?unitName=AAA.service", vec![ax, ay]),
        ("?unitName=BBB.service&machineID=YYY", vec![]),
        ("?unitName=AAA.service&machineID=YYY&alt=json", vec![ay]),
        ("?machineID=YYY&machineID=XXX", vec![ay]),
        ("?unitName=aaa.service", vec![]),
        ("?unitName=AAA", vec![]),
        ("?unitName=a/b", vec![]),
        ("?unitName=AAA.service%2FXXX", vec![]),
        ("?unitName=%00", vec![]),
        ("?machineID=%zz", vec![ax, ay, bx]),
        ("?nextPageToken=1s.AAA.service~2cXXX", vec![ay, bx]),
        ("?nextPageToken=1s.AAA.service~2cXXX&machineID=XXX", vec![bx]),
        ("?nextPageToken=1s.AAA.service~2cXXX&unitName=AAA.service", vec![ay]),
        // A token of another filter's list: only what passes this one, whatever it says.
        ("?nextPageToken=1s.AAA.service~2cXXX&unitName=BBB.service", vec![bx]),
        ("?nextPageToken=1s.BBB.service~2cXXX&unitName=AAA.service", vec![]),
    ] {
        server.get(&format!("/fleet/v1/state{query}")).await.assert_ok(&states(&expected));
    }
}

#[tokio::test]
async fn one_state_is_that_of_the_lowest_machine() {
    let server = with_states().await;
    let expected = state("AAA.service", "XXX");
    server.get("/fleet/v1/state/AAA.service").await.assert_ok(&expected);
    for name in ["nope.service", "nope", "%zz", "AAA", "a%00b"] {
        let answer = server.get(&format!("/v1-alpha/state/{name}")).await;
        answer.assert_error(404, "unit state does not exist");
    }
}

#[tokio::test]
async fn a_page_of_units_ends_when_they_are_large() {
    let server = Server::start();
    let line = format!("ExecStart=/bin/true {}\n", "x".repeat(2000));
    for (name, lines) in [("a", 1), ("b", 60), ("c", 60), ("d", 120), ("e", 1), ("f", 1)] {
        let text = format!("[Service]\n{}", line.repeat(lines));
        server.create(&format!("{name}.service"), &text, JobState::Inactive).await;
    }
    server.corrupt("unit/d0.service", "?").await;
    let pages = walk(&server, "/fleet/v1/units", "units", "name").await;
    let pages: Vec<String> =
        pages.iter().map(|names| names.iter().map(|name| &name[..1]).collect()).collect();
    assert_eq!(pages, ["abc", "def"]);
}

#[tokio::test]
async fn a_client_may_say_how_large_a_page_is() {
    let server = Server::start_with(settings(3));
    for n in 0..7 {
        server.create(&format!("u@{n}.service"), SLEEP, JobState::Inactive).await;
        let machine = server.register(&format!("m{n}"), "", &[]).await;
        server.publish(&machine, "u@0.service", JobState::Loaded).await;
    }
    for (url, items, field) in [
        ("/fleet/v1/units", "units", "name"),
        ("/fleet/v1/state", "states", "machineID"),
        ("/fleet/v1/machines", "machines", "id"),
    ] {
        for (limit, sizes) in [
            ("limit=", vec![3, 3, 1]),
            ("limit=%zz", vec![3, 3, 1]),
            ("limit=2", vec![2, 2, 2, 1]),
            ("limit=7", vec![7]),
            ("limit=10000", vec![7]),
            ("limit=1000000000", vec![7]),
        ] {
            let pages = walk(&server, &format!("{url}?{limit}&"), items, field).await;
            assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), sizes, "{url} {limit}");
        }
        for bad in ["0", "-1", "x", "1.5", "99999999999999999999"] {
            let answer = server.get(&format!("{url}?limit={bad}")).await;
            answer.assert_error(400, "invalid limit: expect a number from 1 on");
        }
    }
}

#[tokio::test]
async fn a_large_page_is_compressed_for_those_who_take_that() {
    let server = Server::start();
    for n in 0..50 {
        server.create(&format!("u{n:02}.service"), SLEEP, JobState::Inactive).await;
    }
    let plain = server.get("/fleet/v1/units").await;
    assert_eq!((plain.header("Content-Encoding"), plain.header("Vary")), (None, None));
    let request = "GET /fleet/v1/units HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n";
    let answer = server.raw(request.as_bytes()).await;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let (head, body) = (std::str::from_utf8(&answer[..end]).unwrap(), &answer[end..]);
    for line in
        ["Content-Encoding: gzip", "Vary: Accept-Encoding", "Content-Type: application/json"]
    {
        assert!(head.lines().any(|found| found == line), "{head}");
    }
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    let mut page = String::new();
    GzDecoder::new(body).read_to_string(&mut page).unwrap();
    assert_eq!(page, plain.body);
    assert!(body.len() < page.len() / 4);
}
