//! The driver `etcd`, from the real binary on a real etcd (`fleetctl.md` 3.5).

mod support;

use std::{fs, sync::Arc, time::Duration};

use fleet_core::{JobState, UnitHash, UnitName, UnitState};
use fleet_etcd::{EtcdConfig, EtcdStore};
use fleet_net::Certificates;
use fleet_registry::{
    Decision, Keys, LeaderRecord, MachineRecord, Presence, PublishedState, Registry, Trouble,
};
use fleet_testkit::EtcdServer;
use insta::assert_snapshot;
use support::{
    GLOBAL, HELLO, OTHER, Run, run,
    server::tls::{Authority, Pair},
};
use tempfile::TempDir;

/// Longer than any test.
const TTL: Duration = Duration::from_secs(600);

/// A folder with unit files, and a registry that is this test's own.
struct Desk {
    server: Arc<EtcdServer>,
    prefix: &'static str,
    folder: TempDir,
}

impl Desk {
    fn new(prefix: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("hello.service", HELLO),
            ("global.service", GLOBAL),
            ("tm@.service", HELLO),
            ("twin/hello.service", OTHER),
            ("empty.service", ""),
            ("fleet.service", HELLO),
            ("alias.service", "[Service]\nExecStart=/bin/true\n[Install]\nAlias=fleet.socket\n"),
        ] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self { server: EtcdServer::shared(), prefix, folder }
    }

    fn run(&self, words: &str) -> Run {
        let words: Vec<&str> = words.split_whitespace().collect();
        let endpoint = self.server.endpoint();
        let variables = [
            ("FLEETCTL_DRIVER", "etcd"),
            ("FLEETCTL_ENDPOINT", &*endpoint),
            ("FLEETCTL_ETCD_KEY_PREFIX", self.prefix),
        ];
        run(self.folder.path(), &words, &variables)
    }

    /// Adds a machine, which is there until the lease ends.
    async fn machine(&self, id: &str, version: &str) -> (Registry, Presence) {
        let store = EtcdStore::connect(EtcdConfig {
            endpoints: vec![self.server.endpoint()],
            login: None,
            tls: Certificates::default(),
            request_timeout: Duration::from_secs(10),
        });
        let registry = Registry::new(Arc::new(store.unwrap()), Keys::new(self.prefix).unwrap());
        let record = MachineRecord {
            public_ip: "198.18.0.11".into(),
            metadata: [("az".to_owned(), "b".to_owned())].into(),
            capabilities: Default::default(),
            version: version.to_owned(),
            nonce: id.to_owned(),
            ..MachineRecord::default()
        };
        let presence = registry.register(&id.parse().unwrap(), &record, TTL).await.unwrap();
        (registry, presence)
    }
}

