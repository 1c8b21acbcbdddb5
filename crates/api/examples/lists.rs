//! Measures lists of a large cluster, on an etcd that it starts.
//!
//! `cargo run --release -p fleet-api --example lists [UNITS] [FLEETCTL]`: with 100,000 units unless
//! told otherwise, and with the time that this fleetctl takes to list them.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    io::{self, Write},
    num::NonZeroU16,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use fleet_api::{Api, Availability, Limits, Listener, Settings, serve};
use fleet_core::{JobState, MachineId, UnitFile, UnitName, UnitState};
use fleet_etcd::{EtcdConfig, EtcdStore};
use fleet_registry::{Keys, MachineRecord, Presence, PublishedState, Registry};
use fleet_testkit::EtcdServer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// Machines, units on each of which follow each other.
const MACHINES: usize = 1000;
/// Units that are created at a time.
const AT_A_TIME: usize = 64;
/// For an etcd that is being filled.
const PATIENCE: Duration = Duration::from_secs(10);
const TTL: Duration = Duration::from_secs(3600);

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut words = env::args().skip(1);
    let units: usize = words.next().map_or(Ok(100_000), |units| units.parse())?;
    let fleetctl = words.next();
    let etcd = EtcdServer::start_with("http", &["--quota-backend-bytes=8000000000"]);
    let store = EtcdStore::connect(EtcdConfig {
        endpoints: vec![etcd.endpoint()],
        login: None,
        tls: Default::default(),
        request_timeout: PATIENCE,
    })?;
    let registry = Registry::new(Arc::new(store), Keys::new("/_coreos.com/fleet")?);
    let begun = Instant::now();
    fill(&registry, units).await?;
    say(format_args!("{units} units, {MACHINES} machines, created in {:?}", begun.elapsed()))?;

    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("fleet.sock");
    let availability = Availability::new();
    availability.set(true);
    let settings = Settings {
        version: "measured".to_owned(),
        token_limit: NonZeroU16::new(100).unwrap_or(NonZeroU16::MIN),
        limits: Limits::default(),
        hosts: Vec::new(),
    };
    let api = Arc::new(Api::new(registry, availability, settings));
    let listener = Listener::from(UnixListener::bind(&socket)?);
    let stop = CancellationToken::new();
    let mut serving = JoinSet::new();
    serving.spawn(serve(vec![listener], api, stop.clone()));

    let mut stream = UnixStream::connect(&socket).await?;
    for list in ["state", "units", "machines"] {
        let late = match list {
            "state" => format!("nextPageToken=1s.u{:06}.service~2cm0", units / 2),
            "units" => format!("nextPageToken=1u.u{:06}.service", units / 2),
            _ => "nextPageToken=1m.m0500".to_owned(),
        };
        for time in ["first", "second", "whole", "later"] {
            if time == "whole" {
                for limit in [10_000, 10_000, 100] {
                    let begun = Instant::now();
                    let (pages, bytes) = whole(&mut stream, list, limit).await?;
                    say(format_args!(
                        "{list}, all by up to {limit}: {:?}, {pages} pages, {bytes} bytes",
                        begun.elapsed()
                    ))?;
                }
                continue;
            }
            for (place, query) in [("beginning", ""), ("middle", &*late)] {
                let begun = Instant::now();
                get(&mut stream, &format!("/fleet/v1/{list}?{query}")).await?;
                say(format_args!("{list}, {time} page, {place}: {:?}", begun.elapsed()))?;
            }
        }
    }
    if let Some(fleetctl) = fleetctl {
        for command in ["list-units", "list-units", "list-unit-files", "list-machines"] {
            let begun = Instant::now();
            let mut command_line = Command::new(&fleetctl);
            command_line.arg(format!("--endpoint=unix://{}", socket.display())).arg(command);
            command_line.stdout(Stdio::null());
            let status = tokio::task::spawn_blocking(move || command_line.status()).await??;
            say(format_args!("fleetctl {command}: {:?}, {status}", begun.elapsed()))?;
        }
    }
    stop.cancel();
    while serving.join_next().await.is_some() {}
    Ok(())
}

async fn fill(registry: &Registry, units: usize) -> Result<(), Failure> {
    let text =
        "[Unit]\nDescription=Measures\n\n[Service]\nExecStart=/bin/sleep 1d\nRestart=always\n";
    let file = UnitFile::parse(text.as_bytes())?;
    let mut work: JoinSet<Result<(), Failure>> = JoinSet::new();
    let name = |n: usize| format!("u{n:06}.service").parse::<UnitName>();
    for n in 0..units {
        let (registry, name, file) = (registry.clone(), name(n)?, file.clone());
        while work.len() >= AT_A_TIME {
            work.join_next().await.transpose()?.transpose()?;
        }
        work.spawn(
            async move { Ok(registry.create_unit(&name, &file, JobState::Launched).await?) },
        );
    }
    for m in 0..MACHINES {
        let id: MachineId = format!("m{m:04}").parse()?;
        let names: Vec<UnitName> =
            (m..units).step_by(MACHINES).map(name).collect::<Result<_, _>>()?;
        let (registry, hash) = (registry.clone(), file.hash());
        while work.len() >= AT_A_TIME {
            work.join_next().await.transpose()?.transpose()?;
        }
        work.spawn(async move {
            let record = MachineRecord {
                public_ip: "198.18.0.1".to_owned(),
                metadata: BTreeMap::from([("hostname".to_owned(), id.to_string())]),
                nonce: id.to_string(),
                ..MachineRecord::default()
            };
            let presence: Presence = registry.register(&id, &record, TTL).await?;
            let systemd =
                UnitState { load: "loaded".into(), active: "active".into(), sub: "running".into() };
            let state = PublishedState::new(systemd, hash, JobState::Launched);
            let states: BTreeMap<_, _> =
                names.into_iter().map(|name| (name, Some(state.clone()))).collect();
            registry.publish(&presence, &states).await?;
            Ok(())
        });
    }
    while let Some(done) = work.join_next().await {
        done??;
    }
    Ok(())
}

/// Takes a list page by page; says how many there were, and their bytes.
async fn whole(
    stream: &mut UnixStream,
    list: &str,
    limit: usize,
) -> Result<(usize, usize), Failure> {
    let (mut pages, mut bytes, mut token) = (0, 0, String::new());
    loop {
        let page = get(stream, &format!("/fleet/v1/{list}?limit={limit}{token}")).await?;
        pages += 1;
        bytes += page.len();
        let Some((_, next)) = page.split_once(r#""nextPageToken":""#) else {
            return Ok((pages, bytes));
        };
        let next = next.split('"').next().unwrap_or_default();
        token = format!("&nextPageToken={next}");
    }
}

async fn get(stream: &mut UnixStream, target: &str) -> Result<String, Failure> {
    let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut read = Vec::new();
    loop {
        if stream.read_buf(&mut read).await? == 0 {
            return Err("the server hung up".into());
        }
        let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(read[..end].to_vec())?;
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length: usize = length.ok_or("no length")?.parse()?;
        let whole = end + 4 + length;
        while read.len() < whole {
            if stream.read_buf(&mut read).await? == 0 {
                return Err("the server hung up".into());
            }
        }
        if !head.starts_with("HTTP/1.1 200") {
            return Err(String::from_utf8_lossy(&read).into());
        }
        return Ok(String::from_utf8(read.split_off(end + 4))?);
    }
}

fn say(text: std::fmt::Arguments<'_>) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}
