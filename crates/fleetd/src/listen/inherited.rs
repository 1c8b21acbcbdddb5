//! The descriptors that systemd passed (`api.md` 1.1).
//!
//! None that is refused is closed: what `LISTEN_FDS` counts and nobody passed may be one of ours.

use std::{
    env, fs, io,
    net::TcpListener as StdTcpListener,
    os::{
        fd::{AsRawFd as _, IntoRawFd as _, OwnedFd},
        unix::net::UnixListener as StdUnixListener,
    },
    process,
};

use fleet_api::Listener;
use fleet_core::error_text::plain;
use listenfd::ListenFd;
use nix::sys::socket::{
    AddressFamily, SockType, SockaddrLike as _, SockaddrStorage, getsockname, getsockopt, sockopt,
};
use tokio::net::{TcpListener, UnixListener};
use tracing::warn;

/// The first one.
const FIRST: usize = 3;

/// More than anybody passes, and few enough to look at each.
const MOST: usize = 1024;

/// Sockets to look at; the library gives a descriptor to who knows what it is. IPv6 counts as IPv4.
const SOCKETS: [(AddressFamily, SockType); 5] = [
    (AddressFamily::Unix, SockType::Stream),
    (AddressFamily::Inet, SockType::Stream),
    (AddressFamily::Inet, SockType::Datagram),
    (AddressFamily::Unix, SockType::Datagram),
    (AddressFamily::Unix, SockType::SeqPacket),
];

/// Takes over the sockets that were passed and can be served, and warns of all others. `None` when
/// none was passed.
pub(super) fn listeners() -> Option<Vec<Listener>> {
    let announced = announced(|name| env::var(name).ok(), process::id())?;
    if announced > MOST {
        warn!("LISTEN_FDS={announced} is more than {MOST}, no inherited fd is served");
        return Some(Vec::new());
    }
    // Marks them as to be closed in programs that are started.
    if let Err(error) = sd_notify::listen_fds() {
        warn!("LISTEN_FDS={announced}, but not that many are open: {}", plain(&error));
    }
    let mut passed = ListenFd::from_env();
    let taken = (0..announced).filter_map(|index| match take(&mut passed, index) {
        Ok(listener) => Some(listener),
        Err(kind) => {
            warn!("inherited fd {} is {kind}, skipping it", FIRST + index);
            None
        }
    });
    Some(taken.collect())
}

/// How many descriptors were passed to this process; `None` for none (`api.md` 1.1).
fn announced(environment: impl Fn(&str) -> Option<String>, pid: u32) -> Option<usize> {
    let number = |name| environment(name)?.parse::<usize>().ok();
    let to = number("LISTEN_PID")?;
    let count = number("LISTEN_FDS").filter(|count| *count > 0)?;
    (u32::try_from(to) == Ok(pid)).then_some(count)
}

/// Takes one that can be served, or says what it is.
fn take(passed: &mut ListenFd, index: usize) -> Result<Listener, String> {
    let socket = SOCKETS.iter().find_map(|&(family, kind)| {
        passed.take_custom::<OwnedFd>(index, family as i32, kind as i32, "").ok().flatten()
    });
    let Some(socket) = socket else {
        return Err(match fs::read_link(format!("/proc/self/fd/{}", FIRST + index)) {
            Ok(target) => format!("no socket that can be served but {}", target.display()),
            Err(error) => format!("unknown ({})", plain(&error)),
        });
    };
    match kind(&socket) {
        Ok(Kind::Unix) => unix(socket).map(Listener::from),
        Ok(Kind::Tcp) => tcp(socket).map(Listener::from),
        Ok(Kind::Other(other)) => {
            let _ = socket.into_raw_fd(); // see above
            return Err(other);
        }
        Err(error) => Err(error),
    }
    .map_err(|error| format!("a socket that can't be served ({})", plain(&error)))
}

/// What a socket is to us.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// A listening unix stream socket.
    Unix,
    /// A listening TCP socket.
    Tcp,
    /// Something else, in words.
    Other(String),
}

fn kind(socket: &OwnedFd) -> io::Result<Kind> {
    let family = getsockname::<SockaddrStorage>(socket.as_raw_fd())?.family();
    let form = getsockopt(socket, sockopt::SockType)?;
    let listens = getsockopt(socket, sockopt::AcceptConn)?;
    use AddressFamily::{Inet, Inet6, Unix};
    Ok(match (family, form, listens) {
        (Some(Unix), SockType::Stream, true) => Kind::Unix,
        (Some(Inet | Inet6), SockType::Stream, true) => Kind::Tcp,
        (Some(Unix), SockType::Stream, false) => other("a unix stream socket that does not listen"),
        (Some(Inet | Inet6), SockType::Stream, false) => other("a TCP socket that does not listen"),
        (Some(Inet | Inet6), SockType::Datagram, _) => other("a UDP socket"),
        (Some(family), form, _) => {
            other(&format!("a socket of another kind ({family:?}, {form:?})"))
        }
        (None, form, _) => other(&format!("a socket of an unknown family ({form:?})")),
    })
}

