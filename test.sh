#!/usr/bin/env bash
# Checks fleet.
#
#   ./test.sh                       everything: what 'quick' does, then the stories on the lab, and chaos there
#   ./test.sh quick                 format, lints, features, tests, docs, fuzzing, dependencies; no lab, no root
#   ./test.sh functional [--release NAME] [FILTER]
#                                   the stories whose name has FILTER in it (as root), on hosts and
#                                   etcd of that release of Debian, such as trixie
#   ./test.sh simulate [OPTION...]  simulated clusters, broken from seeds (--help tells the options)
#   ./test.sh scale [OPTION...]     a large cluster on a real etcd, measured (--help tells the options)
#   ./test.sh chaos [--seed S] [--minutes N]
#                                   the lab, broken for real from a seed, for ten minutes or N (as root)
#   ./test.sh fuzz [--seconds N] [--seed S] [TARGET]
#                                   each target, or this one, for 5 seconds or N; from seed S on
#   ./test.sh bench [OPTION...]     what fleet costs on the lab (as root); judges nothing
#
# Runs all it was asked to, lists at the end what failed, and fails if anything did.
set -uo pipefail
cd "$(dirname "$0")" || exit 1
. functional/packages.sh

# Labs that stand side by side. Stories mostly wait, so two keep two cores busy enough.
at_once=${FLEET_LABS:-2}
failed=()

# Runs a command under a title, and remembers the title when it fails.
step() {
  local title=$1 begin=$SECONDS
  shift
  printf '\n=== %s\n' "$title"
  if "$@"; then
    printf -- '--- %s: ok, %d s\n' "$title" $((SECONDS - begin))
  else
    printf -- '--- %s: FAILED, %d s\n' "$title" $((SECONDS - begin))
    failed+=("$title")
  fi
}

tests() {
  cargo test --locked --workspace --exclude fleet-functional --exclude fleet-sim &&
    cargo test --locked --package fleet-functional --lib --bins
}
docs() { RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps; }
# What ships, without what only tests use; and fleetctl without its optional parts.
features() {
  cargo clippy --locked --package fleetd --package fleetctl -- -D warnings &&
    cargo clippy --locked --package fleetctl --no-default-features -- -D warnings
}
# The targets are tests; as such they have had some hundred inputs each, always the same.
fuzzing() {
  local seconds=5 seed='' target=''
  while [ $# -gt 0 ]; do
    case $1 in
      --seconds) seconds=${2:?} && shift ;;
      --seed) seed=${2:?} && shift ;;
      -*) usage ;;
      *) target=$1 ;;
    esac
    shift
  done
  # Not to be told of all the others that they have no targets.
  FLEET_FUZZ_SECONDS=$seconds FLEET_FUZZ_SEED=$seed cargo test --locked --workspace \
    --exclude fleet-functional --tests --no-fail-fast "fuzz_$target" -- --test-threads=2 2>&1 |
    awk '/^$|^running 0 tests|^test result: ok\. 0 passed|^ +Running/ { next }
      { print; fflush() }
      /^test .*fuzz_/ { ran = 1 }
      END { if (!ran) print "no target was run"; exit !ran }'
}
deny() {
  if ! command -v cargo-deny >/dev/null; then
    echo "cargo-deny isn't installed, so licences and sources weren't checked"
    return 0
  fi
  cargo deny --config .deny.toml check bans licenses sources
}
release() {
  # One by one, as build.sh does it: cargo builds what is built together with other features.
  cargo build --release --locked --package fleetd --package fleetctl &&
    cargo build --release --locked --package fleet-manual
}
be_root() {
  if [ "$(id -u)" != 0 ]; then
    echo "the lab boots hosts on this machine, for which it must be root" >&2
    return 1
  fi
}
adapter() {
  be_root && cargo test --locked --package fleet-systemd --features lab --test real_systemd \
    --no-fail-fast -- --test-threads="$at_once" "$@"
}
stories() {
  be_root && cargo test --locked --package fleet-functional --test '*' --no-fail-fast -- \
    --test-threads="$at_once" "$@"
}
# Another sequence of faults each day.
chaos() {
  be_root && cargo run --quiet --locked --package fleet-functional --bin chaos -- "$@"
}
# Makes the release's root, once, and shows that a host boots from it.
host_boots() {
  be_root && cargo run --quiet --locked --package fleet-functional --bin lab -- \
    --name "boots-$$" up 1 --without-fleet --foreground </dev/null
}
# Tells the stories that have the filter in their name, perhaps on a release of Debian.
functional() {
  local release=''
  if [ "${1-}" = --release ]; then
    [ $# -ge 2 ] || usage
    release=$2
    shift 2
  fi
  # shellcheck disable=SC2086 # lists of words
  step packages install_missing $build_needs $lab_needs ${release:+$release_needs}
  step 'release build' release
  if [ -n "$release" ]; then
    export FLEET_LAB_RELEASE=$release
    step "a host of $release" host_boots
  fi
  step 'systemd adapter' adapter "$@"
  step stories stories "$@"
}
bench() { cargo run --quiet --release --locked --package fleet-functional --bin bench -- "$@"; }
# What parts of fleet cost by themselves.
bench_parts() {
  cargo bench --quiet --locked --package fleet-core --package fleet-store --package fleet-registry \
    --package fleet-engine
}

# Faults that were mended are found again; fixed seeds stay sound. Seeds of the day are reported
# loudly, and to be repeated by hand: they hold nobody up who has changed something else.
simulated() {
  cargo test --release --locked --package fleet-sim &&
    cargo run --quiet --release --locked --package fleet-sim -- --runs 200 || return
  simulate --seconds 30 --seed "$(date +%Y%m%d)000" ||
    echo "SEEDS OF THE DAY ARE BROKEN: see above, and mend it"
}
simulate() { cargo run --quiet --release --locked --package fleet-sim -- "$@"; }
# With the fleetctl beside it, which asks for lists.
scale() {
  cargo build --quiet --release --locked --package fleetctl && simulate scale "$@"
}

quick() {
  step format cargo fmt --all --check
  step lints cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
  step features features
  step tests tests
  step docs docs
  step simulation simulated
  step fuzzing fuzzing
  step dependencies deny
}

usage() { sed -n '2,17s/^# \{0,1\}//p' "$0" >&2; exit 2; }

need_cargo || exit 1
mode=${1:-all}
[ $# = 0 ] || shift
# shellcheck disable=SC2086 # lists of words
case $mode in
  all)
    [ $# = 0 ] || usage
    step packages install_missing $build_needs $test_needs $lab_needs
    quick
    step 'release build' release
    step 'systemd adapter' adapter
    step stories stories
    step chaos chaos --minutes 2
    ;;
  quick)
    [ $# = 0 ] || usage
    step packages install_missing $build_needs $test_needs
    quick
    ;;
  fuzz)
    step fuzzing fuzzing "$@"
    ;;
  functional)
    functional "$@"
    ;;
  simulate)
    step simulation simulate "$@"
    ;;
  scale)
    step scale scale "$@"
    ;;
  chaos)
    step packages install_missing $build_needs $lab_needs
    step 'release build' release
    step chaos chaos "$@"
    ;;
  bench)
    step packages install_missing $build_needs $lab_needs
    step 'release build' release
    step 'bench of parts' bench_parts
    step bench bench "$@"
    ;;
  *) usage ;;
esac

echo
if [ ${#failed[@]} -gt 0 ]; then
  printf 'FAILED: %s\n' "${failed[@]}"
  exit 1
fi
echo "all passed ($SECONDS s)"
