//! Machines: list, change of dynamic metadata (`api.md` 6, `spec/README.md` 3).

use std::collections::BTreeSet;

use bytes::Bytes;
use fleet_core::MachineId;
use fleet_registry::{MachineView, MetadataChange, check_metadata};
use fleet_schema::{self as schema, MetadataOp, from_json};
use fleet_store::MAX_TXN_OPS;
use hyper::body::Body;

use crate::{
    Api,
    body::RequestBody,
    error::ApiError,
    handlers::paging,
    query::Query,
    reply::{self, Reply},
    token::Collection,
};

/// One page of the machines that are present.
pub(crate) async fn list(api: &Api, query: &Query) -> Result<Reply, ApiError> {
    let after = paging::after(query, Collection::Machines)?;
    let size = paging::size(query, api.page_size())?;
    let page = api.note_answer(api.registry.machines_page(after.as_deref(), size).await)?;
    Ok(reply::entity(&schema::MachinePage {
        machines: page.items.into_iter().map(entity).collect(),
        next_page_token: paging::next(page.next, Collection::Machines),
    }))
}

/// Changes dynamic metadata: all that is asked, or nothing.
pub(crate) async fn patch<B>(api: &Api, body: &mut RequestBody<B>) -> Result<Reply, ApiError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let work = |body: &[u8]| {
        let ops = from_json::<Vec<MetadataOp>>(body);
        changes(ops.map_err(|error| ApiError::bad_request(error.to_string()))?)
    };
    let changes = api.bodies.read(body, work).await?;
    if !changes.is_empty() {
        api.note_answer(api.registry.change_metadata(&changes).await)?;
    }
    Ok(reply::empty_json())
}

/// Checks operations in order.
fn changes(ops: Vec<MetadataOp>) -> Result<Vec<MetadataChange>, ApiError> {
    let changes = ops.into_iter().map(change).collect::<Result<Vec<_>, _>>()?;
    let keys: BTreeSet<_> = changes.iter().map(|change| (&change.machine, &change.key)).collect();
    if keys.len() > MAX_TXN_OPS {
        return Err(ApiError::too_large(format!(
            "too many operations: at most {MAX_TXN_OPS} keys can be changed at once"
        )));
    }
    Ok(changes)
}

fn change(op: MetadataOp) -> Result<MetadataChange, ApiError> {
    let removes = match &*op.op {
        "add" | "replace" => false,
        "remove" => true,
        _ => return Err(ApiError::bad_request("invalid op: expect add, remove, or replace")),
    };
    let (machine, key) =
        target(&op.path).ok_or_else(|| ApiError::bad_request("machine metadata path invalid"))?;
    // A removed key stays as an empty value, so that it hides a configured one too.
    let value = if removes { String::new() } else { op.value.0 };
    if value.is_empty() && !removes {
        return Err(ApiError::bad_request("invalid value: add and replace require a value"));
    }
    let change = MetadataChange { machine, key, value };
    check_metadata(&change).map_err(|error| ApiError::too_large(error.to_string()))?;
    Ok(change)
}

/// Takes `/<machine>/metadata/<key>` apart.
fn target(path: &str) -> Option<(MachineId, String)> {
    let (machine, key) = path.strip_prefix('/')?.split_once('/')?;
    let key = key.strip_prefix("metadata/")?;
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if key.is_empty() || key == "." || key == ".." || !key.bytes().all(safe) {
        return None;
    }
    Some((machine.parse().ok()?, key.to_owned()))
}

fn entity(machine: MachineView) -> schema::Machine {
    let MachineView { id, public_ip, metadata, standing } = machine;
    let standing = standing.noteworthy().unwrap_or_default().to_owned();
    schema::Machine { id: id.into(), metadata, primary_ip: public_ip, standing }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_a_machine_and_a_key_and_nothing_else() {
        for (path, expected) in [
            ("/XXX/metadata/foo", Some(("XXX", "foo"))),
            ("/é%/metadata/A-b_c.9", Some(("é%", "A-b_c.9"))),
            ("/metadata/metadata/metadata", Some(("metadata", "metadata"))),
            ("", None),
            ("/", None),
            ("XXX/metadata/foo", None),
            ("/XXX/foo", None),
            ("/XXX/metadata", None),
            ("/XXX/metadata/", None),
            ("//metadata/foo", None),
            ("/XXX/metadata/foo/", None),
            ("/XXX/metadata/foo/bar", None),
            ("/XXX/metadata/f oo", None),
            ("/XXX/metadata/é", None),
            ("/XXX/metadata/foo\n", None),
            ("/a/XXX/metadata/foo", None),
            ("/../metadata/foo", None),
            ("/./metadata/foo", None),
            ("/XXX/metadata/.", None),
            ("/XXX/metadata/..", None),
            ("/XXX/metadata/...", Some(("XXX", "..."))),
        ] {
            let found = target(path);
            let found = found.as_ref().map(|(machine, key)| (machine.as_str(), &**key));
            assert_eq!(found, expected, "{path}");
        }
    }
}
