//! Host keys of a real OpenSSH server: which are offered, known, added and refused (`ssh.md` 2.4,
//! 4).

#[path = "../support/mod.rs"]
mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use fleet_ssh::{Ask, Checking, Connection, Hop, HostKeyAlgorithms, KnownHosts, SshError};
use support::{Script, Sshd, generate, route};
use tokio::process::Command;

/// A server, and a file of known hosts.
struct Case {
    sshd: Sshd,
    hop: Hop,
    file: PathBuf,
}

impl Case {
    async fn new(sshd: Sshd, known: &str) -> Self {
        let file = sshd.folder.path().join("known_hosts");
        fs::write(&file, known).unwrap();
        let hop = Hop {
            checking: Checking::Ask,
            known_hosts: KnownHosts { files: vec![file.clone()] },
            ..sshd.hop_with_key().await
        };
        Self { sshd, hop, file }
    }

    /// Connects with a user who gives `answers`; returns what the user heard, too.
    async fn connect(&self, answers: &[&str]) -> (Result<(), SshError>, String) {
        let user = Arc::new(Script::new(answers));
        let ask: Arc<dyn Ask> = Arc::<Script>::clone(&user);
        let result = Connection::open(&route([self.hop.clone()]), ask).await;
        (result.map(|_| ()), user.heard())
    }

    fn name(&self) -> String {
        format!("[127.0.0.1]:{}", self.sshd.port)
    }
}

/// Runs `ssh-keygen`; returns its output.
async fn keygen(arguments: &[&str]) -> String {
    let output = Command::new("ssh-keygen").args(arguments).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Gives the server certificates for its keys, good for `principal`, and returns the line of known
/// hosts for their authority.
async fn certify_host(sshd: &Sshd, kinds: &[&str], principal: &str) -> String {
    let folder = sshd.folder.path();
    let ca = generate(folder, "ca", "ed25519").await;
    let config = folder.join("sshd_config");
    let mut lines = fs::read_to_string(&config).unwrap();
    for kind in kinds {
        let key = folder.join(format!("host_{kind}.pub"));
        let (ca, key) = (ca.to_str().unwrap(), key.to_str().unwrap());
        keygen(&["-q", "-s", ca, "-I", "host", "-h", "-n", principal, key]).await;
        lines += &format!("HostCertificate {}\n", key.replace(".pub", "-cert.pub"));
    }
    fs::write(config, lines).unwrap();
    format!("@cert-authority * {}", public(&ca))
}

fn public(key: &Path) -> String {
    fs::read_to_string(key.with_extension("pub")).unwrap()
}

#[tokio::test]
async fn the_known_type_is_the_one_the_server_is_asked_for() {
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let sshd = Sshd::start().await;
        let known = sshd.known(kind);
        let case = Case::new(sshd, &known).await;
        let (result, heard) = case.connect(&[]).await;
        assert!(result.is_ok(), "{kind}: {result:?}");
        assert_eq!(heard, "", "{kind}");
        assert_eq!(fs::read_to_string(&case.file).unwrap(), known);
    }
}

#[tokio::test]
async fn an_unknown_host_is_recorded_with_its_ecdsa_key_so_that_openssh_finds_it() {
    let case = Case::new(Sshd::start().await, "").await;
    let (result, heard) = case.connect(&["yes"]).await;
    assert!(result.is_ok(), "{result:?}");
    assert!(heard.contains("ECDSA key fingerprint is "), "{heard}");
    let found = keygen(&["-F", &case.name(), "-f", case.file.to_str().unwrap()]).await;
    let key = public(&case.sshd.folder.path().join("host_ecdsa"));
    let key = key.rsplit_once(' ').unwrap().0;
    assert!(found.contains(key), "{found}");

    let (result, heard) = case.connect(&[]).await;
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(heard, "");
}

#[tokio::test]
async fn a_file_that_openssh_hashed_is_still_known() {
    let sshd = Sshd::start().await;
    let known = sshd.known("ed25519");
    let case = Case::new(sshd, &known).await;
    keygen(&["-H", "-f", case.file.to_str().unwrap()]).await;
    assert!(fs::read_to_string(&case.file).unwrap().starts_with("|1|"));
    let (result, heard) = case.connect(&[]).await;
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(heard, "");
}

#[tokio::test]
async fn another_key_of_a_known_type_is_refused() {
    let sshd = Sshd::start().await;
    let other = generate(sshd.folder.path(), "other", "ed25519").await;
    let known = format!("[127.0.0.1]:{} {}", sshd.port, public(&other));
    let case = Case::new(sshd, &known).await;
    let (result, heard) = case.connect(&["yes"]).await;
    let error = result.unwrap_err().to_string();
    assert!(error.starts_with("ssh: handshake failed: host key mismatch"), "{error}");
    assert!(heard.contains("The fingerprint for the ssh-ed25519 key sent"), "{heard}");
}

