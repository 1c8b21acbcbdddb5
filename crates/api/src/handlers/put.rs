//! PUT of a unit: create, replace, set the desired state (`api.md` 4.4).
//!
//! The checks are in the order of the table there, but all that can be said of the content by itself
//! is found out while its body is worked on, once, and told when its turn comes. Whatever is decided
//! rests on the unit as it was looked up; when it changed meanwhile everything is decided again.

use bytes::Bytes;
use fleet_core::{
    InvalidUnit, JobState, Quoted, UnitFile, UnitHash, UnitName, UnitOption, check_own_names_for,
    validate,
};
use fleet_registry::{Attempts, Registry, RegistryError, TooLarge, Unit, check_size};
use fleet_schema::{self as schema, from_json};
use hyper::{
    StatusCode,
    body::Body,
    header::{CONTENT_TYPE, HeaderMap},
};
use tracing::info;

use crate::{
    Api,
    body::RequestBody,
    error::ApiError,
    reply::{self, Reply},
};

/// What a request asks for.
struct Wanted {
    name: UnitName,
    /// `None` when no options are sent.
    content: Option<Content>,
    /// As sent; empty when absent.
    state: String,
}

/// The content that is sent.
struct Content {
    /// The hash of what was sent, as it was sent.
    sent: UnitHash,
    /// What would be stored; or why it may not be.
    file: Result<UnitFile, Unacceptable>,
}

/// Why content may not be stored.
#[derive(Debug, thiserror::Error)]
enum Unacceptable {
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    #[error(transparent)]
    Invalid(#[from] InvalidUnit),
}

/// What is done about it.
enum Decision<'a> {
    Create(&'a UnitFile, JobState),
    Replace(Box<Unit>, &'a UnitFile, JobState),
    SetState(Box<Unit>, JobState),
}

/// Creates, replaces or updates the unit called `name` in the path.
pub(crate) async fn put<B>(
    api: &Api,
    name: &str,
    headers: &HeaderMap,
    body: &mut RequestBody<B>,
) -> Result<Reply, ApiError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    check_content_type(headers)?;
    let path = name.to_owned();
    let work = move |body: &[u8]| {
        let unit = from_json::<schema::Unit>(body)
            .map_err(|error| ApiError::bad_request(format!("unable to decode body: {error}")))?;
        wanted(&path, unit)
    };
    let wanted = api.bodies.read(body, work).await?;
    // Most content is of new units: these cost no look.
    if let Ok(Decision::Create(file, state)) = decide(&wanted, None) {
        let created = api.registry.create_if_absent(&wanted.name, file, state).await;
        if api.note_answer(created)? {
            info!(unit = %wanted.name, %state, "unit created");
            return Ok(reply::empty(StatusCode::CREATED));
        }
    }
    let mut attempts = Attempts::within(api.limits().store_time);
    loop {
        let found = api.note_answer(api.registry.unit(&wanted.name).await)?;
        let decision = decide(&wanted, found)?;
        match carry_out(&api.registry, &wanted.name, decision).await {
            Ok(status) => return Ok(reply::empty(status)),
            Err(RegistryError::Conflict(_)) if attempts.again().await => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn check_content_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let refuse = |message| ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message);
    let count = headers.get_all(CONTENT_TYPE).iter().count();
    if count != 1 {
        return Err(refuse(format!("expected 1 Content-Type, got {count}")));
    }
    let value = headers.get(CONTENT_TYPE).map_or(&[][..], |value| value.as_bytes());
    let media_type = value.split(|byte| *byte == b';').next().unwrap_or_default();
    if media_type.trim_ascii() != b"application/json" {
        return Err(refuse("only acceptable Content-Type is application/json".to_owned()));
    }
    Ok(())
}

/// Checks that body and path agree on a valid name.
fn wanted(path: &str, unit: schema::Unit) -> Result<Wanted, ApiError> {
    if !unit.name.is_empty() && unit.name != path {
        return Err(ApiError::bad_request(format!(
            "name in URL {} differs from unit name in request body {}",
            Quoted(path),
            Quoted(&unit.name)
        )));
    }
    let name: UnitName = path.parse().map_err(bad_request)?;
    let options: Vec<UnitOption> = unit.options.into_iter().map(Into::into).collect();
    let content = (!options.is_empty()).then(|| content(&name, options));
    Ok(Wanted { name, content, state: unit.desired_state })
}

fn content(name: &UnitName, options: Vec<UnitOption>) -> Content {
    let sent = UnitFile::new(options);
    Content { sent: sent.hash(), file: accepted(name, sent) }
}

/// The content as it would be stored. Its size is checked first: that is what bounds the rest.
fn accepted(name: &UnitName, sent: UnitFile) -> Result<UnitFile, Unacceptable> {
    check_size(&sent)?;
    Ok(validate(name, sent.into_options())?)
}

/// Decides what to do, given the unit as it is.
fn decide(wanted: &Wanted, found: Option<Unit>) -> Result<Decision<'_>, ApiError> {
    let Some(found) = found else {
        let Some(content) = &wanted.content else {
            return Err(ApiError::conflict("unit does not exist and options field empty"));
        };
        let file = content.file.as_ref()?;
        return Ok(Decision::Create(file, new_state(wanted)?));
    };
    match new_content(wanted, &found)? {
        Some(file) => Ok(Decision::Replace(Box::new(found), file, new_state(wanted)?)),
        None if wanted.state.is_empty() => {
            Err(ApiError::conflict("must provide DesiredState to update existing unit"))
        }
        None => {
            let state = new_state(wanted)?;
            check_own_names_for(state, &found.name, &found.file).map_err(bad_request)?;
            Ok(Decision::SetState(Box::new(found), state))
        }
    }
}

/// The content to store, if it isn't what is stored already.
fn new_content<'a>(wanted: &'a Wanted, found: &Unit) -> Result<Option<&'a UnitFile>, ApiError> {
    // What is stored may be sent again even where it would not be accepted today.
    let stored = found.file.hash();
    match &wanted.content {
        Some(content) if content.sent != stored => {
            let file = content.file.as_ref()?;
            Ok((file.hash() != stored).then_some(file))
        }
        _ => Ok(None),
    }
}

