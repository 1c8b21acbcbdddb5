# Debian packages that a build, a test or a lab needs. Sourced by build.sh and test.sh.
#
# A need is a file or a command, and the package that has it: what counts is that it is there,
# not where it came from.

# The commands live there also for those whose PATH doesn't say so.
PATH=$PATH:/usr/sbin:/sbin
[ -d "${HOME:-/root}/.cargo/bin" ] && PATH=$PATH:${HOME:-/root}/.cargo/bin

build_needs='cc:gcc protoc:protobuf-compiler /usr/include/google/protobuf/empty.proto:libprotobuf-dev'
# For the tests without a lab: a real etcd, and OpenSSH on the other end.
test_needs='etcd:etcd-server sshd:openssh-server ssh:openssh-client ssh-agent:openssh-client
  ssh-add:openssh-client ssh-keygen:openssh-client setsid:util-linux /usr/bin/kill:procps'
lab_needs='etcd:etcd-server systemd-nspawn:systemd-container
  /usr/lib/systemd/systemd:systemd /usr/lib/systemd/system/dbus.service:dbus
  dbus-daemon:dbus sshd:openssh-server ssh-keygen:openssh-client ip:iproute2
  nft:nftables nsenter:util-linux journalctl:systemd /usr/lib/polkit-1/polkitd:polkitd
  /usr/lib/systemd/user/dbus.socket:dbus-user-session'
# For a lab on another release of Debian than the machine's, made by debootstrap.
release_needs='debootstrap:debootstrap'

# Prints the packages that are missing for the needs in its arguments, one a line.
missing_packages() {
  for need in "$@"; do
    case ${need%%:*} in
      /*) [ -e "${need%%:*}" ] ;;
      *) command -v "${need%%:*}" >/dev/null ;;
    esac || echo "${need#*:}"
  done | sort -u
}

# Installs what is missing for the needs in its arguments, or says what it is.
install_missing() {
  packages=$(missing_packages "$@" | tr '\n' ' ')
  [ -n "$packages" ] || return 0
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "missing: $packages" >&2
    echo "(names of Debian's packages; run this as root on Debian, or install them yourself)" >&2
    return 1
  fi
  echo "installing $packages" >&2
  # The lab starts its own etcd and sshd; a machine mustn't begin to serve because of a test.
  quiet=/usr/sbin/policy-rc.d
  if [ -e $quiet ]; then quiet=; else
    printf '#!/bin/sh\nexit 101\n' > $quiet && chmod +x $quiet
  fi
  installed=0
  # shellcheck disable=SC2086 # a list of words
  { apt-get -qq update && DEBIAN_FRONTEND=noninteractive \
      apt-get -qq install --yes --no-install-recommends $packages >/dev/null; } || installed=1
  [ -z "$quiet" ] || rm -f "$quiet"
  case " $packages " in *" etcd-server "*)
    systemctl disable etcd.service >/dev/null 2>&1 || true ;;
  esac
  still=$(missing_packages "$@" | tr '\n' ' ')
  [ $installed = 0 ] && [ -z "$still" ] || { echo "could not install: ${still:-$packages}" >&2; return 1; }
}

# Says what to do where there is no Rust.
need_cargo() {
  command -v cargo >/dev/null && return
  echo "missing: cargo (Rust 1.93 or newer; Debian 12's is too old, see https://rustup.rs)" >&2
  return 1
}
