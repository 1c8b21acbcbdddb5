//! Slow, idle, greedy and broken clients harm nobody.

use std::{sync::Arc, time::Duration};

use fleet_core::{JobState, UnitName};
use fleet_registry::why::{Explain, Explaining};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
    task, time,
};

use crate::harness::{Answer, LONG, SLEEP, Server, read_all, read_answer, settings};

const GET: &[u8] = b"GET /fleet/v1/units HTTP/1.1\r\nHost: x\r\n\r\n";
const SHORT: Duration = Duration::from_millis(50);

fn limited(change: impl FnOnce(&mut fleet_api::Limits)) -> Server {
    let mut settings = settings(100);
    change(&mut settings.limits);
    Server::start_with(settings)
}

async fn assert_serves(server: &Server) {
    time::timeout(LONG, server.get("/fleet/v1/units")).await.unwrap().assert_ok("{}");
}

#[tokio::test]
async fn connections_that_are_idle_or_send_half_a_head_are_closed() {
    let server = limited(|limits| {
        limits.head_time = SHORT;
        limits.idle_time = SHORT;
    });
    for start in [&b""[..], b"GET /fleet", b"GET / HTTP/1.1\r\nA: b\r\n"] {
        let mut stream = server.connect().await;
        stream.write_all(start).await.unwrap();
        let said = read_all(&mut stream).await;
        assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 408"), "{said:?}");
    }
    let mut kept = server.connect().await;
    kept.write_all(GET).await.unwrap();
    read_answer(&mut kept).await;
    read_all(&mut kept).await;
}

#[tokio::test]
async fn a_client_that_had_an_answer_may_keep_its_connection() {
    let server = limited(|limits| limits.head_time = SHORT);
    let mut kept = server.connect().await;
    kept.write_all(GET).await.unwrap();
    read_answer(&mut kept).await;
    // By when this one is closed, the other has been idle for that long.
    read_all(&mut server.connect().await).await;
    kept.write_all(GET).await.unwrap();
    read_answer(&mut kept).await.assert_ok("{}");
    kept.write_all(b"GET /fl").await.unwrap();
    assert!(read_all(&mut kept).await.is_empty(), "a head that has begun has to come");
}

