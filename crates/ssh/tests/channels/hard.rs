//! Much at once, over two hops and while keys change, and far ends that hang up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use fleet_ssh::{Connection, Far, Hop, Role};
use fleet_testkit::eventually;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
    task::JoinSet,
    time::timeout,
};

use super::{
    desk::{connect, job, run},
    support::{Script, Sshd, route},
};

const PATIENCE: Duration = Duration::from_secs(60);

fn data(mebibytes: u32) -> Vec<u8> {
    (0..mebibytes << 18)
        .flat_map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes())
        .collect()
}

#[tokio::test]
async fn much_goes_both_ways_over_two_hops() {
    let (near, far) = (Sshd::start().await, Sshd::start().await);
    let tunnel = Hop { role: Role::Tunnel, ..near.hop_with_key().await };
    let hops = route([tunnel, far.hop_with_key().await]);
    let connection = Connection::open(&hops, Arc::new(Script::default())).await.unwrap();
    let data = data(16);
    let told = timeout(PATIENCE, run(&connection, &job("cat"), data.clone())).await.unwrap();
    assert_eq!(told.status(), 0);
    assert!(told.output == data, "{} bytes came back", told.output.len());
}

#[tokio::test]
async fn new_keys_are_agreed_upon_while_much_goes_both_ways() {
    let server = Sshd::with(&["RekeyLimit 1M"]).await;
    let connection = connect(&server).await;
    let data = data(8);
    let told = timeout(PATIENCE, run(&connection, &job("cat"), data.clone())).await.unwrap();
    assert_eq!(told.status(), 0);
    assert!(told.output == data, "{} bytes came back", told.output.len());
    assert!(server.log().matches("rekeying").count() > 3);
}

#[tokio::test]
async fn a_write_to_a_far_end_that_hung_up_is_an_error() {
    let server = Sshd::start().await;
    let connection = connect(&server).await;
    let path = server.folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let _ = listener.accept().await;
    });
    let mut stream = connection.dial(&Far::Unix(path)).await.unwrap();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    let data = data(8);
    let written = timeout(PATIENCE, stream.write_all(&data)).await;
    assert!(written.expect("no waiting for a host that has hung up").is_err());
}

#[tokio::test]
async fn a_stream_that_nobody_reads_is_in_the_way_only_until_it_is_dropped() {
    let server = Sshd::start().await;
    let connection = connect(&server).await;
    let path = server.folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let (mut flood, _) = listener.accept().await.unwrap();
        while flood.write_all(&[0; 4096]).await.is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        // The next one only says hello.
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"hello").await.unwrap();
    });
    let far = Far::Unix(path);
    let unread = connection.dial(&far).await.unwrap();
    eventually("nothing more is taken", PATIENCE, async || {
        let before = sent.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(200)).await;
        (before > 0 && sent.load(Ordering::SeqCst) == before).then_some(())
    })
    .await;
    assert!(sent.load(Ordering::SeqCst) * 4096 < 40 << 20);
    drop(unread);
    let mut hello = String::new();
    let mut stream = timeout(PATIENCE, connection.dial(&far)).await.unwrap().unwrap();
    timeout(PATIENCE, stream.read_to_string(&mut hello)).await.unwrap().unwrap();
    assert_eq!(hello, "hello");
}
