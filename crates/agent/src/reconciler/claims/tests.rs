use std::path::Path;

use fleet_core::UnitFile;

use super::*;
use crate::{
    Listed,
    fake::FakeManager,
    plan::{Reason, Text},
};

fn unit() -> UnitName {
    "a.service".parse().unwrap()
}

fn hash() -> UnitHash {
    UnitHash::of(b"x")
}

fn claims(directory: &Path) -> Claims {
    Claims::new(RuntimeFile::new(directory, "claims"))
}

/// What is here: the unit, loaded.
fn loaded() -> Current {
    let here = Here { hash: Some(hash()), claim: JobState::Loaded, ..Here::default() };
    Current { units: [(unit(), here)].into(), ..Current::default() }
}

fn steps(actions: &[Action]) -> Vec<Step> {
    let step =
        |action: &Action| Step { unit: unit(), action: *action, reason: Reason::NotLaunched };
    actions.iter().map(step).collect()
}

async fn intend(claims: &mut Claims, current: &Current, actions: &[Action]) {
    let manager = FakeManager::new();
    claims.intend(&manager, &steps(actions), &BTreeMap::new(), current).await.unwrap();
}

#[tokio::test]
async fn what_is_intended_is_in_the_file_until_it_is_settled() {
    let directory = tempfile::tempdir().unwrap();
    let mut claims = claims(directory.path());
    intend(&mut claims, &loaded(), &[Action::Load, Action::Start]).await;
    assert!(claims.ends_with(&unit(), Action::Start) && !claims.ends_with(&unit(), Action::Load));

    let mut successor = self::claims(directory.path());
    let units = successor.recall();
    assert_eq!(units[&unit()].claim, JobState::Loaded);
    assert!(successor.ends_with(&unit(), Action::Start));

    claims.settle(&unit());
    claims.keep(&loaded());
    assert_eq!(successor.recall(), units);
    assert_eq!(successor.intended().count(), 0);
}

#[tokio::test]
async fn what_is_about_to_come_is_in_the_file_by_its_content() {
    let directory = tempfile::tempdir().unwrap();
    let file = UnitFile::parse_stored(b"[Service]\nExecStart=/bin/true\n").unwrap();
    let text = Text { hash: file.hash(), file };
    let current = Current { texts: [(unit(), text.clone())].into(), ..Current::default() };
    intend(&mut claims(directory.path()), &current, &[Action::Load]).await;
    let mut successor = claims(directory.path());
    let here = Here { hash: Some(text.hash), ..Here::default() };
    assert_eq!(successor.recall(), [(unit(), here)].into());
    assert!(successor.ends_with(&unit(), Action::Load));
}

#[tokio::test]
async fn a_oneshot_that_may_have_run_stays_so_when_it_is_recalled_twice() {
    let directory = tempfile::tempdir().unwrap();
    intend(&mut claims(directory.path()), &loaded(), &[Action::Start]).await;
    let manager = FakeManager::new();
    manager.lose_journal();
    let listed = Listed { hash: Some(hash()), finished: true, once: true };
    let listing = BTreeMap::from([(unit(), listed)]);
    let mut claims = claims(directory.path());
    // A look at the units that fails halfway is made once more, from the beginning.
    for _ in 0..2 {
        let mut current = Current { units: claims.recall(), ..Current::default() };
        let mut found = current.units.clone();
        claims.hold(&manager, &mut current, &listing, &mut found).await.unwrap();
        let here = &found[&unit()];
        assert_eq!((here.claim, here.not_started), (JobState::Launched, Some(MAY_HAVE_RUN)));
    }
    claims.settle_failed(&unit());
    assert_eq!(claims.intended().count(), 1, "it stays unknown");
}
