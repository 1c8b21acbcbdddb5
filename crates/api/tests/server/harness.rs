//! A server on a unix socket, on a store of the test's kind, and a client that shows every byte.
#![allow(dead_code, reason = "each kind of store has tests that use their own part")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    num::NonZeroU16,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use fleet_api::{
    Api, Availability, Family, Label, Limits, Listener, MetricsSource, Samples, Settings, serve,
};
use fleet_core::{JobState, MachineId, UnitFile, UnitHash, UnitName, UnitState};
use fleet_registry::{
    Decision, Keys, LeaderRecord, Leadership, MachineRecord, Presence, PublishedState, Registry,
    Target, Trouble,
};
use fleet_store::{Key, KeyValue, Range, Revision, Store};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    task::JoinSet,
    time,
};
use tokio_util::sync::CancellationToken;

use crate::store::{self, Keeper, TestStore};

/// Far more than anything here takes: a test that hangs fails.
pub(crate) const LONG: Duration = Duration::from_secs(20);

const TTL: Duration = Duration::from_secs(3600);

pub(crate) const SLEEP: &str = "[Service]\nExecStart=/bin/sleep 100\n";

/// The JSON of [`SLEEP`]'s options.
pub(crate) const SLEEP_OPTIONS: &str =
    r#"[{"section":"Service","name":"ExecStart","value":"/bin/sleep 100"}]"#;

/// A running server.
pub(crate) struct Server {
    dir: TempDir,
    pub(crate) store: TestStore,
    _keeper: Keeper,
    /// What keys start with: the server's own, where the store is shared.
    pub(crate) prefix: String,
    pub(crate) registry: Registry,
    pub(crate) availability: Availability,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinSet<()>,
}

/// One metric that is always the same.
#[derive(Debug)]
struct FakeMetrics;

impl MetricsSource for FakeMetrics {
    fn families(&self) -> Vec<Family> {
        let label = Label { name: "type", value: "get".to_owned() };
        let samples = Samples::Counters(vec![(Some(label), 7.0)]);
        vec![Family { name: "fleet_operation_count_total", help: "Operations.", samples }]
    }
}

/// What a server answered.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Status line and headers as sent, without `Date`.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.head, self.body)
    }
}