#[test]
fn units_live_their_life_without_a_fleetd() {
    let desk = Desk::new("/life");
    assert_snapshot!(desk.run("submit hello").transcript(), @r"
    rc 0
    out|Unit hello.service inactive
    ");
    desk.run("submit tm@ global");
    assert_snapshot!(desk.run("submit hello twin/hello tm@7").transcript(), @r"
    rc 0
    out|Unit tm@7.service inactive
    err|WARNING: Unit hello.service in registry differs from local unit file twin/hello.service. Add --replace to override.
    ");
    assert_snapshot!(desk.run("list-unit-files").transcript(), @r"
    rc 0
    out|UNIT→→HASH→DSTATE→→STATE→→TARGET
    out|global.service→612415e→inactive→-→→global
    out|hello.service→3270011→inactive→inactive→-
    out|tm@.service→3270011→inactive→inactive→-
    out|tm@7.service→3270011→inactive→inactive→-
    ");
    assert_snapshot!(desk.run("start --no-block hello global tm@7").transcript(), @r"
    rc 0
    out|Triggered global unit global.service start
    out|Triggered unit hello.service start
    out|Triggered unit tm@7.service start
    ");
    assert_snapshot!(desk.run("start --replace --no-block twin/hello").transcript(), @r"
    rc 0
    out|Unit hello.service inactive
    out|Triggered unit hello.service start
    ");
    assert_snapshot!(desk.run("cat hello").transcript(), @r"
    rc 0
    out|[Unit]
    out|Description=Other
    out|
    out|[Service]
    out|ExecStart=/bin/sleep 1d
    ");
    assert_snapshot!(desk.run("list-unit-files --fields=unit,dstate,state,target").transcript(), @r"
    rc 0
    out|UNIT→→DSTATE→→STATE→→TARGET
    out|global.service→launched→-→→global
    out|hello.service→launched→inactive→-
    out|tm@.service→inactive→inactive→-
    out|tm@7.service→launched→inactive→-
    ");
    assert_snapshot!(desk.run("unload hello").transcript(), @r"
    rc 0
    out|Unit hello.service inactive
    err|Successfully unloaded units [hello.service].
    ");
    assert_snapshot!(desk.run("destroy hello nope global tm@7 tm@").transcript(), @r"
    rc 0
    out|Destroyed hello.service
    out|Destroyed global.service
    out|Destroyed tm@7.service
    out|Destroyed tm@.service
    err|WARNING: Unit nope.service not found in registry
    ");
    assert_snapshot!(desk.run("list-unit-files").transcript(), @r"
    rc 0
    out|UNIT→HASH→DSTATE→STATE→TARGET
    ");
    assert_snapshot!(desk.run("list-units").transcript(), @r"
    rc 0
    out|UNIT→MACHINE→ACTIVE→SUB
    ");
}

#[test]
fn what_the_api_refuses_is_refused() {
    let desk = Desk::new("/refusals");
    assert_snapshot!(desk.run("start tm@").transcript(), @r#"
    rc 1
    out|Unit tm@.service inactive
    err|Error starting units: cannot activate template "tm@.service"
    "#);
    assert_snapshot!(desk.run("submit empty").transcript(), @r"
    rc 1
    err|Error creating units: failed creating unit empty.service: unit does not exist and options field empty
    ");
    let line = format!("Environment=A={}\n", "x".repeat(1000));
    let large = format!("[Service]\n{}", line.repeat(300));
    fs::write(desk.folder.path().join("large.service"), large).unwrap();
    assert_snapshot!(desk.run("submit --no-warn large").transcript(), @r"
    rc 1
    err|Error creating units: failed creating unit large.service: unit is too large: its file has more than 262144 bytes
    ");
    assert_snapshot!(desk.run("start fleet").transcript(), @r"
    rc 1
    err|Error creating units: the name fleet.service is that of a unit of fleet's own (fleet.service)
    ");
    assert_snapshot!(desk.run("submit alias").transcript(), @r"
    rc 1
    err|Error creating units: the alias fleet.socket is the name of a unit of fleet's own (alias.service)
    ");
    assert_snapshot!(desk.run("start nope").transcript(), @r"
    rc 1
    err|Error creating units: unable to find Unit(nope.service) in Registry or on filesystem
    ");
    assert_snapshot!(desk.run("cat *").transcript(), @r"
    rc 1
    err|Unit *.service not found
    ");
}

#[test]
fn a_cluster_is_what_is_under_its_prefix() {
    let (one, other) = (Desk::new("/one/"), Desk::new("other"));
    one.run("submit hello");
    assert_eq!(one.run("list-unit-files --no-legend --fields=unit").out, "hello.service\n");
    assert_eq!(other.run("list-unit-files --no-legend --fields=unit").out, "");
    let run = other.run("--etcd-key-prefix=one list-unit-files --no-legend --fields=unit");
    assert_eq!(run.out, "hello.service\n");
    let run = other.run("--etcd-key-prefix=/a/../b list-units");
    let text = "rc 1\nerr|Unable to initialize client: invalid key prefix \"/a/../b\"\n";
    assert_eq!(run.transcript(), text);
}

#[tokio::test]
async fn machines_are_listed_and_newer_ones_warned_of() {
    let desk = Desk::new("/machines");
    desk.machine("595989bbcbb749ce8726722d6e157b4e", "v1.0.0").await;
    assert_snapshot!(desk.run("list-machines").transcript(), @r"
    rc 0
    out|MACHINE→→IP→→METADATA
    out|595989bb...→198.18.0.11→az=b
    ");
    desk.machine("c31e44e1f858436e933e59c642517860", "v9.9.9").await;
    assert_snapshot!(desk.run("list-machines --no-legend").transcript(), @r"
    rc 0
    out|595989bb...→198.18.0.11→az=b
    out|c31e44e1...→198.18.0.11→az=b
    err|####################################################################
    err|WARNING: fleetctl (2.0.0) is older than the latest registered
    err|version of fleet found in the cluster (9.9.9). You are strongly
    err|recommended to upgrade fleetctl to prevent incompatibility issues.
    err|####################################################################
    ");
}

#[test]
fn endpoints_are_checked_and_tried_in_turn() {
    let desk = Desk::new("/endpoints");
    let run = desk.run("--endpoint=unix:///var/run/fleet.sock list-units");
    let text = "rc 1\nerr|Unable to initialize client: unsupported protocol scheme \"unix\"\n";
    assert_eq!(run.transcript(), text);
    // Nothing listens on the first.
    let both = format!("http://127.0.0.1:1,{}", desk.server.endpoint());
    let run = desk.run(&format!("--endpoint={both} list-units"));
    assert_eq!(run.transcript(), "rc 0\nout|UNIT→MACHINE→ACTIVE→SUB\n");
    let run = desk.run("--endpoint=http://127.0.0.1:1 list-units");
    assert_eq!(run.code, Some(1));
    let cause = "client: etcd cluster is unavailable or misconfigured; error #0: ";
    let lines: Vec<&str> = run.err.lines().collect();
    let [log, error] = &*lines else { panic!("{}", run.err) };
    let text = format!("error attempting to check latest fleet version in Registry: {cause}");
    assert!(log.contains(" ERROR ") && log.contains(&text), "{log}");
    let text = format!("Error retrieving list of units from repository: {cause}");
    assert!(error.starts_with(&text), "{error}");
}

#[test]
fn an_etcd_that_hangs_is_given_up_in_time() {
    let server = EtcdServer::start();
    server.pause();
    let endpoint = server.endpoint();
    let words = ["--driver=etcd", "--request-timeout=0.3", "list-units"];
    let run = run("/".as_ref(), &words, &[("FLEETCTL_ENDPOINT", &*endpoint)]);
    assert_eq!(run.code, Some(1));
    assert!(run.err.contains("Error retrieving list of units from repository: "), "{}", run.err);
}

#[test]
fn without_the_api_etcd_is_looked_for_where_it_used_to_be() {
    let words = ["--driver=etcd", "--experimental-api=false", "list-units"];
    let run = run("/".as_ref(), &words, &[("FLEETCTL_REQUEST_TIMEOUT", "0.2")]);
    // Whoever runs this may have an etcd there.
    if run.code != Some(0) {
        for place in ["127.0.0.1:2379", "127.0.0.1:4001"] {
            assert!(run.err.contains(place), "{}", run.err);
        }
    }
}

#[test]
fn etcd_over_tls_is_verified_and_shown_a_certificate() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let Pair { certificate, key } = authority.certify("127.0.0.1");
    write("server.pem", &certificate);
    write("server.key", &key);
    let Pair { certificate, key } = authority.certify("client");
    write("client.pem", &certificate);
    write("client.key", &key);
    write("ca.pem", &authority.pem);
    write("stranger.pem", &stranger.pem);
    let path = |name: &str| folder.path().join(name).display().to_string();
    let arguments = [
        format!("--cert-file={}", path("server.pem")),
        format!("--key-file={}", path("server.key")),
        format!("--trusted-ca-file={}", path("ca.pem")),
        "--client-cert-auth".to_owned(),
    ];
    let server = EtcdServer::start_with("https", &arguments.each_ref().map(String::as_str));
    let endpoint = server.endpoint();
    let ask = |words: &str| {
        let words = format!("--driver=etcd list-unit-files --no-legend {words}");
        let words: Vec<&str> = words.split_whitespace().collect();
        run(folder.path(), &words, &[("FLEETCTL_ENDPOINT", &*endpoint)])
    };
    let known = "--cert-file=client.pem --key-file=client.key";
    assert_eq!(ask(&format!("--ca-file=ca.pem {known}")).transcript(), "rc 0\n");
    let old = "--etcd-cafile=ca.pem --etcd-certfile=client.pem --etcd-keyfile=client.key";
    assert_eq!(ask(old).transcript(), "rc 0\n");
    for words in ["--ca-file=ca.pem", known, &format!("--ca-file=stranger.pem {known}")] {
        let run = ask(words);
        assert_eq!(run.code, Some(1), "{words}: {}", run.err);
    }
}

#[tokio::test]
async fn what_keeps_units_from_running_is_told() {
    let desk = Desk::new("/why");
    let picky = format!("{HELLO}[X-Fleet]\nMachineMetadata=az=a\n");
    fs::write(desk.folder.path().join("picky.service"), picky).unwrap();
    desk.run("start --no-block hello global");
    let list = "list-unit-files --no-legend --fields=unit,why";
    assert_snapshot!(desk.run(list).transcript(), @r"
    rc 0
    out|global.service→no machine is present
    out|hello.service→no machine is present
    ");
    let (registry, presence) = desk.machine("c31e44e1f858436e933e59c642517860", "v2.0.0").await;
    assert_snapshot!(desk.run("start --block-attempts=2 picky").transcript(), @r"
    rc 1
    out|Unit picky.service inactive
    err|Still waiting for picky.service (inactive: no machine takes it (c31e44e1...: local Machine metadata insufficient)) to report state launched
    err|Error waiting for units: timed out waiting for unit picky.service to report state launched
    err|Error waiting for unit states, exit status: timed out waiting for unit picky.service to report state launched
    ");
    let leader = LeaderRecord { machine: presence.machine.clone(), version: 1 };
    let lead = registry.acquire_lead(&leader, TTL).await.unwrap().unwrap();
    assert_snapshot!(desk.run(list).transcript(), @r"
    rc 0
    out|global.service→machines that take it have not loaded it yet (c31e44e1...: has not loaded it yet)
    out|hello.service→the engine has not given it a machine yet (c31e44e1...: takes it)
    out|picky.service→no machine takes it (c31e44e1...: local Machine metadata insufficient)
    ");
    let hello: UnitName = "hello.service".parse().unwrap();
    let seen = registry.unit(&hello).await.unwrap().unwrap().record;
    let target = Some((presence.machine.clone(), presence.created));
    let decision = Decision { unit: hello.clone(), seen, target: target.into(), absent: None };
    registry.decide(&lead, &[decision]).await.unwrap();
    let trouble = Some(Trouble { error: "no room".into(), ..Trouble::default() });
    registry.publish(&presence, &[(hello, trouble)].into()).await.unwrap();
    assert_snapshot!(desk.run(list).transcript(), @r"
    rc 0
    out|global.service→machines that take it have not loaded it yet (c31e44e1...: has not loaded it yet)
    out|hello.service→machine c31e44e1f858436e933e59c642517860 has not loaded it yet: no room
    out|picky.service→no machine takes it (c31e44e1...: local Machine metadata insufficient)
    ");
}

#[tokio::test]
async fn restarts_are_asked_for_and_waited_for() {
    let desk = Desk::new("/restart");
    let (registry, presence) = desk.machine("m1", "v2.0.0").await;
    desk.run("start --no-block global");
    let name: UnitName = "global.service".parse().unwrap();
    let systemd =
        UnitState { load: "loaded".into(), active: "active".into(), sub: "running".into() };
    let state = PublishedState::new(systemd, UnitHash::of(b""), JobState::Launched);
    registry.publish(&presence, &[(name.clone(), Some(state))].into()).await.unwrap();
    // The machine is deaf.
    assert_snapshot!(desk.run("restart --block-attempts=1 global").transcript(), @r"
    rc 1
    err|Error restarting global units: unit global.service: timed out waiting for unit global.service to be restarted
    ");
    let unit = registry.unit(&name).await.unwrap().unwrap();
    let pending = registry.pending_restarts(&unit, None).await.unwrap();
    assert_eq!(pending, std::slice::from_ref(&presence.machine));
    registry.leave(&presence).await.unwrap();
    assert_snapshot!(desk.run("restart global nope").transcript(), @r"
    rc 1
    err|unable to find unit nope.service
    ");
    assert_snapshot!(desk.run("restart global").transcript(), @r"
    rc 1
    err|Unable to restart unit global.service in state inactive
    ");
}
