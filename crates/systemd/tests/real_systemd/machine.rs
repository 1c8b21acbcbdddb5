//! A booted host, driven from outside of it.
//!
//! The bus is reached by its socket below the `/proc/<pid>/root` of the host's systemd. The units
//! directory has one path: in the host it is a folder, outside a link to that folder.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
    os::unix::fs::symlink,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
    time::Duration,
};

use fleet_agent::manager::{Changed, JobResult, Listed, UnitManager};
use fleet_core::{UnitFile, UnitName, UnitState};
use fleet_functional::{Host, Lab};
use fleet_systemd::{Bus, Config, Endpoint, Journal, SystemdManager};
use tempfile::TempDir;
use tokio::time::timeout;

/// How long anything may take that should happen.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Runs until it is stopped.
pub(crate) const RUNS: &str = "[Service]\nExecStart=/bin/sleep infinity\n";

pub(crate) struct Machine {
    lab: Lab,
    folder: TempDir,
}

impl Machine {
    /// A machine for tests that do it no harm. The last one that runs takes it down.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Machine>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let machine = Arc::new(Self::boot());
            *shared = Arc::downgrade(&machine);
            machine
        })
    }

    /// A machine of the test's own.
    pub(crate) fn boot() -> Self {
        record_log();
        let lab = Lab::with_hosts(1).without_fleet().up().unwrap();
        Self { lab, folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn host(&self) -> &Host {
        self.lab.host(1).unwrap()
    }

    /// Runs a command in the host and returns its stdout.
    pub(crate) fn run(&self, command: &str) -> String {
        let command: Vec<&str> = command.split(' ').collect();
        self.host().run(&command).unwrap()
    }

    /// What the host's own tools say of a unit.
    pub(crate) fn show(&self, unit: &str, property: &str) -> String {
        self.host().show(unit, property).unwrap().remove(property).unwrap_or_default()
    }

    /// Connects to the host's systemd over its bus; unit files are in a folder called `name`.
    pub(crate) async fn manager(&self, name: &str) -> SystemdManager {
        SystemdManager::connect(self.config(name)).await.unwrap()
    }

    pub(crate) fn config(&self, name: &str) -> Config {
        Config {
            endpoints: vec![self.endpoint("run/dbus/system_bus_socket", false)],
            units_directory: self.units_directory(name),
            call_timeout: SOON,
            root: PathBuf::from(format!("/proc/{}/root", self.host().init().unwrap().id())),
            wake_socket: None,
            journal: self.journal(),
        }
    }

    /// The host's journal, read in the host.
    fn journal(&self) -> Journal {
        let init = self.host().init().unwrap().id().to_string();
        let enter = ["nsenter", "--target", &init, "--all", "journalctl"].map(str::to_owned);
        Journal { command: enter.into(), of: Bus::System }
    }

    pub(crate) fn endpoint(&self, socket: &str, private: bool) -> Endpoint {
        let init = self.host().init().unwrap().id();
        Endpoint { address: format!("unix:path=/proc/{init}/root/{socket}"), private }
    }

    /// The folder of unit files called `name`, by its path in the host.
    pub(crate) fn folder(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn units_directory(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        if !path.exists() {
            self.host().run(&["mkdir", "-p", path.to_str().unwrap()]).unwrap();
            let init = self.host().init().unwrap().id().to_string();
            let inside = path.strip_prefix("/").unwrap();
            symlink(PathBuf::from("/proc").join(init).join("root").join(inside), &path).unwrap();
        }
        path
    }
}

pub(crate) fn unit(name: &str) -> UnitName {
    name.parse().unwrap()
}

pub(crate) fn units(names: &[&str]) -> BTreeSet<UnitName> {
    names.iter().map(|name| unit(name)).collect()
}

pub(crate) fn file(text: &str) -> UnitFile {
    UnitFile::parse(text.as_bytes()).unwrap()
}

/// How a unit with this content is listed that was loaded.
pub(crate) fn listed(text: &str) -> Listed {
    Listed::of(&file(text))
}

/// Loads units and insists that it worked.
pub(crate) async fn load(manager: &SystemdManager, files: &[(&str, &str)]) {
    let files: BTreeMap<_, _> = files.iter().map(|(name, text)| (unit(name), file(text))).collect();
    let answers = manager.load(&files).await;
    assert_eq!(answers.len(), files.len());
    assert!(answers.values().all(Result::is_ok), "{answers:?}");
}

/// Unloads units and insists that it worked.
pub(crate) async fn unload(manager: &SystemdManager, names: &[&str]) {
    let answers = manager.unload(&units(names)).await;
    assert_eq!(answers.len(), names.len());
    assert!(answers.values().all(Result::is_ok), "{answers:?}");
}

pub(crate) async fn reload(manager: &SystemdManager, names: &[&str]) -> bool {
    manager.reload_if_needed(&units(names)).await.unwrap()
}

pub(crate) async fn start(manager: &SystemdManager, name: &str) -> JobResult {
    let job = manager.start(&unit(name)).await.unwrap();
    timeout(SOON, job.wait()).await.unwrap()
}

pub(crate) async fn stop(manager: &SystemdManager, name: &str) -> JobResult {
    let job = manager.stop(&unit(name)).await.unwrap();
    timeout(SOON, job.wait()).await.unwrap()
}

/// A unit's state as `load/active/sub`.
pub(crate) async fn state(manager: &SystemdManager, name: &str) -> String {
    let states = manager.states(&units(&[name])).await.unwrap();
    let UnitState { load, active, sub } = &states[&unit(name)];
    format!("{load}/{active}/{sub}")
}

/// Waits until a change of this unit is told.
pub(crate) async fn told(manager: &SystemdManager, name: &str) {
    let told = async {
        while !matches!(manager.changed().await, Changed::Units(units) if units.contains(&unit(name)))
        {
        }
    };
    timeout(SOON, told).await.unwrap();
}

/// Waits until it is told that anything may have changed.
pub(crate) async fn told_of_all(manager: &SystemdManager) {
    let told = async { while manager.changed().await != Changed::All {} };
    timeout(SOON, told).await.unwrap();
}

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Lines of the log that have `words` in them, without what stands before the message.
pub(crate) fn logged(words: &str) -> Vec<String> {
    let log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    let lines = String::from_utf8_lossy(&log);
    let lines = lines.lines().filter(|line| line.contains(words));
    lines.map(|line| line.trim().to_owned()).collect()
}

fn record_log() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        let log = tracing_subscriber::fmt().with_writer(|| Log).with_ansi(false);
        log.without_time().with_target(false).init();
    });
}

struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