/// The state that is asked for; `inactive` when none is.
fn new_state(wanted: &Wanted) -> Result<JobState, ApiError> {
    if wanted.state.is_empty() {
        return Ok(JobState::Inactive);
    }
    let state = wanted.state.parse().map_err(bad_request)?;
    if state != JobState::Inactive && wanted.name.is_template() {
        let name = Quoted(wanted.name.as_str());
        return Err(ApiError::bad_request(format!("cannot activate template {name}")));
    }
    Ok(state)
}

async fn carry_out(
    registry: &Registry,
    name: &UnitName,
    decision: Decision<'_>,
) -> Result<StatusCode, RegistryError> {
    match decision {
        Decision::Create(file, state) => {
            registry.create_unit(name, file, state).await?;
            info!(unit = %name, %state, "unit created");
            Ok(StatusCode::CREATED)
        }
        Decision::Replace(seen, file, state) => {
            registry.replace_unit(&seen, file, state).await?;
            info!(unit = %name, %state, "unit replaced");
            Ok(StatusCode::CREATED)
        }
        Decision::SetState(seen, state) => {
            registry.set_desired_state(&seen, state).await?;
            info!(unit = %name, %state, "desired state set");
            Ok(StatusCode::NO_CONTENT)
        }
    }
}

impl From<&Unacceptable> for ApiError {
    fn from(error: &Unacceptable) -> Self {
        match error {
            Unacceptable::TooLarge(_) => Self::too_large(error.to_string()),
            Unacceptable::Invalid(_) => bad_request(error),
        }
    }
}

fn bad_request(error: impl std::fmt::Display) -> ApiError {
    ApiError::bad_request(error.to_string())
}
