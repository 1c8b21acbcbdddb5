//! `ssh-agent`.

use std::path::{Path, PathBuf};

use fleet_testkit::eventually;
use tempfile::TempDir;
use tokio::{
    net::UnixStream,
    process::{Child, Command},
};

use super::LIMIT;

/// An agent. Dropped, it ends.
pub struct Agent {
    /// Its socket.
    pub socket: PathBuf,
    _folder: TempDir,
    _process: Child,
}

impl Agent {
    /// Starts an agent without keys.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent");
        let process = Command::new("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .stdout(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("OpenSSH's agent has to be installed");
        let agent = Self { socket, _folder: folder, _process: process };
        // Its socket is there a moment before it listens.
        let listens = async || UnixStream::connect(&agent.socket).await.map(drop);
        eventually("the agent listens", LIMIT, listens).await;
        agent
    }

    /// Starts an agent with `key`, and its certificate if there is one beside it.
    pub async fn with(key: &Path) -> Self {
        let agent = Self::start().await;
        agent.add(key).await;
        agent
    }

    /// Gives it a key, and its certificate if there is one beside it.
    pub async fn add(&self, key: &Path) {
        self.run(&["-q", key.to_str().unwrap()]).await;
    }

    /// Runs `ssh-add` on it.
    pub async fn run(&self, arguments: &[&str]) {
        let output = Command::new("ssh-add")
            .args(arguments)
            .env("SSH_AUTH_SOCK", &self.socket)
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}