#[tokio::test]
async fn a_host_that_lost_its_known_type_is_refused() {
    let sshd = Sshd::with_keys(&["ed25519"], &[]).await;
    let rsa = generate(sshd.folder.path(), "old", "rsa").await;
    let known = format!("[127.0.0.1]:{} {}", sshd.port, public(&rsa));
    let case = Case::new(sshd, &known).await;
    let (result, heard) = case.connect(&["yes"]).await;
    let error = result.unwrap_err().to_string();
    assert!(error.contains("ssh: no common algorithm for host key; client offered: ["), "{error}");
    assert!(heard.contains("REMOTE HOST IDENTIFICATION HAS CHANGED!"), "{heard}");
    assert!(heard.contains("The types it has are ssh-ed25519.\n"), "{heard}");
    assert_eq!(fs::read_to_string(&case.file).unwrap(), known);
}

#[tokio::test]
async fn an_authority_vouches_for_keys_of_every_type() {
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let sshd = Sshd::with_keys(&[kind], &[]).await;
        let known = certify_host(&sshd, &[kind], "127.0.0.1").await;
        let case = Case::new(sshd, &known).await;
        let (result, heard) = case.connect(&[]).await;
        assert!(result.is_ok(), "{kind}: {result:?}");
        assert_eq!(heard, "", "{kind}");
    }
}

#[tokio::test]
async fn a_certificate_for_another_host_is_asked_about_as_a_key() {
    let sshd = Sshd::start().await;
    let known = certify_host(&sshd, &["ed25519"], "core-2").await;
    let case = Case::new(sshd, &known).await;
    let (result, heard) = case.connect(&["no"]).await;
    let error = result.unwrap_err().to_string();
    assert!(error.starts_with("ssh: handshake failed: unauthorized host"), "{error}");
    assert!(
        heard.starts_with("Certificate invalid: name is not a listed principal\nThe authenticity"),
        "{heard}"
    );
}

#[tokio::test]
async fn a_key_on_the_list_of_revoked_keys_is_refused() {
    let sshd = Sshd::start().await;
    let (folder, known) = (sshd.folder.path().to_owned(), sshd.known("ed25519"));
    let mut case = Case::new(sshd, &known).await;
    let list = folder.join("revoked");
    case.hop.host_keys.revoked = vec![list.clone()];
    fs::write(&list, public(&folder.join("host_ecdsa"))).unwrap();
    assert!(case.connect(&[]).await.0.is_ok());

    fs::write(&list, public(&folder.join("host_ed25519"))).unwrap();
    for checking in [Checking::Ask, Checking::Off] {
        case.hop.checking = checking;
        case.hop.host_keys.algorithms =
            Some(HostKeyAlgorithms::parse("ssh-ed25519", "config: line 1").unwrap());
        let (result, heard) = case.connect(&["yes"]).await;
        let error = result.unwrap_err().to_string();
        assert!(error.starts_with("ssh: handshake failed: host key revoked"), "{error}");
        assert!(heard.contains(list.to_str().unwrap()), "{heard}");
    }

    let krl = folder.join("krl");
    let key = folder.join("host_ed25519.pub");
    keygen(&["-q", "-k", "-f", krl.to_str().unwrap(), key.to_str().unwrap()]).await;
    case.hop.host_keys.revoked = vec![krl.clone()];
    let error = case.connect(&["yes"]).await.0.unwrap_err().to_string();
    let expected = format!("can't read RevokedHostKeys {}: it is a key revocation", krl.display());
    assert!(error.starts_with(&expected), "{error}");
}

#[tokio::test]
async fn the_server_is_asked_for_the_types_that_the_configuration_lists() {
    let mut case = Case::new(Sshd::with_keys(&["ed25519", "ecdsa"], &[]).await, "").await;
    for (value, label) in [
        ("ssh-ed25519", "ssh-ed25519 key fingerprint"),
        ("^ssh-ed25519", "ssh-ed25519 key fingerprint"),
        ("-ssh-ed25519", "ECDSA key fingerprint"),
    ] {
        let algorithms = HostKeyAlgorithms::parse(value, "config: line 1").unwrap();
        case.hop.host_keys.algorithms = Some(algorithms);
        let (result, heard) = case.connect(&["no"]).await;
        assert!(result.is_err());
        assert!(heard.contains(label), "{value}: {heard}");
    }
    case.hop.host_keys.algorithms =
        Some(HostKeyAlgorithms::parse("rsa-sha2-512", "config: line 1").unwrap());
    let (result, heard) = case.connect(&["yes"]).await;
    let error = result.unwrap_err().to_string();
    assert!(error.contains("client offered: [rsa-sha2-512], server offered"), "{error}");
    assert_eq!(heard, "");
}