impl Answer {
    /// Takes an answer apart; `Date` must be there and is left out.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let is_date = |line: &&str| line.starts_with("Date: ");
        assert_eq!(head.lines().filter(is_date).count(), 1, "{head}");
        let lines: Vec<&str> = head.lines().filter(|line| !is_date(line)).collect();
        Self { status, head: lines.join("\n"), body: body.to_owned() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// Checks status and error message.
    #[track_caller]
    pub(crate) fn assert_error(&self, status: u16, message: &str) {
        let message = serde_json::to_string(message).unwrap();
        let body = format!(r#"{{"error":{{"code":{status},"message":{message}}}}}"#);
        assert_eq!((self.status, &self.body), (status, &body));
        assert_eq!(self.header("Content-Type"), Some("application/json"));
        assert_eq!(self.header("Content-Length"), Some(&*body.len().to_string()));
    }

    /// Checks for 400 and how the message begins.
    #[track_caller]
    pub(crate) fn assert_refused(&self, message: &str) {
        let error: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        let said = error["error"]["message"].as_str().unwrap();
        assert!(self.status == 400 && said.starts_with(message) && !said.is_empty(), "{self:?}");
    }

    /// Checks for 200 and a body.
    #[track_caller]
    pub(crate) fn assert_ok(&self, body: &str) {
        assert_eq!((self.status, &*self.body), (200, body));
        assert_eq!(self.header("Content-Type"), Some("application/json"));
        assert_eq!(self.header("Content-Length"), Some(&*body.len().to_string()));
    }
}

pub(crate) fn settings(token_limit: u16) -> Settings {
    Settings {
        version: "v2.0.0-test".to_owned(),
        token_limit: NonZeroU16::new(token_limit).unwrap(),
        limits: Limits::default(),
        hosts: vec!["h1".to_owned()],
    }
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(settings(100))
    }

    pub(crate) fn start_with(settings: Settings) -> Self {
        Self::start_changed(settings, |api| api)
    }

    /// A server that sees `store` through `seen`.
    pub(crate) fn start_on(
        store: (TestStore, Keeper),
        seen: Arc<dyn Store>,
        settings: Settings,
    ) -> Self {
        Self::build(store, seen, settings, |api| api)
    }

    /// A server of an API with something more.
    pub(crate) fn start_changed(settings: Settings, change: impl FnOnce(Api) -> Api) -> Self {
        let (store, keeper) = store::new();
        let seen = Arc::new(store.clone());
        Self::build((store, keeper), seen, settings, change)
    }

    fn build(
        (store, keeper): (TestStore, Keeper),
        seen: Arc<dyn Store>,
        settings: Settings,
        change: impl FnOnce(Api) -> Api,
    ) -> Self {
        let dir = TempDir::new().unwrap();
        let listener = UnixListener::bind(dir.path().join("fleet.sock")).unwrap();
        let prefix = store::prefix();
        let keys = Keys::new(&prefix).unwrap();
        let registry = Registry::new(Arc::new(store.clone()), keys.clone());
        let availability = Availability::new();
        availability.set(true);
        let api = Api::new(Registry::new(seen, keys), availability.clone(), settings);
        let api = Arc::new(change(api.with_metrics(Arc::new(FakeMetrics))));
        let stop = CancellationToken::new();
        let mut task = JoinSet::new();
        task.spawn(serve(vec![Listener::from(listener)], api, stop.clone()));
        Self { dir, store, _keeper: keeper, prefix, registry, availability, stop, task }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("fleet.sock")
    }

    pub(crate) async fn connect(&self) -> UnixStream {
        UnixStream::connect(self.socket()).await.unwrap()
    }

    /// Sends bytes, says that this is all, and reads until the server closes.
    pub(crate) async fn raw(&self, request: &[u8]) -> Vec<u8> {
        let mut stream = self.connect().await;
        // A server that refuses early may have closed already; what it said is still there.
        let _ = stream.write_all(request).await;
        let _ = stream.shutdown().await;
        read_all(&mut stream).await
    }

    /// Sends a request with these headers, each ending in CR LF.
    pub(crate) async fn send(&self, method: &str, url: &str, headers: &str, body: &str) -> Answer {
        let length = match body.len() {
            0 => String::new(),
            length => format!("Content-Length: {length}\r\n"),
        };
        let head = format!("{method} {url} HTTP/1.1\r\nHost: any\r\n{headers}{length}\r\n");
        Answer::parse(&self.raw(format!("{head}{body}").as_bytes()).await)
    }

    pub(crate) async fn call(&self, method: &str, url: &str) -> Answer {
        self.send(method, url, "", "").await
    }

    pub(crate) async fn get(&self, url: &str) -> Answer {
        self.call("GET", url).await
    }

    /// PUTs a unit of the first prefix.
    pub(crate) async fn put(&self, name: &str, body: &str) -> Answer {
        let url = format!("/fleet/v1/units/{name}");
        self.send("PUT", &url, "Content-Type: application/json\r\n", body).await
    }

    /// Makes a machine present.
    pub(crate) async fn register(&self, id: &str, ip: &str, metadata: &[(&str, &str)]) -> Presence {
        let metadata = metadata.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let record = MachineRecord {
            public_ip: ip.to_owned(),
            metadata,
            capabilities: fleet_registry::Capabilities::default(),
            version: "v2".to_owned(),
            nonce: id.to_owned(),
            ..MachineRecord::default()
        };
        self.registry.register(&machine(id), &record, TTL).await.unwrap()
    }

    pub(crate) async fn create(&self, name: &str, text: &str, state: JobState) {
        let file = UnitFile::parse(text.as_bytes()).unwrap();
        self.registry.create_unit(&unit(name), &file, state).await.unwrap();
    }

    pub(crate) async fn lead(&self) -> Leadership {
        let me = LeaderRecord { machine: machine("XXX"), version: 1 };
        self.registry.acquire_lead(&me, TTL).await.unwrap().expect("nobody else leads")
    }

    /// Schedules a unit to a machine that is present.
    pub(crate) async fn schedule(&self, lead: &Leadership, name: &str, id: &str) {
        let seen = self.registry.unit(&unit(name)).await.unwrap().unwrap().record;
        let created = self.registry.machine(&machine(id)).await.unwrap().unwrap().created;
        let leaving = format!("{}leaving/{name}", self.prefix);
        let leaving = self.kvs().await.into_iter().find(|kv| kv.key.as_str() == leaving);
        let leaving = leaving.map(|kv| kv.mod_revision);
        let target = Target::Machine { id: machine(id), created, leaving };
        let decision = Decision { unit: unit(name), seen, target, absent: None };
        self.registry.decide(lead, &[decision]).await.unwrap().remove(0).unwrap();
    }

    pub(crate) async fn publish(&self, presence: &Presence, name: &str, claim: JobState) {
        self.publish_as(presence, name, claim, ("active", "running")).await;
    }

    /// The same with what systemd reports: active and sub state.
    pub(crate) async fn publish_as(
        &self,
        presence: &Presence,
        name: &str,
        claim: JobState,
        (active, sub): (&str, &str),
    ) {
        let systemd = UnitState { load: "loaded".into(), active: active.into(), sub: sub.into() };
        let known = self.registry.unit(&unit(name)).await.unwrap();
        let hash =
            known.map_or_else(|| UnitHash::of(SLEEP.as_bytes()), |unit| unit.record.value.hash);
        let state = PublishedState::new(systemd, hash, claim);
        let states = BTreeMap::from([(unit(name), Some(state))]);
        self.registry.publish(presence, &states).await.unwrap();
    }

    /// Tells that a machine has trouble with a unit.
    pub(crate) async fn say_trouble(&self, presence: &Presence, name: &str, error: &str) {
        let troubles = BTreeMap::from([(
            unit(name),
            Some(Trouble { error: error.to_owned(), ..Trouble::default() }),
        )]);
        self.registry.publish(presence, &troubles).await.unwrap();
    }

    /// Everything in the store, by key without the prefix.
    pub(crate) async fn stored(&self) -> BTreeMap<String, Vec<u8>> {
        let name = |key: &Key| key.as_str()[self.prefix.len()..].to_owned();
        self.kvs().await.into_iter().map(|kv| (name(&kv.key), kv.value)).collect()
    }

    /// The revisions at which what is stored was written.
    pub(crate) async fn revisions(&self) -> BTreeSet<Revision> {
        self.kvs().await.into_iter().map(|kv| kv.mod_revision).collect()
    }

    async fn kvs(&self) -> Vec<KeyValue> {
        let range = Range::prefix(&Key::from(&*self.prefix));
        self.store.read(&[range], None).await.unwrap().ranges.remove(0).kvs
    }

    /// Stores a value as nobody should.
    pub(crate) async fn corrupt(&self, key: &str, value: &str) {
        let key = Key::from(format!("{}{key}", self.prefix).as_str());
        let put = fleet_store::Op::Put { key, value: value.into(), lease: None };
        let txn = fleet_store::Txn { compare: vec![], then: vec![put] };
        assert!(self.store.commit(txn).await.unwrap().applied);
    }
}

/// Reads until the other side closes.
pub(crate) async fn read_all(stream: &mut UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match time::timeout(LONG, stream.read(&mut chunk)).await.expect("the server closes") {
            Ok(0) => return bytes,
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
            // A server that closes without reading everything resets; what it said counts.
            Err(_) => return bytes,
        }
    }
}

/// Reads one answer with a Content-Length, and leaves the connection open.
pub(crate) async fn read_answer(stream: &mut UnixStream) -> Answer {
    let mut bytes = Vec::new();
    while !is_whole(&bytes) {
        let read = time::timeout(LONG, stream.read_buf(&mut bytes)).await.expect("it answers");
        assert_ne!(read.unwrap(), 0, "closed after {:?}", String::from_utf8_lossy(&bytes));
    }
    Answer::parse(&bytes)
}

fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    body.len() == length.map_or(0, |length| length.parse().unwrap())
}

pub(crate) fn unit(name: &str) -> UnitName {
    name.parse().unwrap()
}

pub(crate) fn machine(id: &str) -> MachineId {
    id.parse().unwrap()
}
