//! Finding the address that is meant (`ssh.md` 6.2). An empty one: the machine is found, and has
//! none.

use fleet_client::ClientError;

use crate::{
    cluster::session::Session,
    flags,
    units::{name::UnitArg, unit},
};

/// Why there is no address; the text after `Unable to proceed: `.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotFound {
    /// There is nothing of that name.
    #[error("{0}")]
    Missing(String),
    /// Something is there, and it is the wrong thing.
    #[error("{0}")]
    Unusable(String),
    /// The cluster doesn't say.
    #[error(transparent)]
    Api(#[from] ClientError),
}

impl From<String> for NotFound {
    fn from(text: String) -> Self {
        Self::Missing(text)
    }
}

fn unusable(text: &str) -> NotFound {
    NotFound::Unusable(text.to_owned())
}

/// The address of the machine whose id begins with `prefix`.
pub(super) async fn machine(session: &Session<'_>, prefix: &str) -> Result<String, NotFound> {
    let machines = session.known_machines().await?.values();
    let mut machines = machines.filter(|machine| machine.id.starts_with(prefix));
    match (machines.next(), machines.next()) {
        (None, _) => Err("machine does not exist".to_owned().into()),
        (Some(only), None) => Ok(only.primary_ip.clone()),
        (Some(_), Some(_)) => Err(unusable("found more than one machine")),
    }
}

/// The address of the machine that has the unit which `argument` names.
pub(super) async fn unit(session: &Session<'_>, argument: &str) -> Result<String, NotFound> {
    let UnitArg { name, .. } =
        UnitArg::new(argument).map_err(|error| NotFound::Unusable(error.to_string()))?;
    let Some(known) = session.api.unit(&name).await? else {
        return Err("unit does not exist".to_owned().into());
    };
    if unit::is_global(&known) {
        return Err(unusable("global units unsupported"));
    }
    if known.machine_id.is_empty() {
        return Ok(String::new());
    }
    let place = session.known_machines().await?.get(&known.machine_id);
    Ok(place.map(|machine| machine.primary_ip.clone()).unwrap_or_default())
}

/// The address of the machine that `word` means, or of the one that has the unit it means.
pub(super) async fn either(session: &Session<'_>, word: &str) -> Result<String, NotFound> {
    if let Err(error) = UnitArg::new(word) {
        return Err(NotFound::Unusable(error.to_string()));
    }
    let machine = machine(session, flags::machine_id(word)).await;
    // A unit without a machine that has an address is as good as none here.
    let unit = match unit(session, word).await {
        Ok(address) if address.is_empty() => Err(nothing()),
        unit => unit,
    };
    choose(word, machine, unit)
}

fn choose(
    word: &str,
    machine: Result<String, NotFound>,
    unit: Result<String, NotFound>,
) -> Result<String, NotFound> {
    match (machine, unit) {
        (Ok(_), Ok(_)) => Err(NotFound::Unusable(format!(
            "ambiguous argument, both machine and unit found for `{word}`.\n\
             Please use flag `--machine` or `--unit` to refine the search"
        ))),
        (Ok(address), Err(_)) | (Err(_), Ok(address)) => Ok(address),
        // What is known not to be there says least.
        (Err(NotFound::Missing(_)), Err(NotFound::Missing(_))) => Err(nothing()),
        (Err(NotFound::Missing(_)), Err(error)) | (Err(error), Err(_)) => Err(error),
    }
}

fn nothing() -> NotFound {
    "could not find matching unit or machine".to_owned().into()
}

#[cfg(test)]
mod tests {
    use fleet_client::Answer;

    use super::*;

    /// `=ADDRESS` is found, `?` is missing, `!` an error of the API, anything else unusable.
    fn result(text: &str) -> Result<String, NotFound> {
        match text.as_bytes() {
            [b'=', ..] => Ok(text[1..].to_owned()),
            b"?" => Err("any".to_owned().into()),
            b"!" => Err(ClientError::Answer(Answer::new(503, b"no answer")).into()),
            _ => Err(unusable(text)),
        }
    }

    #[test]
    fn the_truth_is_told_of_both_lookups() {
        let ambiguous = "ambiguous argument, both machine and unit found for `w`.\nPlease use \
                         flag `--machine` or `--unit` to refine the search";
        let nothing = "could not find matching unit or machine";
        let no_answer = "googleapi: got HTTP response code 503 with body: no answer";
        for (machine, unit, expected) in [
            ("=1", "=2", Err(ambiguous)),
            ("=", "=2", Err(ambiguous)),
            ("=1", "?", Ok("1")),
            ("=", "?", Ok("")),
            ("=1", "!", Ok("1")),
            ("?", "=2", Ok("2")),
            ("!", "=2", Ok("2")),
            ("found more than one machine", "=2", Ok("2")),
            ("?", "?", Err(nothing)),
            ("!", "?", Err(no_answer)),
            ("?", "!", Err(no_answer)),
            ("!", "!", Err(no_answer)),
            ("found more than one machine", "?", Err("found more than one machine")),
            ("?", "global units unsupported", Err("global units unsupported")),
        ] {
            let found =
                choose("w", result(machine), result(unit)).map_err(|error| error.to_string());
            let found = found.as_deref().map_err(|text| &**text);
            assert_eq!(found, expected, "{machine} {unit}");
        }
    }
}
