//! A whole fleetd on a registry and a systemd in memory: what it leaves behind when it has to end.

use std::path::Path;

use fleet_agent::fake::{Call, FakeManager};
use fleet_core::{JobState, MachineId, UnitFile, UnitName};

use tempfile::TempDir;
use tokio::{sync::watch, time::Instant};

use fleet_registry::Registry;

use super::*;
use crate::{
    app::{Backend, Counts, Systemd},
    args::Args,
    instance_lock::InstanceLock,
    listen, logging,
};

/// What is asked of systemd's connection now and then, once the unit runs.
type LostSince = fn(start: Instant) -> Option<Instant>;

/// A fleetd that runs one unit, until it ends.
struct World {
    units: Arc<FakeManager>,
    registry: Registry,
    machine: MachineId,
    unit: UnitName,
    _folder: TempDir,
}

impl World {
    /// Runs fleetd until it ends by itself, which `lost_since` makes it do.
    async fn run(lost_since: LostSince) -> (Self, Fatal) {
        let folder = tempfile::tempdir().unwrap();
        let source = Source::new(Args { config: Some(conf(folder.path())), dev: false }, |_| None);
        let config = source.read().unwrap();
        let units = Arc::new(FakeManager::new());
        let (machine, unit): (MachineId, UnitName) =
            ("m1".parse().unwrap(), "a.service".parse().unwrap());

        let start = Instant::now();
        let (watched, name) = (Arc::clone(&units), unit.clone());
        let lost_since = move || watched.running(&name).and_then(|_| lost_since(start));
        let systemd =
            Systemd { units: Arc::clone(&units) as Arc<_>, lost_since: Arc::new(lost_since) };
        let base = base(&machine, systemd, &config);
        let lanes = base.lanes(&config).unwrap();
        let registry = lanes.users.clone();
        let file = UnitFile::parse(b"[Service]\nExecStart=/bin/sleep infinity\n").unwrap();
        registry.create_unit(&unit, &file, JobState::Launched).await.unwrap();

        let listeners = listen::listeners(&config.api_listen).await.unwrap();
        let app = App { base, config, lanes, listeners };
        let (_, verbosity) = logging::subscriber(false, std::io::sink);
        let signals = Signals::listen().unwrap();
        let (supervisor, parts) =
            Supervisor::new(app, source, verbosity, signals, &Handle::current());
        let fatal = supervisor.run(parts).await.unwrap_err();
        (Self { units, registry, machine, unit, _folder: folder }, fatal)
    }

    /// Whether the machine is still in the cluster. Its unit must run, untouched since it started.
    async fn is_present(&self) -> bool {
        let touched = |call: &Call| matches!(call, Call::Stop(_) | Call::Unload(_));
        assert!(!self.units.take_calls().iter().any(touched));
        assert_eq!(&*self.units.state_of(&self.unit).active, "active");
        self.registry.machine(&self.machine).await.unwrap().is_some()
    }
}

/// What a fleetd of this machine stands on.
fn base(machine: &MachineId, systemd: Systemd, config: &Config) -> Base {
    Base {
        machine: machine.clone(),
        systemd,
        availability: fleet_api::Availability::new(),
        address: watch::Sender::new("198.18.0.1".to_owned()),
        backend: Backend::Memory,
        counts: Counts::default(),
        log: logging::Queue::start(std::io::sink(), |_| String::new()),
        _instance_lock: InstanceLock::in_directory(&config.runtime_directory).unwrap(),
    }
}

/// Writes a configuration for a fleetd that keeps everything in `folder`.
fn conf(folder: &Path) -> std::path::PathBuf {
    let (path, at) = (folder.join("fleet.conf"), folder.display());
    let text = format!(
        "agent_ttl=5s\npublic_ip=198.18.0.1\nunits_directory={at}/units\n\
         runtime_directory={at}/instance\napi_listen=unix://{at}/fleet.sock\n"
    );
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test(start_paused = true)]
async fn a_part_that_panics_ends_fleetd_which_says_so_and_leaves_units_and_presence() {
    let (world, fatal) = World::run(|_| panic!("this is a bug")).await;
    let said = fatal.to_string();
    assert!(said.starts_with("a component panicked: "), "{said}");
    assert!(said.contains("this is a bug"), "{said}");
    // As after a crash: the next fleetd finds its own, or the entry expires.
    assert!(world.is_present().await);
}

#[tokio::test(start_paused = true)]
async fn a_systemd_that_stays_away_ends_fleetd_which_leaves_the_cluster_but_not_its_units() {
    let (world, fatal) = World::run(Some).await;
    assert!(matches!(fatal, Fatal::SystemdLost), "{fatal}");
    assert!(!world.is_present().await);
}

#[tokio::test]
async fn the_registry_of_a_reload_goes_on_counting() {
    let folder = tempfile::tempdir().unwrap();
    let source = Source::new(Args { config: Some(conf(folder.path())), dev: false }, |_| None);
    let config = source.read().unwrap();
    let systemd = Systemd { units: Arc::new(FakeManager::new()), lost_since: Arc::new(|| None) };
    let base = base(&"m1".parse().unwrap(), systemd, &config);
    let registries = [0, 1].map(|_| base.lanes(&config).unwrap().users);
    for registry in &registries {
        registry.units_page(None, 1).await.unwrap();
    }
    assert_eq!(registries.map(|registry| registry.file_metrics().get_all.count), [2, 2]);
}
