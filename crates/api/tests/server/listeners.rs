//! Listeners: any number, any mix; stop and drain (`api.md` 1.1).

use std::{sync::Arc, time::Duration};

use fleet_api::{Api, Availability, Listener, Switch, serve};
use fleet_registry::{Keys, Registry};
use fleet_store::MemoryStore;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixListener},
    task::JoinSet,
    time,
};
use tokio_util::sync::CancellationToken;

use crate::harness::{Answer, LONG, Server, read_all, read_answer, settings};

const GET: &[u8] = b"GET /fleet/v1/units HTTP/1.1\r\nHost: h1\r\n\r\n";

fn api() -> Arc<Api> {
    let registry = Registry::new(Arc::new(MemoryStore::new()), Keys::new("/f").unwrap());
    let availability = Availability::new();
    availability.set(true);
    Arc::new(Api::new(registry, availability, settings(100)))
}

#[tokio::test]
async fn unix_and_tcp_serve_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let unix = UnixListener::bind(dir.path().join("s")).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (path, address) = (dir.path().join("s"), tcp.local_addr().unwrap());
    assert_eq!(Listener::from(unix).to_string(), path.display().to_string());
    std::fs::remove_file(&path).unwrap();
    let unix = UnixListener::bind(&path).unwrap();

    let stop = CancellationToken::new();
    let mut task = JoinSet::new();
    task.spawn(serve(vec![unix.into(), tcp.into()], api(), stop.clone()));
    let mut over_tcp = TcpStream::connect(address).await.unwrap();
    over_tcp.write_all(GET).await.unwrap();
    over_tcp.shutdown().await.unwrap();
    let mut bytes = Vec::new();
    over_tcp.read_to_end(&mut bytes).await.unwrap();
    let mut over_unix = tokio::net::UnixStream::connect(&path).await.unwrap();
    over_unix.write_all(GET).await.unwrap();
    over_unix.shutdown().await.unwrap();
    let answer = Answer::parse(&read_all(&mut over_unix).await);
    assert_eq!(Answer::parse(&bytes), answer);
    answer.assert_ok("{}");

    stop.cancel();
    time::timeout(LONG, task.join_next()).await.unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn over_tcp_only_this_machine_is_answered_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let unix = UnixListener::bind(&path).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let stop = CancellationToken::new();
    let mut task = JoinSet::new();
    task.spawn(serve(vec![unix.into(), tcp.into()], api(), stop.clone()));
    for (headers, status) in [
        (format!("Host: {address}\r\n"), 404),
        ("Host: evil.example.com\r\n".to_owned(), 403),
        (format!("Host: {address}\r\nOrigin: http://evil.example.com\r\n"), 403),
        (format!("Host: {address}\r\nHost: {address}\r\n"), 400),
        (String::new(), 400),
    ] {
        let request = format!("DELETE /fleet/v1/units/a.service HTTP/1.1\r\n{headers}\r\n");
        let mut over_tcp = TcpStream::connect(address).await.unwrap();
        over_tcp.write_all(request.as_bytes()).await.unwrap();
        over_tcp.shutdown().await.unwrap();
        let mut bytes = Vec::new();
        over_tcp.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(Answer::parse(&bytes).status, status, "{headers}");
        let mut over_unix = tokio::net::UnixStream::connect(&path).await.unwrap();
        over_unix.write_all(request.as_bytes()).await.unwrap();
        over_unix.shutdown().await.unwrap();
        assert_eq!(Answer::parse(&read_all(&mut over_unix).await).status, 404, "{headers}");
    }
    stop.cancel();
}

