//! `bench`: what fleet costs on the lab. Prints a table; judges nothing.
//!
//! Every figure is taken from outside: the API's answers, etcd's counters, `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use fleet_functional::{Api, Host, Lab, Stopwatch, units};

/// Measures on the lab what fleet costs, and prints a table
#[derive(Debug, Parser)]
struct Args {
    /// Number of hosts
    #[arg(long, default_value_t = 3)]
    hosts: u8,
    /// Number of units in the measurements of many
    #[arg(long, default_value_t = 200)]
    units: usize,
    /// Number of runs where a median is taken
    #[arg(long, default_value_t = 10)]
    runs: usize,
    /// Seconds to watch the idle cluster
    #[arg(long, default_value_t = 60)]
    idle: u64,
    /// Folder to take fleetd and fleetctl from, instead of the release build
    #[arg(long, value_name = "FOLDER")]
    binaries: Option<PathBuf>,
    /// Seconds of agent_ttl in the measurement of power cuts
    #[arg(long, default_value_t = 10)]
    ttl: u64,
}

/// A line of the table.
struct Row {
    what: String,
    goal: &'static str,
    got: String,
}

/// Longest wait for anything that is measured.
const LIMIT: Duration = Duration::from_secs(60);
/// Pause between two looks at the API: short against what is measured, long enough to leave the
/// processor to fleet.
const LOOK: Duration = Duration::from_millis(2);

#[expect(clippy::print_stderr, reason = "the one place where errors come out")]
fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let mut rows = Vec::new();
    // The default time to live, as an operator has it, but for the power cuts.
    let lab = args.binaries.iter().fold(Lab::with_hosts(args.hosts), |lab, bin| lab.binaries(bin));
    lab.clone().story(|lab| {
        rows.push(put_to_active(lab, args.runs)?);
        rows.push(start_to_return(lab, args.runs)?);
        rows.extend(many(lab, args)?);
        rows.extend(from_a_laptop(lab, args.runs)?);
        Ok(())
    })?;
    let ttl = format!("agent_ttl={}s", args.ttl);
    lab.config(&ttl).story(|lab| {
        rows.extend(power_cuts(lab, args)?);
        Ok(())
    })?;
    print(args, &rows)
}

fn put_to_active(lab: &Lab, runs: usize) -> Result<Row> {
    let mut api = lab.host(1)?.api()?;
    let mut times = Vec::new();
    for i in 0..runs {
        let unit = format!("put-{i}.service");
        let watch = Stopwatch::start();
        api.put(&unit, units::SLEEPER, "launched")?;
        let path = format!("/state/{unit}");
        while !api.send("GET", &path, None)?.body.contains(r#""systemdActiveState":"active""#) {
            ensure!(watch.elapsed() < LIMIT, "{unit} doesn't become active");
            thread::sleep(LOOK);
        }
        times.push(watch.elapsed());
    }
    clear(&mut api)?;
    let what = format!("PUT of a new unit until `/state` says active, {runs} runs");
    Ok(Row { what, goal: "median 0.06 s", got: spread(times) })
}

fn start_to_return(lab: &Lab, runs: usize) -> Result<Row> {
    let host = lab.host(1)?;
    let folder = lab.folder().join("units");
    fs::create_dir_all(&folder)?;
    let mut times = Vec::new();
    for i in 0..runs {
        let file = folder.join(format!("start-{i}.service"));
        fs::write(&file, units::SLEEPER)?;
        let endpoint = format!("--endpoint=unix://{}", host.socket()?.display());
        let mut command = Command::new(lab.folder().join("bin/fleetctl"));
        command.args([&endpoint, "start"]).arg(&file);
        let watch = Stopwatch::start();
        let output = command.output()?;
        times.push(watch.elapsed());
        ensure!(output.status.success(), "{output:?}");
    }
    clear(&mut host.api()?)?;
    let what = format!("`fleetctl start` of a new unit, call to return, {runs} runs");
    Ok(Row { what, goal: "median 0.15 s", got: spread(times) })
}

