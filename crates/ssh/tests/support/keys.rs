//! Keys, made by `ssh-keygen`.

use std::path::{Path, PathBuf};

use tokio::process::Command;

/// Makes a key of type `ed25519`, `ecdsa` or `rsa` (or `ecdsa-384` and so on, with its bits).
pub async fn generate(folder: &Path, name: &str, kind: &str) -> PathBuf {
    generate_encrypted(folder, name, kind, "", "RFC4716").await
}

/// The same with a passphrase, in a format of `ssh-keygen -m`; `RFC4716` is OpenSSH's own.
pub async fn generate_encrypted(
    folder: &Path,
    name: &str,
    kind: &str,
    passphrase: &str,
    format: &str,
) -> PathBuf {
    let path = folder.join(name);
    let (kind, bits) = match kind.split_once('-') {
        Some(parts) => parts,
        None if kind == "rsa" => (kind, "2048"),
        None => (kind, "256"),
    };
    let like = ["-q", "-t", kind, "-b", bits, "-m", format, "-N", passphrase, "-C", name, "-f"];
    keygen(&like, &path).await;
    path
}

/// Certifies `key` as `user`'s with the authority `ca`: writes `KEY-cert.pub`.
pub async fn certify(ca: &Path, key: &Path, user: &str) {
    let ca = ca.to_str().unwrap();
    keygen(&["-q", "-s", ca, "-I", "test", "-n", user], &key.with_extension("pub")).await;
}

async fn keygen(arguments: &[&str], path: &Path) {
    let output = Command::new("ssh-keygen").args(arguments).arg(path).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
}