#[tokio::test]
async fn a_flood_over_tcp_takes_no_unix_socket_s_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let unix = UnixListener::bind(&path).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let mut settings = settings(100);
    settings.limits.connections = 2;
    let registry = Registry::new(Arc::new(MemoryStore::new()), Keys::new("/f").unwrap());
    let availability = Availability::new();
    availability.set(true);
    let api = Arc::new(Api::new(registry, availability, settings));
    let stop = CancellationToken::new();
    let mut task = JoinSet::new();
    task.spawn(serve(vec![unix.into(), tcp.into()], api, stop.clone()));

    let mut kept = tokio::net::UnixStream::connect(&path).await.unwrap();
    kept.write_all(GET).await.unwrap();
    read_answer(&mut kept).await.assert_ok("{}");
    let mut flood = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /fl").await.unwrap();
        flood.push(stream);
    }
    // The oldest had to make room, so all that came before the last two were let in.
    let _ = time::timeout(LONG, flood[0].read(&mut [0; 1])).await.expect("it is closed");
    kept.write_all(GET).await.unwrap();
    read_answer(&mut kept).await.assert_ok("{}");
    stop.cancel();
}

#[tokio::test]
async fn an_open_connection_is_answered_by_what_is_switched_to() {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("s")).unwrap();
    let (switch, stop, mut task) = (Switch::from(api()), CancellationToken::new(), JoinSet::new());
    task.spawn(serve(vec![listener.into()], switch.clone(), stop.clone()));
    let mut stream = tokio::net::UnixStream::connect(dir.path().join("s")).await.unwrap();
    stream.write_all(GET).await.unwrap();
    read_answer(&mut stream).await.assert_ok("{}");
    let registry = Registry::new(Arc::new(MemoryStore::new()), Keys::new("/f").unwrap());
    switch.set(Arc::new(Api::new(registry, Availability::new(), settings(100))));
    stream.write_all(GET).await.unwrap();
    assert_eq!(read_answer(&mut stream).await.status, 503, "the new one isn't available yet");
}

#[tokio::test]
async fn without_listeners_it_waits_for_the_stop() {
    let stop = CancellationToken::new();
    let mut task = JoinSet::new();
    task.spawn(serve(Vec::new(), api(), stop.clone()));
    assert!(time::timeout(Duration::from_millis(50), task.join_next()).await.is_err());
    stop.cancel();
    time::timeout(LONG, task.join_next()).await.unwrap();
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let server = Server::start();
    let mut stream = server.connect().await;
    for _ in 0..5 {
        stream.write_all(GET).await.unwrap();
        read_answer(&mut stream).await.assert_ok("{}");
    }
    // Also when they come all at once.
    stream.write_all(&GET.repeat(3)).await.unwrap();
    stream.shutdown().await.unwrap();
    let all = String::from_utf8(read_all(&mut stream).await).unwrap();
    assert_eq!(all.matches("HTTP/1.1 200 OK").count(), 3, "{all}");
}

#[tokio::test]
async fn stopping_closes_idle_connections_and_finishes_the_request_at_hand() {
    let mut server = Server::start();
    let mut idle = server.connect().await;
    let mut used = server.connect().await;
    used.write_all(GET).await.unwrap();
    read_answer(&mut used).await;
    let mut working = server.connect().await;
    let head = "PUT /fleet/v1/units/a.service HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    working.write_all(head.as_bytes()).await.unwrap();
    let mut proceed = [0; 25];
    working.read_exact(&mut proceed).await.unwrap();
    assert_eq!(&proceed, b"HTTP/1.1 100 Continue\r\n\r\n", "it is being worked on");

    server.stop.cancel();
    assert!(read_all(&mut idle).await.is_empty());
    assert!(read_all(&mut used).await.is_empty());
    working.write_all(b"{}").await.unwrap();
    let answer = Answer::parse(&read_all(&mut working).await);
    answer.assert_error(409, "unit does not exist and options field empty");
    time::timeout(LONG, server.task.join_next()).await.unwrap();
}

#[tokio::test]
async fn a_client_that_does_not_finish_cannot_hold_up_the_stop() {
    let mut settings = settings(100);
    settings.limits.drain = Duration::from_millis(50);
    let mut server = Server::start_with(settings);
    let mut slow = server.connect().await;
    slow.write_all(b"GET /fleet/v1/un").await.unwrap();
    let mut other = server.connect().await;
    other.write_all(GET).await.unwrap();
    read_answer(&mut other).await;
    server.stop.cancel();
    time::timeout(LONG, server.task.join_next()).await.expect("it stops");
    assert!(read_all(&mut slow).await.is_empty());
}
