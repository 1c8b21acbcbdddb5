//! What machines report of units (`api.md` 5).

use fleet_core::UnitName;
use fleet_registry::{Page, StateFilter, StateView};
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
    let page = page(api, &filter, after.as_deref(), api.page_size()).await?;
    Ok(reply::entity(&schema::UnitStatePage {
        states: page.items.into_iter().map(entity).collect(),
        next_page_token: paging::next(page.next, Collection::States),
    }))
}

/// The state of one unit: of several, that of the machine with the lowest id.
pub(crate) async fn get(api: &Api, name: &str) -> Result<Reply, ApiError> {
    let filter = StateFilter { unit: Some(name.to_owned()), machine: None };
    let page = page(api, &filter, None, 1).await?;
    let state = page.items.into_iter().next();
    let state = state.ok_or_else(|| ApiError::not_found("unit state does not exist"))?;
    Ok(reply::entity(&entity(state)))
}

/// A page of what the store has. Of what can't be a unit it has nothing, and isn't asked.
async fn page(
    api: &Api,
    filter: &StateFilter,
    after: Option<&str>,
    limit: usize,
) -> Result<Page<StateView>, ApiError> {
    if filter.unit.as_ref().is_some_and(|unit| unit.parse::<UnitName>().is_err()) {
        return Ok(Page { items: Vec::new(), next: None });
    }
    Ok(api.heard(api.registry.states_page(filter, after, limit).await)?)
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
