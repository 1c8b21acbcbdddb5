//! Members that are reached as somebody else does it.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use fleet_etcd::{EtcdConfig, EtcdStore};
use fleet_net::{BoxStream, Dial, DialError, Direct, Target};
use fleet_testkit::EtcdServer;

use crate::helpers::{config, is_unavailable, read, until_it_works, write};

/// Knows one name, `member`, and where that is.
struct Tunnel {
    port: u16,
    dialled: AtomicUsize,
}

impl Tunnel {
    fn to(server: &EtcdServer) -> Arc<Self> {
        let (_, port) = server.endpoint().rsplit_once(':').map(|(_, p)| ((), p.parse())).unwrap();
        Arc::new(Self { port: port.unwrap(), dialled: AtomicUsize::new(0) })
    }
}

#[async_trait]
impl Dial for Tunnel {
    async fn dial(&self, target: &Target) -> Result<BoxStream, DialError> {
        self.dialled.fetch_add(1, Ordering::Relaxed);
        if *target != (Target::Tcp { host: "member".to_owned(), port: 7 }) {
            return Err(DialError::new(target, io::Error::other(format!("no way to {target}"))));
        }
        Direct.dial(&Target::Tcp { host: "127.0.0.1".to_owned(), port: self.port }).await
    }
}

fn connect(tunnel: &Arc<Tunnel>, endpoint: &str) -> EtcdStore {
    EtcdStore::connect_with(config(&[endpoint]), tunnel.clone()).unwrap()
}

#[tokio::test]
async fn names_are_left_to_whoever_dials() {
    let server = EtcdServer::start();
    let tunnel = Tunnel::to(&server);
    let store = connect(&tunnel, "http://member:7");
    write(&store, "/a").await.unwrap();
    read(&store).await.unwrap();
    assert_eq!(tunnel.dialled.load(Ordering::Relaxed), 1, "one stream serves all calls");
    let elsewhere = read(&connect(&tunnel, "http://other:7")).await;
    assert!(is_unavailable(&elsewhere), "{elsewhere:?}");
    assert!(
        format!("{elsewhere:?}").contains("transport error: no way to tcp other:7"),
        "{elsewhere:?}"
    );
}

#[tokio::test]
async fn a_stream_that_broke_is_dialled_again() {
    let mut server = EtcdServer::start();
    let tunnel = Tunnel::to(&server);
    let store = connect(&tunnel, "http://member:7");
    write(&store, "/a").await.unwrap();
    server.kill();
    assert!(read(&store).await.is_err());
    server.start_again();
    until_it_works(&store).await;
    assert!(tunnel.dialled.load(Ordering::Relaxed) > 1);
}

#[tokio::test]
async fn tls_is_spoken_inside() {
    let authority = crate::tls::Authority::named("member");
    let server = authority.server(&[]);
    let tunnel = Tunnel::to(&server);
    let tls = authority.trusted();
    let https = EtcdConfig { tls, ..config(&["https://member:7"]) };
    let store = EtcdStore::connect_with(https.clone(), tunnel.clone()).unwrap();
    write(&store, "/a").await.unwrap();
    let stranger = EtcdConfig { tls: crate::tls::Authority::named("member").trusted(), ..https };
    let result = read(&EtcdStore::connect_with(stranger, tunnel).unwrap()).await;
    assert!(is_unavailable(&result), "{result:?}");
}
