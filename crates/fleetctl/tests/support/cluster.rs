//! A cluster in miniature behind the scripted server: units do at once what they are told to,
//! unless a test says otherwise.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use fleet_core::UnitFile;
use fleet_schema::{
    Machine, MachinePage, Unit, UnitOption, UnitPage, UnitStart, UnitState, UnitStatePage, to_json,
};
use serde_json::Value;

use super::server::{Reply, Request, Server};

/// The machine that takes all units.
pub const MACHINE: &str = "c31e44e1f858436e933e59c642517860";

/// The cluster.
pub struct Cluster {
    pub server: Server,
    pub units: Arc<Mutex<BTreeMap<String, Unit>>>,
}

/// A rule that comes before what the cluster would do.
type Rule = dyn Fn(&Request) -> Option<Reply> + Send + Sync;

impl Cluster {
    /// A cluster without units.
    pub fn empty() -> Self {
        Self::with(&[])
    }

    /// A cluster of these units: name, file, desired state, current state.
    pub fn with(units: &[(&str, &str, &str, &str)]) -> Self {
        Self::ruled(units, |_| None)
    }

    /// The same, with a rule.
    pub fn ruled(
        units: &[(&str, &str, &str, &str)],
        rule: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let units = units.iter().map(|(name, file, desired, current)| {
            let mut unit = Unit {
                name: (*name).to_owned(),
                desired_state: (*desired).to_owned(),
                current_state: (*current).to_owned(),
                options: options(file),
                ..Unit::default()
            };
            if *current != "inactive" {
                unit.machine_id = MACHINE.to_owned();
            }
            ((*name).to_owned(), unit)
        });
        let units = Arc::new(Mutex::new(units.collect::<BTreeMap<_, _>>()));
        let (shared, rule): (_, Box<Rule>) = (units.clone(), Box::new(rule));
        let server = Server::tcp(move |request| {
            rule(request).unwrap_or_else(|| answer(request, &mut shared.lock().unwrap()))
        });
        Self { server, units }
    }

    /// What is desired of each unit, as `name=state`.
    pub fn desired(&self) -> Vec<String> {
        let units = self.units.lock().unwrap();
        units.values().map(|unit| format!("{}={}", unit.name, unit.desired_state)).collect()
    }
}

/// The options of a file.
pub fn options(file: &str) -> Vec<UnitOption> {
    let file = UnitFile::parse(file.as_bytes()).unwrap();
    file.options().iter().map(Into::into).collect()
}

fn answer(request: &Request, units: &mut BTreeMap<String, Unit>) -> Reply {
    let path = request.target.split('?').next().unwrap_or_default();
    let path = path.replace("%40", "@").replace("%2A", "*");
    let mut parts = path.trim_start_matches("/fleet/v1/").splitn(2, '/');
    let (collection, name) = (parts.next().unwrap_or_default(), parts.next());
    match (&*request.method, collection, name) {
        ("GET", "machines", None) => ok(to_json(&machines())),
        ("GET", "units", None) => {
            let units = units.values().cloned().collect();
            ok(to_json(&UnitPage { units, ..UnitPage::default() }))
        }
        ("GET", "state", None) => {
            let named = |state: &UnitState| match request.target.split_once("unitName=") {
                Some((_, rest)) => rest.split('&').next() == Some(&*state.name),
                None => true,
            };
            let states = units.values().filter_map(state).filter(named).collect();
            ok(to_json(&UnitStatePage { states, ..UnitStatePage::default() }))
        }
        ("GET", "units", Some(name)) if name.ends_with("/restart") => ok("{}".into()),
        ("POST", "units", Some(name)) => match units.get(name.trim_end_matches("/restart")) {
            Some(unit) if unit.desired_state == "launched" => {
                Reply::Send(202, format!("{{\"machines\":[\"{MACHINE}\"]}}"))
            }
            Some(_) => error(409, "unit is not launched"),
            None => missing(),
        },
        ("GET", "units", Some(name)) => units.get(name).map_or_else(missing, |u| ok(to_json(u))),
        ("GET", "state", Some(name)) => {
            units.get(name).and_then(state).map_or_else(missing, |state| ok(to_json(&state)))
        }
        ("DELETE", "units", Some(name)) => match units.remove(name) {
            Some(_) => Reply::Send(204, String::new()),
            None => missing(),
        },
        ("PUT", "units", Some(name)) => put(name, &request.body, units),
        _ => Reply::Send(405, String::new()),
    }
}

fn put(name: &str, body: &str, units: &mut BTreeMap<String, Unit>) -> Reply {
    let sent: Unit = fleet_schema::from_json(body.as_bytes()).unwrap();
    assert_eq!(sent.name, name);
    if !sent.options.is_empty() {
        let unit =
            Unit { desired_state: "inactive".into(), current_state: "inactive".into(), ..sent };
        units.insert(name.to_owned(), unit);
        return Reply::Send(201, String::new());
    }
    let Some(unit) = units.get_mut(name) else {
        return error(409, "unit does not exist and options field empty");
    };
    unit.desired_state = sent.desired_state;
    if !is_global(unit) {
        unit.current_state = unit.desired_state.clone();
        let gone = unit.desired_state == "inactive";
        unit.machine_id = if gone { String::new() } else { MACHINE.to_owned() };
    }
    Reply::Send(204, String::new())
}

fn is_global(unit: &Unit) -> bool {
    unit.options.iter().any(|option| option.name == "Global" && option.value == "true")
}

fn state(unit: &Unit) -> Option<UnitState> {
    let active = unit.current_state == "launched";
    (!unit.machine_id.is_empty()).then(|| UnitState {
        name: unit.name.clone(),
        machine_id: unit.machine_id.clone(),
        hash: UnitFile::new(unit.options.iter().map(Into::into).collect()).hash().to_string(),
        systemd_load_state: "loaded".into(),
        systemd_active_state: if active { "active" } else { "inactive" }.into(),
        systemd_sub_state: if active { "running" } else { "dead" }.into(),
        start: UnitStart::default(),
    })
}

fn machines() -> MachinePage {
    let machine =
        Machine { id: MACHINE.into(), primary_ip: "1.2.3.4".into(), ..Machine::default() };
    MachinePage { machines: vec![machine], ..MachinePage::default() }
}

fn ok(body: String) -> Reply {
    Reply::Send(200, body)
}

fn missing() -> Reply {
    error(404, "unit does not exist")
}

/// An error as the server words it.
pub fn error(status: u16, message: &str) -> Reply {
    let body = Value::from(message);
    Reply::Send(status, format!("{{\"error\":{{\"code\":{status},\"message\":{body}}}}}"))
}