fn other(kind: &str) -> Kind {
    Kind::Other(kind.to_owned())
}

fn unix(socket: OwnedFd) -> io::Result<UnixListener> {
    let listener = StdUnixListener::from(socket);
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

fn tcp(socket: OwnedFd) -> io::Result<TcpListener> {
    let listener = StdTcpListener::from(socket);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

#[cfg(test)]
mod tests {
    use std::{
        net::UdpSocket,
        os::unix::net::{UnixDatagram, UnixStream},
    };

    use nix::sys::socket::{self, Backlog, SockFlag};

    use super::*;

    #[test]
    fn descriptors_are_for_the_process_that_is_named() {
        for (pid, fds, expected) in [
            (Some("7"), Some("2"), Some(2)),
            (Some("7"), Some("999999999"), Some(999_999_999)),
            (Some("8"), Some("2"), None),
            (None, Some("2"), None),
            (Some(""), Some("2"), None),
            (Some("4294967303"), Some("2"), None),
            (Some("7"), None, None),
            (Some("7"), Some("0"), None),
            (Some("7"), Some("-1"), None),
            (Some("7"), Some("x"), None),
        ] {
            let variable = |name: &str| if name == "LISTEN_PID" { pid } else { fds };
            let found = announced(|name| variable(name).map(str::to_owned), 7);
            assert_eq!(found, expected, "{pid:?} {fds:?}");
        }
    }

    #[test]
    fn only_listening_stream_sockets_are_served() {
        let folder = tempfile::tempdir().unwrap();
        let unix = StdUnixListener::bind(folder.path().join("a.sock")).unwrap();
        assert_eq!(kind(&unix.into()).unwrap(), Kind::Unix);
        for address in ["127.0.0.1:0", "[::1]:0"] {
            // There may be no IPv6 here.
            if let Ok(tcp) = StdTcpListener::bind(address) {
                assert_eq!(kind(&tcp.into()).unwrap(), Kind::Tcp);
            }
        }
        let (one, _) = UnixStream::pair().unwrap();
        let (datagram, _) = UnixDatagram::pair().unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let new = |family, form| socket::socket(family, form, SockFlag::empty(), None).unwrap();
        let packets = new(AddressFamily::Unix, SockType::SeqPacket);
        let path = folder.path().join("packets.sock");
        socket::bind(packets.as_raw_fd(), &socket::UnixAddr::new(&path).unwrap()).unwrap();
        socket::listen(&packets, Backlog::new(1).unwrap()).unwrap();
        for (socket, expected) in [
            (one.into(), "a unix stream socket that does not listen"),
            (
                new(AddressFamily::Unix, SockType::Stream),
                "a unix stream socket that does not listen",
            ),
            (new(AddressFamily::Inet, SockType::Stream), "a TCP socket that does not listen"),
            (udp.into(), "a UDP socket"),
            (datagram.into(), "a socket of another kind (Unix, Datagram)"),
            (packets, "a socket of another kind (Unix, SeqPacket)"),
        ] {
            assert_eq!(kind(&socket).unwrap(), Kind::Other(expected.to_owned()));
        }
        assert!(kind(&fs::File::open("/dev/null").unwrap().into()).is_err());
    }

    /// Set in the process that is passed descriptors.
    const PASSED: &str = "FLEET_TEST_PASSED";

    /// Passes a socket and a file, and says that there is one more, to the test named.
    const PASS: &str = "exec 3<&0 4</dev/null 0</dev/null
        LISTEN_PID=$$ LISTEN_FDS=3 exec \"$0\" --exact \"$1\"";

    /// Runs itself in another process: descriptors are passed at a process's start.
    #[tokio::test]
    async fn what_can_be_served_of_what_is_passed_is_taken_over() {
        if env::var_os(PASSED).is_some() {
            return one_socket_of_three_descriptors_is_served();
        }
        let folder = tempfile::tempdir().unwrap();
        let listener = StdUnixListener::bind(folder.path().join("a.sock")).unwrap();
        let child = process::Command::new("sh")
            .args(["-c", PASS])
            .arg(env::current_exe().unwrap())
            .arg("listen::inherited::tests::what_can_be_served_of_what_is_passed_is_taken_over")
            .env(PASSED, "")
            .stdin(OwnedFd::from(listener))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success() && said.contains("1 passed"), "{said}");
    }

    fn one_socket_of_three_descriptors_is_served() {
        let served = listeners().unwrap();
        assert!(matches!(served.as_slice(), [Listener::Unix(_)]), "{served:?}");
        for fd in [3, 4] {
            let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
            let flags = i32::from_str_radix(flags.trim(), 8).unwrap();
            assert_ne!(flags & 0o2_000_000, 0, "{fd} is open in programs that are started");
        }
    }
}
