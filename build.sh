#!/usr/bin/env bash
# Builds fleet, and shows it.
#
#   ./build.sh             builds target/release/fleetd and target/release/fleetctl
#   ./build.sh demo        also boots three hosts on this machine (as root) and starts a unit there
#   ./build.sh demo down   takes the three hosts down
#   ./build.sh install PREFIX   installs it below PREFIX, such as /usr/local or /usr, with systemd
#                          units, man pages and completions; DESTDIR goes in front of all paths
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

install_to() {
  [ $# = 1 ] || { echo "one PREFIX, please" >&2; exit 2; }
  local prefix=$1 root=${DESTDIR:-}$1 dist=crates/fleetd/dist manual shells
  case $prefix in /*) ;; *) echo "PREFIX must be an absolute path" >&2; exit 2 ;; esac
  build
  manual=$(mktemp -d)
  # shellcheck disable=SC2064 # the folder of now
  trap "rm -rf '$manual'" EXIT
  cargo run --quiet --release --locked --package fleet-manual -- "$manual"

  install -D --target-directory="$root/bin" "$release/fleetd" "$release/fleetctl"
  install -d "$root/lib/systemd/system"
  sed "s|@BINDIR@|$prefix/bin|" $dist/fleet.service > "$root/lib/systemd/system/fleet.service"
  chmod 644 "$root/lib/systemd/system/fleet.service"
  install -D --mode=644 --target-directory="$root/lib/systemd/system" $dist/fleet.socket
  install -D --mode=644 $dist/sysusers.conf "$root/lib/sysusers.d/fleet.conf"
  install -D --mode=644 $dist/polkit.rules "$root/share/polkit-1/rules.d/50-fleet.rules"
  # In folders as here, for what they say of each other.
  local doc=$root/share/doc/fleet
  install -D --mode=644 --target-directory="$doc" \
    README.md LICENSE $dist/fleet.conf $dist/user.conf
  install -D --mode=644 --target-directory="$doc/docs" docs/*.md
  install -D --mode=644 --target-directory="$doc/docs/decisions" docs/decisions/*.md
  install -D --mode=644 --target-directory="$doc/docs/spec" docs/spec/*.md
  install -D --mode=644 --target-directory="$doc/docs/scale" docs/scale/*.svg
  for section in 1 5 8; do
    install -D --mode=644 --target-directory="$root/share/man/man$section" "$manual/man$section"/*
  done
  shells=$manual/completions
  install -D --mode=644 --target-directory="$root/share/bash-completion/completions" "$shells"/bash/*
  # Debian's zsh looks for those of its packages in a folder of its own.
  local zsh=site-functions
  if [ "$prefix" = /usr ] && [ -e /etc/debian_version ]; then zsh=vendor-completions; fi
  install -D --mode=644 --target-directory="$root/share/zsh/$zsh" "$shells"/zsh/*
  install -D --mode=644 --target-directory="$root/share/fish/vendor_completions.d" "$shells"/fish/*
  cat <<TEXT
fleet is installed below ${DESTDIR:-}$prefix. What is left to do on a machine:
  systemd-sysusers                           makes the group fleet, which may use the API
  systemctl daemon-reload
  systemctl enable --now fleet.socket fleet.service
The options for /etc/fleet/fleet.conf are in $prefix/share/doc/fleet/fleet.conf.
TEXT
}

case "$*" in
  "") build ;;
  "install "?*) install_to "${@:2}" ;;
  demo) demo ;;
  "demo down") lab down ;;
  *) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
