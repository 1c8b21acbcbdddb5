//! Key files: their passphrases, and what may be wrong with them.

use std::{fs, os::unix::fs::PermissionsExt, sync::Arc};

use fleet_ssh::Hop;

use crate::{
    files, nobody, open, refused,
    support::{Script, Sshd, generate, generate_encrypted},
};

#[tokio::test]
async fn an_encrypted_file_asks_for_its_passphrase() {
    let server = Sshd::start().await;
    for (kind, format) in
        [("ed25519", "RFC4716"), ("rsa", "RFC4716"), ("rsa", "PEM"), ("rsa", "PKCS8")]
    {
        let name = format!("{kind}-{format}");
        let key = generate_encrypted(server.folder.path(), &name, kind, "sesame", format).await;
        server.authorize(&key);
        let hop = Hop { identities: files(&[&key]), ..server.hop() };
        let question = format!("Enter passphrase for key '{}': ", key.display());
        for answers in [&["sesame"][..], &["wrong", "sesame"]] {
            let user = Arc::new(Script::new(answers));
            let opened = open(hop.clone(), &user).await;
            assert!(opened.is_ok(), "{name}: {}\n{}", opened.err().unwrap(), server.log());
            assert_eq!(user.heard(), question.repeat(answers.len()), "{name}");
        }
        let public = key.with_extension("pub");
        fs::rename(&public, public.with_extension("away")).unwrap();
        let opened = open(hop, &Arc::new(Script::new(&["sesame"]))).await;
        assert!(opened.is_ok(), "{name}: {}\n{}", opened.err().unwrap(), server.log());
    }
}

#[tokio::test]
async fn a_passphrase_is_asked_for_three_times_at_most() {
    let server = Sshd::start().await;
    let key = generate_encrypted(server.folder.path(), "key", "ed25519", "sesame", "RFC4716").await;
    server.authorize(&key);
    let hop = Hop { identities: files(&[&key]), ..server.hop() };
    for (answers, asked, why) in [
        (&["a", "b", "c", "sesame"][..], 3, "wrong passphrase"),
        (&[""], 1, "no passphrase given"),
        (&[], 1, "it is encrypted, and there is no passphrase"),
    ] {
        let user = Arc::new(Script::new(answers));
        let error = refused(hop.clone(), &user).await;
        assert_eq!(user.heard().matches("Enter passphrase").count(), asked, "{error}");
        assert!(error.contains(&format!("key file {}: {why}", key.display())), "{error}");
    }
}

#[tokio::test]
async fn nobody_is_asked_about_a_key_that_the_server_would_refuse() {
    let server = Sshd::start().await;
    let wrong =
        generate_encrypted(server.folder.path(), "wrong", "ed25519", "sesame", "RFC4716").await;
    let user = Arc::new(Script::new(&["sesame"]));
    let error = refused(Hop { identities: files(&[&wrong]), ..server.hop() }, &user).await;
    assert!(error.contains("wrong: refused"), "{error}");
    assert_eq!(user.heard(), "");
}

#[tokio::test]
async fn what_is_wrong_with_a_file_is_said() {
    let server = Sshd::start().await;
    let folder = server.folder.path();
    let open_to_all = generate(folder, "open", "ed25519").await;
    fs::set_permissions(&open_to_all, fs::Permissions::from_mode(0o644)).unwrap();
    let garbage = folder.join("garbage");
    fs::write(&garbage, "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n").unwrap();
    fs::set_permissions(&garbage, fs::Permissions::from_mode(0o600)).unwrap();
    let other = generate(folder, "other", "ed25519").await;
    let stale = generate_encrypted(folder, "stale", "rsa", "sesame", "PEM").await;
    fs::copy(other.with_extension("pub"), stale.with_extension("pub")).unwrap();
    server.authorize(&other);
    for (path, why) in [
        (open_to_all, "permissions 0644 are too open"),
        (garbage, "no usable private key: "),
        (folder.join("absent"), "no such file or directory"),
        (folder.to_owned(), "it is no file"),
        (other.with_extension("pub"), "it is a public key"),
        (stale.clone(), &format!("{}.pub belongs to another key", stale.display())),
    ] {
        let user = Arc::new(Script::new(&["sesame"]));
        let error = refused(Hop { identities: files(&[&path]), ..server.hop() }, &user).await;
        assert!(error.contains(&format!("key file {}: {why}", path.display())), "{error}");
    }
}

#[tokio::test]
async fn a_key_that_is_refused_is_said_in_one_line() {
    let server = Sshd::start().await;
    let wrong = generate(server.folder.path(), "wrong", "ed25519").await;
    let hop = Hop { identities: files(&[&wrong]), ..server.hop() };
    assert_eq!(
        refused(hop.clone(), &nobody()).await,
        format!(
            "ssh: handshake failed: ssh: unable to authenticate, attempted methods \
             [none publickey], no supported methods remain (logging in to target {} as {}; \
             tried key file {}: refused)",
            hop.address,
            hop.user,
            wrong.display()
        )
    );
}
