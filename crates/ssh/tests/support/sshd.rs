//! `sshd`, one process for each connection (`sshd -i`), so that no port has to be guessed and
//! every process has an owner.

use std::{
    fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use fleet_ssh::{Address, Checking, Hop, HostKeyRules, Identities, KnownHosts, Role};
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    process::{Child, Command},
    sync::OnceCell,
    task::JoinSet,
};

use super::generate;

/// Its host keys.
const HOST_KEYS: [&str; 3] = ["ed25519", "ecdsa", "rsa"];

/// A server on a free port of loopback. Dropped, it ends with all its connections.
pub struct Sshd {
    /// Its folder: `sshd_config`, `host_ed25519` and so on, `authorized_keys`, `log`.
    pub folder: TempDir,
    /// Its port.
    pub port: u16,
    counts: Arc<Counts>,
    tasks: JoinSet<()>,
}

/// Its connections.
#[derive(Default)]
struct Counts {
    all: AtomicUsize,
    open: AtomicUsize,
}

impl Sshd {
    /// Starts a server with host keys of all types.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Starts a server with further lines in its configuration; they win over the usual ones.
    pub async fn with(lines: &[&str]) -> Self {
        Self::with_keys(&HOST_KEYS, lines).await
    }

    /// Starts a server with these types of host keys only.
    pub async fn with_keys(host_keys: &[&str], lines: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        if user() == "root" {
            // Debian's server wants its empty folder, which its service makes otherwise.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let mut config: String = lines.iter().map(|line| format!("{line}\n")).collect();
        for kind in host_keys {
            let key = host_key(path, kind).await;
            config += &format!("HostKey {}\n", key.display());
        }
        fs::write(path.join("authorized_keys"), "").unwrap();
        config += &format!(
            "AuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPrintMotd no\n\
             PrintLastLog no\nPidFile none\nLogLevel DEBUG1\nMaxSessions 10\n",
            path.join("authorized_keys").display()
        );
        fs::write(path.join("sshd_config"), config).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let counts = Arc::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, path.to_owned(), Arc::clone(&counts)));
        Self { folder, port, counts, tasks }
    }

    /// The way to log in to it as the user who runs the test: nothing to log in with yet, and any
    /// host key is taken.
    pub fn hop(&self) -> Hop {
        Hop {
            role: Role::Target,
            name: "127.0.0.1".into(),
            address: Address { host: "127.0.0.1".into(), port: self.port },
            user: user(),
            checking: Checking::Off,
            known_hosts: KnownHosts { files: Vec::new() },
            host_keys: HostKeyRules::default(),
            identities: Identities::default(),
        }
    }

    /// The same, logging in with a new ed25519 key in its folder.
    pub async fn hop_with_key(&self) -> Hop {
        let key = self.folder.path().join("user_ed25519");
        if !key.exists() {
            generate(self.folder.path(), "user_ed25519", "ed25519").await;
            self.authorize(&key);
        }
        let identities = Identities { files: vec![key], ..Identities::default() };
        Hop { identities, ..self.hop() }
    }

    /// Lets the owner of `key` in; `key.pub` is its public half.
    pub fn authorize(&self, key: &Path) {
        let public = fs::read_to_string(key.with_extension("pub")).unwrap();
        self.authorize_line(&public);
    }

    /// Adds a line to the authorized keys.
    pub fn authorize_line(&self, line: &str) {
        let file = self.folder.path().join("authorized_keys");
        let known = fs::read_to_string(&file).unwrap();
        fs::write(file, format!("{known}{}\n", line.trim_end())).unwrap();
    }

    /// The line of known hosts for it with its host key of this type.
    pub fn known(&self, kind: &str) -> String {
        let path = self.folder.path().join(format!("host_{kind}.pub"));
        format!("[127.0.0.1]:{} {}", self.port, fs::read_to_string(path).unwrap())
    }

    /// How many connections it has had.
    pub fn connections(&self) -> usize {
        self.counts.all.load(Ordering::SeqCst)
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.counts.open.load(Ordering::SeqCst)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// Makes a host key. All servers of a process have the same RSA key, which takes long to find.
async fn host_key(folder: &Path, kind: &str) -> PathBuf {
    static RSA: OnceCell<TempDir> = OnceCell::const_new();
    let name = format!("host_{kind}");
    if kind != "rsa" {
        return generate(folder, &name, kind).await;
    }
    let made = async || {
        let folder = tempfile::tempdir().unwrap();
        generate(folder.path(), "host_rsa", "rsa").await;
        folder
    };
    let from = RSA.get_or_init(made).await.path();
    for file in [name.clone(), format!("{name}.pub")] {
        fs::copy(from.join(&file), folder.join(file)).unwrap();
    }
    folder.join(name)
}

/// The user who runs the test.
fn user() -> String {
    let id = std::process::Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(id.stdout).unwrap().trim().to_owned()
}

async fn serve(listener: TcpListener, folder: PathBuf, counts: Arc<Counts>) {
    let mut sessions = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        counts.all.fetch_add(1, Ordering::SeqCst);
        counts.open.fetch_add(1, Ordering::SeqCst);
        let stream = stream.into_std().unwrap();
        stream.set_nonblocking(false).unwrap();
        let mut session = session(&folder, stream.into());
        let counts = Arc::clone(&counts);
        sessions.spawn(async move {
            session.wait().await.unwrap();
            counts.open.fetch_sub(1, Ordering::SeqCst);
        });
        while sessions.try_join_next().is_some() {}
    }
}

fn session(folder: &Path, stream: OwnedFd) -> Child {
    let log = fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
    Command::new("/usr/sbin/sshd")
        .args(["-i", "-e", "-f"])
        .arg(folder.join("sshd_config"))
        .stdin(Stdio::from(stream.try_clone().unwrap()))
        .stdout(Stdio::from(stream))
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .expect("OpenSSH's server has to be installed")
}