#[tokio::test]
async fn no_request_that_was_sent_is_thrown_away_in_a_flood() {
    let server = limited(|limits| limits.connections = 4);
    // All have sent theirs before the first is read.
    let mut streams = Vec::new();
    for _ in 0..40 {
        let stream = std::os::unix::net::UnixStream::connect(server.socket()).unwrap();
        std::io::Write::write_all(&mut &stream, GET).unwrap();
        stream.set_nonblocking(true).unwrap();
        streams.push(tokio::net::UnixStream::from_std(stream).unwrap());
    }
    for mut stream in streams {
        read_answer(&mut stream).await.assert_ok("{}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let server = limited(|limits| limits.body_time = SHORT);
    let mut stream = server.connect().await;
    let head = "PUT /fleet/v1/units/a.service HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = Answer::parse(&read_all(&mut stream).await);
    answer.assert_error(408, "request body takes too long");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let server = Server::start();
    for rest in ["Content-Length: 100\r\n\r\n{}", "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}"] {
        let request = format!(
            "PUT /fleet/v1/units/a.service HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{rest}"
        );
        let answer = Answer::parse(&server.raw(request.as_bytes()).await);
        assert_eq!(answer.status, 400);
        assert!(answer.body.contains("unable to read body: "), "{answer:?}");
    }
    assert_serves(&server).await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_unread() {
    let server = limited(|limits| limits.body = 1000);
    let large = format!("{}{}", "{}", " ".repeat(999));
    let message = "request body is larger than 1000 bytes";
    server.put("a.service", &large).await.assert_error(413, message);
    server.send("PATCH", "/fleet/v1/machines", "", &large).await.assert_error(413, message);
    let chunked = format!(
        "PATCH /fleet/v1/machines HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n",
        large.len()
    );
    Answer::parse(&server.raw(chunked.as_bytes()).await).assert_error(413, message);
    // One that only says it is.
    let claim = b"PATCH /fleet/v1/machines HTTP/1.1\r\nContent-Length: 1000000000000\r\n\r\n";
    Answer::parse(&server.raw(claim).await).assert_error(413, message);
    let fits = format!("{}{}", "[]", " ".repeat(998));
    assert_eq!(server.send("PATCH", "/fleet/v1/machines", "", &fits).await.status, 204);
}

#[tokio::test]
async fn whoever_sends_too_much_before_reading_is_still_told_so() {
    let server = Server::start();
    let body = vec![b' '; 8 * 1024 * 1024];
    let chunk = format!("{:x}\r\n", body.len());
    for (framing, before, after) in [
        (format!("Content-Length: {}", body.len()), "", ""),
        ("Transfer-Encoding: chunked".to_owned(), &*chunk, "\r\n0\r\n\r\n"),
    ] {
        let mut stream = server.connect().await;
        let head = format!("PATCH /fleet/v1/machines HTTP/1.1\r\n{framing}\r\n\r\n{before}");
        for part in [head.as_bytes(), &body, after.as_bytes()] {
            stream.write_all(part).await.unwrap();
        }
        let answer = read_answer(&mut stream).await;
        answer.assert_error(413, "request body is larger than 1048576 bytes");
    }
}

#[tokio::test]
async fn whoever_is_refused_for_something_else_is_told_so_after_sending() {
    let server = Server::start();
    let body = vec![b' '; 8 * 1024 * 1024];
    for (request, status) in [
        ("PUT /bogus", 404),
        ("POST /fleet/v1/machines", 405),
        ("PUT /fleet/v1/units/a.service", 415),
        ("GET /fleet/v1/units", 200),
        ("GET /fleet/v1/units", 503),
        ("PATCH /fleet/v1/machines", 503),
    ] {
        server.availability.set(status != 503);
        let mut stream = server.connect().await;
        let head = format!("{request} HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        assert_eq!(read_answer(&mut stream).await.status, status, "{request}");
    }
}

#[tokio::test]
async fn nobody_is_asked_for_a_body_that_is_not_wanted() {
    let server = Server::start();
    for (request, status) in [
        ("PUT /bogus HTTP/1.1\r\nContent-Length: 5", 404),
        ("GET /fleet/v1/units HTTP/1.1\r\nContent-Length: 5", 200),
        ("PATCH /fleet/v1/machines HTTP/1.1\r\nContent-Length: 2000000", 413),
    ] {
        let mut stream = server.connect().await;
        let head = format!("{request}\r\nExpect: 100-continue\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        assert_eq!(read_answer(&mut stream).await.status, status, "{request}");
    }
    let mut stream = server.connect().await;
    let head = "PATCH /fleet/v1/machines HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue";
    stream.write_all(format!("{head}\r\n\r\n").as_bytes()).await.unwrap();
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).await.unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"[]").await.unwrap();
    assert_eq!(read_answer(&mut stream).await.status, 204);
}

#[tokio::test]
async fn large_bodies_within_the_limit_are_read() {
    let server = Server::start();
    let padded = format!("[]{}", " ".repeat(900 * 1024));
    let patch = || server.send("PATCH", "/fleet/v1/machines", "", &padded);
    let (one, two, three) = tokio::join!(patch(), patch(), patch());
    assert_eq!([one.status, two.status, three.status], [204; 3]);
}

#[tokio::test]
async fn a_unit_that_etcd_would_not_take_is_refused() {
    let server = Server::start();
    let option = |section: &str| {
        format!(r#"{{"section":"{section}","name":"A","value":"{}"}}"#, "x".repeat(2000))
    };
    let unit = |section: &str, count: usize| {
        format!(r#"{{"options":[{}]}}"#, vec![option(section); count].join(","))
    };
    assert_eq!(server.put("fits.service", &unit("Service", 130)).await.status, 201);
    let answer = server.put("large.service", &unit("Service", 140)).await;
    answer.assert_error(413, "unit is too large: its file has more than 262144 bytes");
    assert_eq!(server.put("fits2.service", &unit("X-Fleet", 30)).await.status, 201);
    let answer = server.put("large.service", &unit("X-Fleet", 40)).await;
    answer.assert_error(413, "unit is too large: its X-Fleet options have more than 65536 bytes");
    // That is found out first: what is too large is not looked into.
    let bad = unit("Service", 140).replace(r#""name":"A""#, r##""name":"#""##);
    assert_eq!(server.put("large.service", &bad).await.status, 413);
    let bad = unit("Service", 100).replace(r#""name":"A""#, r##""name":"#""##);
    server.put("bad.service", &bad).await.assert_refused("option \"#\" in section \"Service\"");
}

#[tokio::test]
async fn heads_that_are_too_large_or_broken_are_refused() {
    let server = Server::start();
    let long = format!("GET /fleet/v1/units/{} HTTP/1.1\r\n\r\n", "a".repeat(100_000));
    let header = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "a".repeat(100_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(1000));
    for (request, statuses) in [
        (&*long, &["414", "431"][..]),
        (&header, &["431"]),
        (&many, &["431"]),
        ("GET / HTTP/9.9\r\n\r\n", &["400"]),
        ("\0\0\0\0\r\n\r\n", &["400"]),
        ("GET /a b c HTTP/1.1\r\n\r\n", &["400"]),
        ("PUT / HTTP/1.1\r\nContent-Length: x\r\n\r\n", &["400"]),
    ] {
        let said = String::from_utf8(server.raw(request.as_bytes()).await).unwrap();
        let status = said.split(' ').nth(1).unwrap_or_default();
        assert!(statuses.contains(&status), "{:.60}: {said}", request);
    }
    assert_serves(&server).await;
}

#[tokio::test]
async fn many_idle_connections_make_room_for_one_that_asks() {
    let server = limited(|limits| limits.connections = 4);
    let mut idle = Vec::new();
    for _ in 0..20 {
        let mut stream = server.connect().await;
        stream.write_all(b"GET /fl").await.unwrap();
        idle.push(stream);
    }
    for _ in 0..10 {
        assert_serves(&server).await;
    }
    // The oldest had to go.
    assert!(read_all(&mut idle[0]).await.is_empty());
}

#[tokio::test]
async fn many_half_sent_bodies_make_room_for_one_that_asks() {
    let server = limited(|limits| limits.connections = 4);
    let mut waiting = Vec::new();
    for start in [
        "PATCH /fleet/v1/machines HTTP/1.1\r\nContent-Length: 100\r\n\r\n[",
        "PUT /fleet/v1/units/a.service HTTP/1.1\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
        "PUT /fleet/v1/units/a.service HTTP/1.1\r\nContent-Length: 100\r\n\r\n{",
        "DELETE /fleet/v1/units/a.service HTTP/1.1\r\nContent-Length: 100\r\n\r\n{",
        "GET /bogus HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
    ] {
        for _ in 0..5 {
            let mut stream = server.connect().await;
            stream.write_all(start.as_bytes()).await.unwrap();
            waiting.push(stream);
        }
        assert_serves(&server).await;
        assert!(read_all(&mut waiting[0]).await.is_empty(), "it is closed without a word");
        waiting.clear();
    }
}

/// Holds up the answers to questions about units, and tells when one has come.
#[derive(Default)]
struct Gate {
    reached: Notify,
    open: Notify,
}

impl Explain for Gate {
    fn explain<'a>(&'a self, _: &'a UnitName) -> Explaining<'a> {
        Box::pin(async {
            self.reached.notify_one();
            self.open.notified().await;
            None
        })
    }
}

#[tokio::test]
async fn connections_that_work_finish_before_others_begin() {
    let mut settings = settings(100);
    settings.limits.connections = 1;
    let gate = Arc::new(Gate::default());
    let explain: Arc<dyn Explain> = gate.clone();
    let server = Server::start_changed(settings, |api| api.with_explain(explain));
    server.create("a.service", SLEEP, JobState::Launched).await;
    let get = "GET /fleet/v1/units/a.service HTTP/1.1\r\n";
    // With a body too: once that is here the request is complete.
    for rest in
        ["\r\n", "Content-Length: 1\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"]
    {
        let mut working = server.connect().await;
        working.write_all(format!("{get}{rest}").as_bytes()).await.unwrap();
        time::timeout(LONG, gate.reached.notified()).await.expect("it is worked on");
        let finish = async {
            // The other waits for a connection by now.
            task::yield_now().await;
            gate.open.notify_one();
            read_answer(&mut working).await
        };
        let (other, answer) = tokio::join!(server.get("/fleet/v1/state"), finish);
        other.assert_ok("{}");
        assert_eq!(answer.status, 200);
    }
}

#[tokio::test]
async fn large_bodies_that_do_not_come_hold_up_no_other() {
    let server = Server::start();
    let mut trickling = Vec::new();
    for _ in 0..40 {
        let mut stream = server.connect().await;
        let head = "PATCH /fleet/v1/machines HTTP/1.1\r\nContent-Length: 900000\r\n\r\n[";
        stream.write_all(format!("{head}{}", " ".repeat(100_000)).as_bytes()).await.unwrap();
        trickling.push(stream);
    }
    let padded = format!("[]{}", " ".repeat(900 * 1024));
    let patch = server.send("PATCH", "/fleet/v1/machines", "", &padded);
    assert_eq!(time::timeout(LONG, patch).await.expect("it is answered").status, 204);
}

#[tokio::test]
async fn a_client_that_takes_no_bytes_is_dropped() {
    let server = limited(|limits| {
        limits.write_time = SHORT;
        limits.connections = 1;
    });
    let mut greedy = server.connect().await;
    // Until the server can write no more, and so reads no more.
    let get = b"GET /fleet/v1/discovery HTTP/1.1\r\n\r\n";
    let flood = async { while greedy.write_all(get).await.is_ok() {} };
    time::timeout(LONG, flood).await.expect("the connection breaks");
    assert_serves(&server).await;
}
