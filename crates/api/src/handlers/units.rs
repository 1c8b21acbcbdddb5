//! Units: list, show, destroy (`api.md` 4.1 to 4.3).

use fleet_core::UnitName;
use fleet_registry::{RegistryError, Unit};
use fleet_schema as schema;
use hyper::StatusCode;

use crate::{
    Api,
    error::ApiError,
    handlers::paging,
    query::Query,
    reply::{self, Reply},
    token::Collection,
};

/// One page of the units.
pub(crate) async fn list(api: &Api, query: &Query) -> Result<Reply, ApiError> {
    let after = paging::after(query, Collection::Units)?;
    let size = paging::size(query, api.page_size())?;
    let page = api.note_answer(api.registry.units_page(after.as_deref(), size).await)?;
    Ok(reply::entity(&schema::UnitPage {
        units: page.items.into_iter().map(entity).collect(),
        next_page_token: paging::next(page.next, Collection::Units),
    }))
}

/// One unit.
pub(crate) async fn get(api: &Api, name: &str) -> Result<Reply, ApiError> {
    let unit = existing(api, name).await?;
    let pending = api.reasons.of(&api.registry, &unit).await;
    let global = unit.record.value.global;
    let mut entity = schema::Unit { pending, ..entity(unit) };
    if global {
        // TRAP (`api.md` 3): there is none here, and `inactive` in the list.
        entity.current_state.clear();
    }
    Ok(reply::entity(&entity))
}

/// Destroys a unit.
pub(crate) async fn delete(api: &Api, name: &str) -> Result<Reply, ApiError> {
    match api.note_answer(api.registry.destroy_unit(&named(name)?).await) {
        Ok(()) => Ok(reply::empty(StatusCode::NO_CONTENT)),
        Err(RegistryError::NoSuchUnit(_)) => Err(no_such_unit()),
        Err(error) => Err(error.into()),
    }
}

/// The unit of that name.
pub(crate) async fn existing(api: &Api, name: &str) -> Result<Unit, ApiError> {
    api.note_answer(api.registry.unit(&named(name)?).await)?.ok_or_else(no_such_unit)
}

/// A name to look up: one that isn't valid can't exist.
fn named(name: &str) -> Result<UnitName, ApiError> {
    name.parse().map_err(|_| no_such_unit())
}

fn no_such_unit() -> ApiError {
    ApiError::not_found("unit does not exist")
}

fn entity(unit: Unit) -> schema::Unit {
    let Unit { name, record, file, current_state, .. } = unit;
    let record = record.value;
    schema::Unit {
        current_state: current_state.to_string(),
        desired_state: record.desired_state.to_string(),
        machine_id: record.machine.map(String::from).unwrap_or_default(),
        name: name.into(),
        options: file.options().iter().map(Into::into).collect(),
        // Only `get` tells: it costs reads for each unit.
        pending: schema::Pending::default(),
    }
}
