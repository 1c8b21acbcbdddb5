//! Some seeds, small ones: a sound cluster, and the same again.

use fleet_sim::{
    plan::{Plan, Size},
    run::run,
};

const SMALL: Size = Size { machines: 3, units: 12, episodes: 1 };

#[test]
fn clusters_come_to_rest_as_they_should_be() {
    for seed in 1..=20 {
        let outcome = run(&Plan::of(seed, SMALL));
        let lines = outcome.lines.join("\n");
        assert!(outcome.broken.is_empty(), "{lines}\nseed {seed}: {:?}", outcome.broken);
    }
}

#[test]
fn the_same_seed_is_the_same_run_to_the_byte() {
    for seed in 1..=5 {
        let (one, other) = (run(&Plan::of(seed, SMALL)), run(&Plan::of(seed, SMALL)));
        assert!(one.lines.len() > 20, "something happens: {:?}", one.lines);
        let differs = one.lines.iter().zip(&other.lines).find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!((one.fingerprint, one.time), (other.fingerprint, other.time), "seed {seed}");
    }
    let (one, other) = (run(&Plan::of(1, SMALL)), run(&Plan::of(2, SMALL)));
    assert_ne!(one.fingerprint, other.fingerprint);
}
