#!/usr/bin/env bash
# Builds fleet, and shows it.
#
#   ./build.sh             builds target/release/fleetd and target/release/fleetctl
#   ./build.sh demo        also boots three hosts on this machine (as root) and starts a unit there
#   ./build.sh demo down   takes the three hosts down
set -euo pipefail
cd "$(dirname "$0")"
. functional/packages.sh

release=${CARGO_TARGET_DIR:-target}/release
lab() { "$release/lab" --name demo "$@"; }

build() {
  need_cargo
  # shellcheck disable=SC2086 # a list of words
  install_missing $build_needs
  cargo build --release --locked --package fleetd --package fleetctl
}

demo() {
  if [ "$(id -u)" != 0 ]; then
    echo "the demo boots hosts on this machine, for which it must be root" >&2
    exit 1
  fi
  # shellcheck disable=SC2086 # a list of words
  install_missing $build_needs $lab_needs
  build
  cargo build --release --locked --package fleet-functional --bin lab
  if lab status >/dev/null 2>&1; then
    echo "the demo is up already; './build.sh demo down' takes it down" >&2
    exit 1
  fi
  lab up 3
  # The examples are at hand on every host, in root's home.
  for host in 1 2 3; do
    tar -C examples -c . | lab sh "$host" tar -C /root -x
  done
  show() { echo; echo "h1# $*"; lab sh 1 "$@"; }
  show fleetctl start /root/hello.service
  show fleetctl list-machines
  show fleetctl list-units
  cat <<TEXT

Three hosts are up, each with systemd, D-Bus, sshd and fleetd, around one etcd.
  $release/lab --name demo sh 1           a shell on the first; fleetctl and the examples are there
  $release/lab --name demo kill 2         cuts the power of the second; 'boot 2' brings it back
  $release/lab --name demo --help         what else can be done to them
  ./build.sh demo down             takes it all down
TEXT
}

case "$*" in
  "") build ;;
  demo) demo ;;
  "demo down") lab down ;;
  *) sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