/// Many units: how long until they run, what they cost while nothing happens, and how long
/// until they are gone.
fn many(lab: &Lab, args: &Args) -> Result<Vec<Row>> {
    let n = args.units;
    let mut api = lab.host(1)?.api()?;
    let watch = Stopwatch::start();
    submit(&mut api, n)?;
    let submitted = watch.elapsed();
    wait_for(&mut api, |active| active.len() == n)?;
    let started = watch.elapsed();

    let mut rows = vec![Row {
        what: format!("{n} units, first PUT until the last is active"),
        goal: "1.5 s",
        got: format!("{} (the PUTs alone {})", seconds(started), seconds(submitted)),
    }];
    rows.extend(idle(lab, args)?);

    let watch = Stopwatch::start();
    clear(&mut api)?;
    rows.push(Row {
        what: format!("{n} units, first DELETE until no state is left"),
        goal: "1.5 s",
        got: seconds(watch.elapsed()),
    });
    Ok(rows)
}

fn idle(lab: &Lab, args: &Args) -> Result<Vec<Row>> {
    const COMMITTED: &str = "etcd_server_proposals_committed_total";
    let window = Duration::from_secs(args.idle);
    thread::sleep(Duration::from_secs(5)); // what was started settles
    let fleetds = lab.hosts().iter().map(Host::fleetd).collect::<Result<Vec<_>>>()?;
    let cpu = || -> Result<Vec<Duration>> {
        fleetds.iter().map(|fleetd| fleetd.cpu_time().context("fleetd has ended")).collect()
    };
    let (proposals, used) = (lab.etcd().metric(COMMITTED)?, cpu()?);
    let watch = Stopwatch::start();
    thread::sleep(window);
    let proposals = lab.etcd().metric(COMMITTED)? - proposals;
    let span = watch.elapsed().as_secs_f64();
    let shares: Vec<String> = cpu()?
        .iter()
        .zip(&used)
        .map(|(now, then)| format!("{:.2}", (*now - *then).as_secs_f64() / span * 100.0))
        .collect();
    let memory: Vec<String> = fleetds
        .iter()
        .map(|fleetd| format!("{:.1}", fleetd.resident_kib().unwrap_or_default() as f64 / 1024.0))
        .collect();
    let (n, each) = (args.units, args.units / lab.hosts().len());
    Ok(vec![
        Row {
            what: format!("idle with {n} units for {} s: `{COMMITTED}`", args.idle),
            goal: "below 1 per second",
            got: format!("{:.2} per second", proposals / span),
        },
        Row {
            what: format!("idle: processor time of each fleetd, with {each} units on its host"),
            goal: "below 0.3 % of a core",
            got: format!("{} %", shares.join(", ")),
        },
        Row {
            what: "idle: resident memory of each fleetd".to_owned(),
            goal: "below 20 MiB",
            got: format!("{} MiB", memory.join(", ")),
        },
    ])
}

/// What a tunnel costs: the list of a thousand units without and with it, and what is the
/// handshake's share.
fn from_a_laptop(lab: &Lab, runs: usize) -> Result<Vec<Row>> {
    const UNITS: usize = 1000;
    let near = lab.host(1)?;
    let mut api = near.api()?;
    for i in 0..UNITS {
        api.put(&format!("many-{i}.service"), units::SLEEPER, "loaded")?;
    }
    let watch = Stopwatch::start();
    while api.states()?.len() < UNITS {
        ensure!(watch.elapsed() < LIMIT, "only {} units are loaded", api.states()?.len());
        thread::sleep(LOOK);
    }
    let laptop = lab.trusted_laptop(near)?;
    let direct = format!("--endpoint=http://{}:49153", near.address());
    let tunnel = format!("--tunnel={}", near.address());
    let time = |words: &[&str]| -> Result<String> {
        let mut times = Vec::new();
        for _ in 0..runs {
            let watch = Stopwatch::start();
            let output = laptop.fleetctl(words, "")?;
            times.push(watch.elapsed());
            ensure!(output.code == Some(0), "{words:?} gave {output:?}");
        }
        Ok(spread(times))
    };
    let mut rows = Vec::new();
    for (flag, what) in [(&direct, "without a tunnel"), (&tunnel, "through a tunnel")] {
        for (command, of) in [("list-machines", ""), ("list-units", " of 1000 units")] {
            rows.push(Row {
                what: format!("`fleetctl {command}`{of}, {what}, {runs} runs"),
                goal: "",
                got: time(&[flag, command])?,
            });
        }
    }
    clear(&mut api)?;
    Ok(rows)
}

