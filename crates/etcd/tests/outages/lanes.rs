//! Two lanes: what is slow on one is not felt on the other.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use fleet_etcd::EtcdStore;
use fleet_net::{BoxStream, Dial, DialError, Direct, Target};
use fleet_store::{Revision, Store};
use fleet_testkit::{EtcdServer, eventually};
use tokio::{
    io::{AsyncRead, AsyncWriteExt, DuplexStream, copy_bidirectional, duplex},
    task::JoinSet,
    time::{self, Instant},
};

use crate::helpers::{TIMEOUT, config, everything, is_unavailable, read, write};

/// What goes through each stream at a time: small, so that nothing large is under way unseen.
const PIPE: usize = 1024;

/// Leads to one server. What comes back over the stream that was dialled second is held up while
/// `slow` is locked.
struct Road {
    port: u16,
    dialled: AtomicUsize,
    open: Arc<AtomicUsize>,
    slow: Arc<tokio::sync::Mutex<()>>,
    carriers: Mutex<JoinSet<()>>,
}

impl Road {
    fn to(server: &EtcdServer) -> Arc<Self> {
        let endpoint = server.endpoint();
        let (_, port) = endpoint.rsplit_once(':').unwrap();
        Arc::new(Self {
            port: port.parse().unwrap(),
            dialled: AtomicUsize::default(),
            open: Arc::default(),
            slow: Arc::default(),
            carriers: Mutex::default(),
        })
    }

    fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    fn dialled(&self) -> usize {
        self.dialled.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Dial for Road {
    async fn dial(&self, _: &Target) -> Result<BoxStream, DialError> {
        let is_slow = self.dialled.fetch_add(1, Ordering::Relaxed) > 0;
        let server = Target::Tcp { host: "127.0.0.1".to_owned(), port: self.port };
        let there = Direct.dial(&server).await?;
        let (here, end) = duplex(PIPE);
        let (slow, open) = (Arc::clone(&self.slow), Arc::clone(&self.open));
        open.fetch_add(1, Ordering::Relaxed);
        self.carriers.lock().unwrap().spawn(async move {
            if is_slow {
                carry_slowly(end, there, &slow).await
            } else {
                carry(end, there).await
            }
            open.fetch_sub(1, Ordering::Relaxed);
        });
        Ok(Box::new(here))
    }
}

async fn carry(mut end: DuplexStream, mut there: BoxStream) {
    let _ = copy_bidirectional(&mut end, &mut there).await;
}

/// Carries answers only while nobody holds `slow`.
async fn carry_slowly(end: DuplexStream, there: BoxStream, slow: &tokio::sync::Mutex<()>) {
    let (mut from_us, mut to_us) = tokio::io::split(end);
    let (mut from_etcd, mut to_etcd) = tokio::io::split(there);
    let answers = async {
        while let Some(bytes) = some(&mut from_etcd).await {
            let _way = slow.lock().await;
            if to_us.write_all(&bytes).await.is_err() {
                break;
            }
        }
    };
    let requests = async {
        while let Some(bytes) = some(&mut from_us).await {
            if to_etcd.write_all(&bytes).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = answers => {}
        () = requests => {}
    }
}

async fn some(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    use tokio::io::AsyncReadExt as _;
    let mut bytes = vec![0; PIPE];
    let count = stream.read(&mut bytes).await.ok().filter(|count| *count > 0)?;
    bytes.truncate(count);
    Some(bytes)
}

fn lanes(road: &Arc<Road>, idle: Duration) -> (EtcdStore, EtcdStore) {
    let orders =
        EtcdStore::connect_with(config(&["http://member:7"]), Arc::clone(road) as _).unwrap();
    let users = orders.lane(idle);
    (orders, users)
}

#[tokio::test]
async fn a_lease_is_kept_while_64_lists_hang_on_the_other_lane() {
    let server = EtcdServer::start();
    let road = Road::to(&server);
    let (orders, users) = lanes(&road, 60 * TIMEOUT);
    let lease = orders.grant(3 * TIMEOUT).await.unwrap().id;
    // What was written over one lane is seen over the other at once.
    write(&users, "/a").await.unwrap();
    assert_eq!(read(&orders).await.unwrap().ranges[0].kvs.len(), 1);
    write(&orders, "/b").await.unwrap();
    assert_eq!(read(&users).await.unwrap().ranges[0].kvs.len(), 2);
    assert_eq!(road.dialled(), 2);

    let slow = road.slow.lock().await;
    let mut lists = JoinSet::new();
    for _ in 0..64 {
        let users = users.clone();
        lists.spawn(async move { read(&users).await });
    }
    let end = Instant::now() + 4 * TIMEOUT;
    while Instant::now() < end {
        orders.keep_alive(lease).await.unwrap();
        time::sleep(TIMEOUT / 10).await;
    }
    assert!(orders.time_to_live(lease).await.unwrap().is_some());
    while let Some(list) = lists.join_next().await {
        assert!(is_unavailable(&list.unwrap()), "the lists have ended in time");
    }
    drop(slow);
    crate::helpers::until_it_works(&users).await;
}

#[tokio::test]
async fn one_answer_that_is_late_costs_no_connection_while_others_come() {
    let server = EtcdServer::start();
    let road = Road::to(&server);
    let store =
        EtcdStore::connect_with(config(&["http://member:7"]), Arc::clone(&road) as _).unwrap();
    let big = vec![b'x'; 1 << 20];
    for n in 0..8 {
        let put = fleet_store::Op::Put {
            key: format!("/big/{n}").as_str().into(),
            value: big.clone(),
            lease: None,
        };
        store.commit(fleet_store::Txn { compare: vec![], then: vec![put] }).await.unwrap();
    }
    let mut changes = store.watch(&[everything()], Revision(1)).await.unwrap();
    assert!(changes.next().await.is_ok());
    // More at a time than can be read in time; between them small ones are answered.
    let mut asked = JoinSet::new();
    for _ in 0..24 {
        let store = store.clone();
        asked.spawn(async move { read(&store).await.map(drop) });
    }
    let mut beats = 0;
    while !asked.is_empty() {
        let lease = store.grant(TIMEOUT).await;
        beats += usize::from(lease.is_ok());
        while asked.try_join_next().is_some() {}
    }
    assert!(beats > 0);
    write(&store, "/small").await.unwrap();
    assert_eq!(road.dialled(), 1, "it is the connection that there was from the beginning");
}

#[tokio::test]
async fn a_lane_is_made_by_its_first_call_and_closed_when_idle() {
    let server = EtcdServer::start();
    let road = Road::to(&server);
    let (orders, users) = lanes(&road, TIMEOUT / 2);
    write(&orders, "/a").await.unwrap();
    assert_eq!(road.open(), 1, "nobody has used the other yet");

    let mut watch = users.watch(&[everything()], Revision(1)).await.unwrap();
    assert!(watch.next().await.is_ok());
    time::sleep(2 * TIMEOUT).await;
    assert_eq!(road.open(), 2, "a watch uses it");

    drop(watch);
    eventually("the idle lane is closed", 20 * TIMEOUT, async || match road.open() {
        1 => Ok(()),
        open => Err(format!("{open} connections")),
    })
    .await;
    read(&users).await.unwrap();
    assert_eq!((road.open(), road.dialled()), (2, 3), "and made again by the next call");
}
