//! What machines report of units (`api.md` 5).

use fleet_registry::{StateFilter, StateView};
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
    let filter = StateFilter {
        unit: query.first("unitName").map(str::to_owned),
        machine: query.first("machineID").map(str::to_owned),
    };
    let page = api.registry.states_page(&filter, after.as_deref(), api.page_size()).await?;
    Ok(reply::entity(&schema::UnitStatePage {
        states: page.items.into_iter().map(entity).collect(),
        next_page_token: paging::next(page.next, Collection::States),
    }))
}

/// The state of one unit: of several, that of the machine with the lowest id.
pub(crate) async fn get(api: &Api, name: &str) -> Result<Reply, ApiError> {
    let filter = StateFilter { unit: Some(name.to_owned()), machine: None };
    let page = api.registry.states_page(&filter, None, 1).await?;
    let state = page.items.into_iter().next();
    let state = state.ok_or_else(|| ApiError::not_found("unit state does not exist"))?;
    Ok(reply::entity(&entity(state)))
}

fn entity(view: StateView) -> schema::UnitState {
    let StateView { unit, machine, state } = view;
    schema::UnitState {
        hash: state.hash.to_string(),
        machine_id: machine.into(),
        name: unit.into(),
        systemd_active_state: state.systemd.active,
        systemd_load_state: state.systemd.load,
        systemd_sub_state: state.systemd.sub,
    }
}
