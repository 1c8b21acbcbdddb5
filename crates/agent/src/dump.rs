//! The agent's part of the state dump (`fleetd.md` 8.3, `spec/README.md` 12).

use std::{collections::BTreeMap, sync::Arc};

use fleet_core::UnitName;
use fleet_registry::PublishedState;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{
    presence::PresenceHandle,
    publish::{Board, News, Standings},
};

/// Shows the state of a running agent.
#[derive(Clone, Debug)]
pub struct DumpHandle {
    standings: watch::Receiver<Option<Arc<Standings>>>,
    board: watch::Receiver<Board>,
    presence: PresenceHandle,
}

impl DumpHandle {
    pub(crate) fn new(
        standings: watch::Receiver<Option<Arc<Standings>>>,
        board: watch::Receiver<Board>,
        presence: PresenceHandle,
    ) -> Self {
        Self { standings, board, presence }
    }

    /// The state as it is now: the keys `Agent`, `UnitStatePublisher` and `UnitStateGenerator`.
    #[must_use]
    pub fn state(&self) -> Value {
        let presence = self.presence.current.borrow().clone();
        let machine = presence.as_ref().map_or("", |presence| presence.machine.as_str());
        let standings = self.standings.borrow().clone().unwrap_or_default();
        let board = self.board.borrow().clone();
        let targets: BTreeMap<&str, &str> = standings
            .iter()
            .map(|(name, standing)| (name.as_str(), standing.claim.as_str()))
            .collect();
        let subscribed: Vec<&str> = standings.keys().map(UnitName::as_str).collect();
        json!({
            "Agent": { "Cache": { "TargetStates": targets } },
            "UnitStatePublisher": {
                "Cache": records(board.states.known(), machine),
                "ToPublish": records(board.states.pending(), machine),
            },
            "UnitStateGenerator": { "Subscribed": subscribed },
        })
    }
}

fn records(states: &News<PublishedState>, machine: &str) -> Value {
    let record = |(name, state): (&UnitName, &Option<PublishedState>)| {
        let record = state.as_ref().map(|state| {
            json!({
                "LoadState": state.systemd.load,
                "ActiveState": state.systemd.active,
                "SubState": state.systemd.sub,
                "MachineID": machine,
                "UnitHash": state.hash.to_string(),
                "UnitName": name.as_str(),
            })
        });
        (name.as_str().to_owned(), record.unwrap_or(Value::Null))
    };
    Value::Object(states.iter().map(record).collect())
}
