//! What machines report of units (`api.md` 5).

use fleet_registry::{Page, Start, StateFilter, StateView};
use fleet_schema as schema;

use crate::{
    Api,
    error::ApiError,
    handlers::paging,
    query::Query,
    reply::{self, Reply},
    token::Collection,
};

/// One page of the states that pass the filters.
pub(crate) async fn list(api: &Api, query: &Query) -> Result<Reply, ApiError> {
    let after = paging::after(query, Collection::States)?;
    let size = paging::size(query, api.page_size())?;
    let page = match filter(query) {
        Some(filter) => {
            api.note_answer(api.registry.states_page(&filter, after.as_deref(), size).await)?
        }
        None => Page { items: Vec::new(), next: None },
    };
    Ok(reply::entity(&schema::UnitStatePage {
        states: page.items.into_iter().map(entity).collect(),
        next_page_token: paging::next(page.next, Collection::States),
    }))
}

/// The state of one unit: of several, that of the machine with the lowest id.
pub(crate) async fn get(api: &Api, name: &str) -> Result<Reply, ApiError> {
    let none = || ApiError::not_found("unit state does not exist");
    let unit = Some(name.parse().map_err(|_| none())?);
    let filter = StateFilter { unit, machine: None };
    let page = api.note_answer(api.registry.states_page(&filter, None, 1).await)?;
    let state = page.items.into_iter().next().ok_or_else(none)?;
    Ok(reply::entity(&entity(state)))
}

/// What the query filters by; `None` when nothing can pass, as it names what can't be a unit.
fn filter(query: &Query) -> Option<StateFilter> {
    let unit = query.first("unitName").map(str::parse).transpose().ok()?;
    Some(StateFilter { unit, machine: query.first("machineID").map(str::to_owned) })
}

fn entity(view: StateView) -> schema::UnitState {
    let StateView { unit, machine, state } = view;
    schema::UnitState {
        hash: state.hash.to_string(),
        machine_id: machine.into(),
        name: unit.into(),
        start: state.start.map(start).unwrap_or_default(),
        systemd_active_state: state.systemd.active,
        systemd_load_state: state.systemd.load,
        systemd_sub_state: state.systemd.sub,
    }
}

fn start(Start { at, settled, failure }: Start) -> schema::UnitStart {
    schema::UnitStart { at, failure, settled }
}