/// Cuts the power of a host that doesn't lead the cluster, and then of the one that does.
fn power_cuts(lab: &Lab, args: &Args) -> Result<Vec<Row>> {
    let ttl = Duration::from_secs(args.ttl);
    let mut rows = Vec::new();
    for (leader, goal) in [(false, "agent_ttl and 0.5 s"), (true, "")] {
        let mut times = Vec::new();
        for _ in 0..3 {
            let leading = lab.leader()?.name();
            let lost = lab.hosts().iter().find(|host| (host.name() == leading) == leader);
            times.push(power_cut(lab, lost.context("no such host")?, args.units, args.ttl)?);
        }
        let whose = if leader { "the host that leads" } else { "a host that doesn't lead" };
        let beyond = times.iter().map(|time| time.as_secs_f64() - ttl.as_secs_f64());
        let beyond: Vec<String> = beyond.map(|time| format!("{time:+.2}")).collect();
        rows.push(Row {
            what: format!("power cut of {whose} until its units run elsewhere, beyond agent_ttl of {} s, 3 runs", args.ttl),
            goal,
            got: format!("{} s", beyond.join(", ")),
        });
    }
    Ok(rows)
}

fn power_cut(lab: &Lab, lost: &Host, n: usize, ttl: u64) -> Result<Duration> {
    let staying = lab.hosts().iter().find(|host| host.name() != lost.name());
    let mut api = staying.context("one host is too few")?.api()?;
    submit(&mut api, n)?;
    wait_for(&mut api, |active| active.len() == n)?;
    // A leader that has been in touch for less than this doesn't believe in anybody's death yet.
    thread::sleep(Duration::from_secs(ttl + 2));
    let watch = Stopwatch::start();
    lost.power_cut()?;
    let id = lost.machine_id();
    wait_for(&mut api, |active| active.len() == n && active.values().all(|on| on != id))?;
    let time = watch.elapsed();
    clear(&mut api)?;
    lost.boot()?;
    lost.wait_ready()?;
    lab.wait_for_machines()?;
    Ok(time)
}

fn submit(api: &mut Api, n: usize) -> Result<()> {
    (0..n).try_for_each(|i| api.put(&format!("many-{i}.service"), units::SLEEPER, "launched"))
}

/// Destroys all units and waits until no state of them is left.
fn clear(api: &mut Api) -> Result<()> {
    for record in api.list("units")? {
        let name = record.get("name").and_then(|name| name.as_str()).context("no name")?;
        api.destroy(name)?;
    }
    let watch = Stopwatch::start();
    while !api.states()?.is_empty() {
        ensure!(watch.elapsed() < LIMIT, "states stay behind: {:?}", api.states()?);
        thread::sleep(LOOK);
    }
    Ok(())
}

/// Waits until `enough` holds of the active units and their machines.
fn wait_for(api: &mut Api, enough: impl Fn(&BTreeMap<String, String>) -> bool) -> Result<()> {
    let watch = Stopwatch::start();
    loop {
        let states = api.states()?.into_iter().filter(|state| state.active == "active");
        let active = states.map(|state| (state.unit, state.machine)).collect();
        if enough(&active) {
            return Ok(());
        }
        ensure!(watch.elapsed() < LIMIT, "only {} units are active", active.len());
        thread::sleep(LOOK);
    }
}

fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |i: usize| times.get(i).copied().map(seconds).unwrap_or_default();
    let (middle, last) = (times.len() / 2, times.len().saturating_sub(1));
    format!("median {}, {} to {}", at(middle), at(0), at(last))
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

fn print(args: &Args, rows: &[Row]) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "Measured on {}; {} hosts.\n", machine(), args.hosts)?;
    writeln!(out, "| what | goal | measured |\n| --- | --- | --- |")?;
    for Row { what, goal, got } in rows {
        writeln!(out, "| {what} | {goal} | {got} |")?;
    }
    Ok(())
}

/// Describes the machine, as far as figures depend on it.
fn machine() -> String {
    let field = |file: &str, key: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let first_line = |program: &str| {
        let output = Command::new(program).arg("--version").output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        text.unwrap_or_default().lines().next().unwrap_or_default().to_owned()
    };
    let memory = field("/proc/meminfo", "MemTotal");
    let memory = memory.trim_end_matches(" kB").parse().unwrap_or(0) / (1024 * 1024);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let processor = field("/proc/cpuinfo", "model name");
    let (etcd, systemd) = (first_line("etcd"), first_line("systemctl"));
    let kernel = kernel.trim();
    format!("{cores} cores of {processor}, {memory} GiB, Linux {kernel}, {etcd}, {systemd}")
}
