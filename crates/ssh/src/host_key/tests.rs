//! Decisions about hosts, and what the user is told.

use std::{
    fs, io,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use russh::keys::PublicKey;

use super::*;
use crate::known_hosts::fixture::{
    CA, CERT_ANY_HOST, CERT_BY_RSA, CERT_BY_RSA_SHA1, CERT_CRITICAL, CERT_EXPIRED, CERT_FOREVER,
    CERT_GOOD, CERT_USER, DSA, ECDSA, ECDSA_521, ED25519, OTHER, RSA, RSA_CA, certificate, key,
};

/// A user with one answer, who remembers what was told.
struct FakeUser {
    answer: Option<&'static str>,
    heard: Mutex<String>,
}

#[async_trait]
impl Ask for FakeUser {
    async fn line(&self, question: &str) -> io::Result<Option<String>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).push_str(question);
        Ok(self.answer.map(str::to_owned))
    }

    async fn secret(&self, _: &str) -> io::Result<Option<String>> {
        Ok(None)
    }

    fn tell(&self, line: &str) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.push_str(line);
        heard.push('\n');
    }
}

/// A host, by default core-1 at 10.0.0.1, and a file.
struct Case {
    folder: tempfile::TempDir,
    typed: &'static str,
    remote: &'static str,
    checking: Checking,
    answer: Option<&'static str>,
    rules: HostKeyRules,
}

impl Case {
    fn new(file: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("kh"), file).unwrap();
        let (typed, remote) = ("core-1", "10.0.0.1");
        Self {
            folder,
            typed,
            remote,
            checking: Checking::Ask,
            answer: None,
            rules: HostKeyRules::default(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("kh")
    }

    fn file(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    async fn check(&self) -> (Check, Arc<FakeUser>) {
        let user = Arc::new(FakeUser { answer: self.answer, heard: Mutex::default() });
        let address = |text| Address::parse(text, 22).unwrap();
        let files = KnownHosts { files: vec![self.path()] };
        let ask = Arc::<FakeUser>::clone(&user);
        let (typed, remote) = (address(self.typed), address(self.remote));
        let check = Check::load(&typed, &remote, self.checking, &files, &self.rules, ask).await;
        (check.unwrap(), user)
    }

    /// Why the check can't even be prepared.
    async fn load_error(&self) -> String {
        let address = Address::parse("core-1", 22).unwrap();
        let files = KnownHosts { files: vec![self.path()] };
        let user = Arc::new(FakeUser { answer: None, heard: Mutex::default() });
        let check = Check::load(&address, &address, self.checking, &files, &self.rules, user).await;
        check.err().unwrap().to_string()
    }

    /// Decides about `shown`; returns the error, or nothing, and what the user heard.
    async fn decide(&self, shown: PublicKeyOrCertificate) -> (String, String) {
        let (check, user) = self.check().await;
        let error = check.decide(&shown).await.err().map(|cause| cause.to_string());
        let heard = user.heard.lock().unwrap().clone();
        (error.unwrap_or_default(), heard)
    }

    async fn decide_key(&self, line: &str) -> (String, String) {
        self.decide(PublicKey::from(key(line)).into()).await
    }

    async fn decide_certificate(&self, line: &str) -> (String, String) {
        self.decide(certificate(line).into()).await
    }

    async fn offered(&self) -> (String, String) {
        let Offered { keys, certificates } = self.check().await.0.offered().unwrap();
        let keys: Vec<_> = keys.iter().map(ToString::to_string).collect();
        let certificates: Vec<_> =
            certificates.iter().map(|algorithm| algorithm.to_certificate_type()).collect();
        (keys.join(" "), certificates.join(" "))
    }
}

fn silently() -> (String, String) {
    Default::default()
}

const MISMATCH: &str = "ssh: handshake failed: host key mismatch";
const UNAUTHORIZED: &str = "ssh: handshake failed: unauthorized host";
const REVOKED: &str = "ssh: handshake failed: host key revoked";

#[tokio::test]
async fn known_hosts_are_taken_silently() {
    for file in [
        format!("10.0.0.1 {ED25519}"),
        format!("core-1 {ED25519}"),
        format!("core-* {ED25519}"),
        // Whatever else matches.
        format!("10.0.0.1 {OTHER}\n10.0.0.1 {RSA}\ncore-1 {ED25519}\n"),
    ] {
        for checking in [Checking::Ask, Checking::KnownOnly, Checking::AcceptNew] {
            let case = Case { checking, ..Case::new(&file) };
            assert_eq!(case.decide_key(ED25519).await, silently(), "{file}");
            assert_eq!(case.file(), file);
        }
    }
}

#[tokio::test]
async fn ipv6_is_known_with_and_without_brackets() {
    for name in ["::1", "[::1]"] {
        let file = format!("{name} {ED25519}\n");
        let case = Case { typed: "::1", remote: "::1", ..Case::new(&file) };
        assert_eq!(case.decide_key(ED25519).await, silently(), "{name}");
    }
}

#[tokio::test]
async fn an_unknown_host_is_asked_about_and_added() {
    let file = format!("[10.0.0.1]:2222 {ED25519}\n@cert-authority core-2 {CA}\n");
    let case = Case { answer: Some("yes"), ..Case::new(&file) };
    let (error, heard) = case.decide_key(ECDSA).await;
    assert_eq!(error, "");
    assert_eq!(
        heard,
        "The authenticity of host '10.0.0.1' can't be established.\n\
         ECDSA key fingerprint is d7:ab:42:d0:58:06:a2:84:b3:f1:9b:17:8f:bd:9b:93.\n\
         ECDSA key fingerprint is SHA256:Ckt6HmyxWoG2463SzIszIaFPlv60RsHzxa1sZm8ec2Y.\n\
         Are you sure you want to continue connecting (yes/no)? \
         Warning: Permanently added '10.0.0.1' (ECDSA) to the list of known hosts.\n"
    );
    assert_eq!(case.file(), format!("{file}10.0.0.1 {ECDSA}\n"));
    assert_eq!(case.decide_key(ECDSA).await, silently());
}

#[tokio::test]
async fn a_port_is_part_of_the_name() {
    let (typed, remote) = ("core-1:2222", "10.0.0.1:2222");
    let case = Case { typed, remote, answer: Some("y"), ..Case::new(&format!("* {OTHER}\n")) };
    assert_eq!(case.decide_key(ED25519).await.0, MISMATCH);
    fs::write(case.path(), format!("10.0.0.1,core-1 {ED25519}\n")).unwrap();
    let (error, heard) = case.decide_key(ED25519).await;
    assert_eq!(error, "");
    assert!(heard.starts_with("The authenticity of host '[10.0.0.1]:2222' can't"), "{heard}");
    assert!(case.file().ends_with(&format!("\n[10.0.0.1]:2222 {ED25519}\n")));
}

#[tokio::test]
async fn types_have_labels() {
    for (line, label) in [
        (RSA, "RSA key fingerprint is 9c:52:db:49:47:dd:11:95:fe:7a:66:3d:bb:2d:ee:6a."),
        (DSA, "DSA key fingerprint is 69:3d:1e:9f:ff:3f:b9:43:a1:c4:eb:00:b1:82:bc:4d."),
        (ECDSA_521, "ECDSA key fingerprint is f0:d3:dc:90:7e:1d:7a:46:61:0f:60:1f:6c:a6:10:e2."),
        (
            ED25519,
            "ssh-ed25519 key fingerprint is 1a:14:97:fd:3a:73:1f:0d:94:f4:a0:91:2b:ac:8f:43.",
        ),
    ] {
        let (_, heard) = Case::new("").decide_key(line).await;
        assert_eq!(heard.lines().nth(1), Some(label));
    }
}

#[tokio::test]
async fn only_yes_is_yes() {
    for answer in ["yes", "y", " yes ", "YES", "Y", "yes please", "\tyes\r"] {
        let case = Case { answer: Some(answer), ..Case::new("") };
        assert_eq!(case.decide_key(ED25519).await.0, "", "{answer}");
        assert_eq!(case.file(), format!("10.0.0.1 {ED25519}\n"));
    }
    for answer in [None, Some(""), Some(" "), Some("no"), Some("yess"), Some("ye"), Some("no yes")]
    {
        let case = Case { answer, ..Case::new("") };
        let (error, heard) = case.decide_key(ED25519).await;
        assert_eq!(error, UNAUTHORIZED, "{answer:?}");
        assert!(heard.ends_with("(yes/no)? Host key verification failed.\n"), "{heard}");
        assert_eq!(case.file(), "");
    }
}

#[tokio::test]
async fn a_host_that_cannot_be_added_is_connected_to() {
    let case = Case { answer: Some("yes"), ..Case::new("") };
    let (mut check, user) = case.check().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file/kh");
    fs::write(folder.path().join("file"), "").unwrap();
    check.files = KnownHosts { files: vec![path.clone()] };
    check.decide(&PublicKey::from(key(ED25519)).into()).await.unwrap();
    let told = format!(
        "(yes/no)? Failed to add the host to the list of known hosts ({}).\n",
        path.display()
    );
    assert!(user.heard.lock().unwrap().ends_with(&told));
}

#[tokio::test]
async fn a_changed_key_is_refused() {
    for checking in [Checking::Ask, Checking::KnownOnly, Checking::AcceptNew] {
        let file = format!("core-1,10.0.0.1 {RSA}\n");
        let case = Case { checking, answer: Some("yes"), ..Case::new(&file) };
        let (error, heard) = case.decide_key(ECDSA).await;
        assert_eq!(error, MISMATCH);
        let rule = "@".repeat(59);
        let path = case.path();
        assert_eq!(
            heard,
            format!(
                "{rule}\n\
                 @    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n\
                 {rule}\n\
                 IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!\n\
                 Someone could be eavesdropping on you right now (man-in-the-middle attack)!\n\
                 It is also possible that a host key has just been changed.\n\
                 The fingerprint for the ECDSA key sent by the remote host is\n\
                 d7:ab:42:d0:58:06:a2:84:b3:f1:9b:17:8f:bd:9b:93.\n\
                 Please contact your system administrator.\n\
                 Add correct host key in {} to get rid of this message.\n\
                 Host key verification failed.\n",
                path.display()
            )
        );
        assert_eq!(case.file(), file);
    }
}

#[tokio::test]
async fn a_host_whose_name_is_known_by_another_key_is_refused_too() {
    let case = Case { answer: Some("yes"), ..Case::new(&format!("core-1 {OTHER}\n")) };
    assert_eq!(case.decide_key(ED25519).await.0, MISMATCH);
}

#[tokio::test]
async fn revoked_keys_are_refused_even_if_they_are_known() {
    for file in [
        format!("* {ED25519}\n@revoked * {ED25519}\n"),
        format!("@revoked core-1 {ED25519}\ncore-1 {ED25519}\n"),
        format!("@revoked 10.0.0.1 {ED25519}\n"),
        format!("@revoked Core-1 {ED25519}\ncore-1 {ED25519}\n"),
    ] {
        for port in [("core-1", "10.0.0.1"), ("core-1:2222", "10.0.0.1:2222")] {
            let (typed, remote) = port;
            let case = Case { typed, remote, answer: Some("yes"), ..Case::new(&file) };
            let (error, heard) = case.decide_key(ED25519).await;
            assert_eq!(error, REVOKED, "{file}");
            assert!(heard.contains("REVOKED HOST KEY DETECTED!"), "{heard}");
            let line = if file.starts_with('*') { 2 } else { 1 };
            let place = format!("\nin {}:{line}. ", case.path().display());
            assert!(heard.contains(&place), "{heard}");
            assert!(heard.ends_with("Host key verification failed.\n"), "{heard}");
            assert!(heard.lines().take(3).all(|line| line.len() == 59), "{heard}");
        }
    }
    let case = Case::new(&format!("@revoked * {OTHER}\ncore-1 {ED25519}\n"));
    assert_eq!(case.decide_key(ED25519).await, silently());
}

#[tokio::test]
async fn nothing_is_checked_with_checking_off() {
    let file = format!("core-1 {OTHER}\n@revoked * {ED25519}\n");
    let case = Case { checking: Checking::Off, ..Case::new(&file) };
    assert_eq!(case.decide_key(ED25519).await, silently());
    assert_eq!(case.file(), file);
    fs::remove_file(case.path()).unwrap();
    fs::create_dir(case.path()).unwrap();
    assert_eq!(case.decide_key(ED25519).await, silently());
}

#[tokio::test]
async fn where_any_key_is_taken_one_that_has_changed_or_is_revoked_is_told_of() {
    for (file, warning) in [
        (String::new(), None),
        (format!("core-1 {ED25519}\n"), None),
        (format!("core-1 {OTHER}\n"), Some("is not the one in KH")),
        (format!("core-1 {ED25519}\n@revoked * {ED25519}\n"), Some("is revoked in KH:2")),
    ] {
        let case = Case { checking: Checking::Warn, ..Case::new(&file) };
        let path = case.path().display().to_string();
        let warning = warning.map(|what| {
            format!(
                "Warning: the ssh-ed25519 host key of '10.0.0.1' {}. StrictHostKeyChecking no \
                 takes it all the same.\n",
                what.replace("KH", &path)
            )
        });
        let expected = (String::new(), warning.unwrap_or_default());
        assert_eq!(case.decide_key(ED25519).await, expected, "{file}");
        assert_eq!(case.file(), file);
    }
    let case = Case { checking: Checking::Warn, ..Case::new(&format!("core-1 {ED25519}\n")) };
    let keys = "ssh-ed25519 ecdsa-sha2-nistp256 ecdsa-sha2-nistp384 ecdsa-sha2-nistp521 \
                rsa-sha2-512 rsa-sha2-256 ssh-rsa";
    assert_eq!(case.offered().await, (keys.to_owned(), String::new()));
}

#[tokio::test]
async fn unknown_hosts_are_refused_where_all_must_be_known() {
    let (checking, answer) = (Checking::KnownOnly, Some("yes"));
    let case = Case { checking, answer, ..Case::new("") };
    let (error, heard) = case.decide_key(RSA).await;
    assert_eq!(error, UNAUTHORIZED);
    assert_eq!(
        heard,
        "No RSA host key is known for '10.0.0.1' and you have requested strict checking.\n\
         Host key verification failed.\n"
    );
    assert_eq!(case.file(), "");
}

#[tokio::test]
async fn new_hosts_can_be_added_without_asking() {
    let case = Case { checking: Checking::AcceptNew, ..Case::new("") };
    let (error, heard) = case.decide_key(RSA).await;
    assert_eq!(error, "");
    assert_eq!(heard, "Warning: Permanently added '10.0.0.1' (RSA) to the list of known hosts.\n");
    assert_eq!(case.file(), format!("10.0.0.1 {RSA}\n"));
}

#[tokio::test]
async fn an_authority_vouches_for_hosts() {
    for (file, line) in [
        (format!("@cert-authority * {CA}\n"), CERT_FOREVER),
        (format!("@cert-authority core-1 {CA}\n"), CERT_ANY_HOST),
        (format!("@cert-authority core-* {RSA_CA}\n"), CERT_BY_RSA),
        // Another key of the host doesn't matter.
        (format!("core-1 {OTHER}\n@cert-authority core-1 {CA}\n"), CERT_FOREVER),
        // A certificate may be known itself.
        (format!("core-1 {CERT_EXPIRED}\n"), CERT_EXPIRED),
    ] {
        let case = Case { checking: Checking::KnownOnly, ..Case::new(&file) };
        assert_eq!(case.decide_certificate(line).await, silently(), "{file}");
    }
    // The port is in neither.
    let file = format!("@cert-authority core-1 {CA}\n");
    let (typed, remote) = ("core-1:2222", "10.0.0.1:2222");
    let case = Case { typed, remote, ..Case::new(&file) };
    assert_eq!(case.decide_certificate(CERT_FOREVER).await, silently());
}

#[tokio::test]
async fn certificates_that_are_no_good_count_as_their_key() {
    for (file, line, reason) in [
        (format!("@cert-authority * {CA}"), CERT_EXPIRED, "Certificate invalid: expired\n"),
        (
            format!("@cert-authority * {CA}"),
            CERT_USER,
            "Certificate invalid: not a host certificate\n",
        ),
        (format!("@cert-authority * {RSA_CA}"), CERT_FOREVER, ""),
        (format!("@cert-authority other {CA}"), CERT_FOREVER, ""),
        (format!("core-1 {CA}"), CERT_FOREVER, ""),
    ] {
        let known = Case::new(&format!("{file}\ncore-1 {ED25519}\n"));
        assert_eq!(known.decide_certificate(line).await, (String::new(), reason.to_owned()));
        let file = file.replace("core-1", "core-2");
        let unknown = Case { checking: Checking::KnownOnly, ..Case::new(&file) };
        let (error, heard) = unknown.decide_certificate(line).await;
        assert_eq!(error, UNAUTHORIZED, "{file}");
        assert!(heard.starts_with(&format!("{reason}No ssh-ed25519 host key is known")), "{heard}");
    }
    // What is typed counts, as in OpenSSH.
    let case = Case { typed: "10.0.0.1", ..Case::new(&format!("@cert-authority * {CA}\n")) };
    let (error, heard) = case.decide_certificate(CERT_FOREVER).await;
    assert_eq!(error, UNAUTHORIZED);
    assert!(heard.starts_with("Certificate invalid: name is not a listed principal\n"), "{heard}");
}

#[tokio::test]
async fn a_revoked_authority_vouches_for_nobody() {
    for revoked in [CA, ED25519, CERT_FOREVER] {
        let file = format!("@cert-authority * {CA}\n@revoked * {revoked}\ncore-1 {ED25519}\n");
        assert_eq!(Case::new(&file).decide_certificate(CERT_FOREVER).await.0, REVOKED);
    }
}

#[test]
fn certificates_are_judged() {
    const IN_2026: u64 = 1_767_225_600;
    const IN_2027: u64 = 1_798_761_600;
    for (line, principal, now, expected) in [
        (CERT_GOOD, "core-1", IN_2026, None),
        (CERT_GOOD, "10.0.0.1", IN_2027 - 1, None),
        (CERT_GOOD, "core-1", IN_2026 - 1, Some("Certificate invalid: not yet valid")),
        (CERT_GOOD, "core-1", IN_2027, Some("Certificate invalid: expired")),
        (CERT_GOOD, "core", IN_2026, Some("Certificate invalid: name is not a listed principal")),
        (CERT_FOREVER, "core-1", 0, None),
        (CERT_ANY_HOST, "whatever", IN_2026, None),
        (CERT_USER, "core-1", IN_2026, Some("Certificate invalid: not a host certificate")),
        (
            CERT_CRITICAL,
            "core-1",
            IN_2026,
            Some("Certificate contains unsupported critical options"),
        ),
        (CERT_BY_RSA, "core-1", IN_2026, None),
        (CERT_BY_RSA_SHA1, "core-1", IN_2026, Some("Certificate signed with disallowed algorithm")),
    ] {
        let result = certificate::check(&certificate(line), principal, now);
        assert_eq!(result.err(), expected, "{principal} at {now}");
    }
}

#[test]
fn a_forged_certificate_is_found_out() {
    let mut blob = certificate(CERT_FOREVER).to_bytes().unwrap();
    *blob.last_mut().unwrap() ^= 1;
    let forged = Certificate::from_bytes(&blob).unwrap();
    let error = certificate::check(&forged, "core-1", 0).unwrap_err();
    assert_eq!(error, "Certificate invalid: wrong signature");
}

const ALL: &str = "ecdsa-sha2-nistp256 ecdsa-sha2-nistp384 ecdsa-sha2-nistp521 rsa-sha2-512 \
                   rsa-sha2-256 ssh-rsa ssh-ed25519";

#[tokio::test]
async fn the_types_of_known_keys_are_offered_in_their_order() {
    for (file, keys) in [
        (String::new(), ALL),
        (format!("core-2 {RSA}\n@revoked * {ED25519}\n"), ALL),
        (format!("core-1 {ED25519}\n10.0.0.1 {ECDSA}\n"), "ssh-ed25519 ecdsa-sha2-nistp256"),
        (format!("10.0.0.1 {ECDSA_521}\n"), "ecdsa-sha2-nistp521"),
        (
            format!("* {RSA}\ncore-* {ED25519}\ncore-1 {RSA}\n"),
            "rsa-sha2-512 rsa-sha2-256 ssh-rsa ssh-ed25519",
        ),
        (format!("core-1 {DSA}\n"), "ssh-dss"),
    ] {
        assert_eq!(Case::new(&file).offered().await, (keys.to_owned(), String::new()), "{file}");
    }
}

#[tokio::test]
async fn certificates_are_offered_where_they_can_be_judged() {
    let all = "rsa-sha2-512-cert-v01@openssh.com rsa-sha2-256-cert-v01@openssh.com \
               ssh-rsa-cert-v01@openssh.com ecdsa-sha2-nistp256-cert-v01@openssh.com \
               ecdsa-sha2-nistp384-cert-v01@openssh.com ecdsa-sha2-nistp521-cert-v01@openssh.com \
               ssh-ed25519-cert-v01@openssh.com";
    for (file, keys, certificates) in [
        (format!("@cert-authority * {CA}\n"), ALL, all),
        (format!("@cert-authority * {CA}\ncore-1 {RSA}"), "rsa-sha2-512 rsa-sha2-256 ssh-rsa", all),
        (format!("@cert-authority core-2 {CA}\n"), ALL, ""),
        (format!("core-1 {CERT_FOREVER}\n"), "", "ssh-ed25519-cert-v01@openssh.com"),
    ] {
        let offered = Case::new(&file).offered().await;
        assert_eq!(offered, (keys.to_owned(), certificates.to_owned()), "{file}");
    }
}

#[tokio::test]
async fn a_host_without_a_key_of_a_known_type_has_changed() {
    let case = Case::new(&format!("core-1 {RSA}\n"));
    let (check, user) = case.check().await;
    let (ours, theirs) = (["ssh-rsa".to_owned()], ["ssh-ed25519".to_owned()]);
    let error = check.no_common_type(&ours, &theirs).to_string();
    let expected = "ssh: handshake failed: ssh: no common algorithm for host key; client offered: \
                    [ssh-rsa], server offered: [ssh-ed25519]";
    assert_eq!(error, expected);
    let heard = user.heard.lock().unwrap().clone();
    let warning = "\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n";
    assert!(heard.contains(warning), "{heard}");
    assert!(heard.contains("has no key of a type it is known by (ssh-rsa).\n"), "{heard}");
    assert!(heard.contains("The types it has are ssh-ed25519.\n"), "{heard}");
    assert!(heard.ends_with("Host key verification failed.\n"), "{heard}");

    let (check, user) = Case::new("").check().await;
    assert_eq!(check.no_common_type(&ours, &theirs).to_string(), expected);
    assert_eq!(*user.heard.lock().unwrap(), "");
}

#[tokio::test]
async fn names_of_types_do_nothing_to_the_terminal() {
    let case = Case::new("");
    let (check, _) = case.check().await;
    let theirs = ["ssh-\x1b[2Jdss".to_owned()];
    assert!(check.no_common_type(&[], &theirs).to_string().ends_with("offered: [ssh-[2Jdss]"));
}

/// A host with this list of revoked keys.
fn with_revoked(case: Case, list: &str) -> Case {
    let path = case.folder.path().join("revoked");
    fs::write(&path, list).unwrap();
    let rules = HostKeyRules { revoked: vec![path], ..HostKeyRules::default() };
    Case { rules, ..case }
}

#[tokio::test]
async fn listed_keys_are_refused_whatever_is_checked() {
    let known = format!("core-1 {ED25519}\n@cert-authority * {CA}\n");
    for checking in [Checking::Off, Checking::Warn, Checking::Ask, Checking::AcceptNew] {
        for list in [ED25519, CERT_GOOD, &format!("# one\n\n{RSA} name\n {ED25519} other")] {
            let case = with_revoked(Case { checking, ..Case::new(&known) }, list);
            let (error, heard) = case.decide_key(ED25519).await;
            assert_eq!(error, REVOKED, "{list}");
            let path = case.folder.path().join("revoked");
            assert!(heard.contains(&format!("in {}. This", path.display())), "{heard}");
            assert_eq!(case.decide_certificate(CERT_FOREVER).await.0, REVOKED, "{list}");
        }
    }
    let case = with_revoked(Case::new(&known), CA);
    assert_eq!(case.decide_certificate(CERT_FOREVER).await.0, REVOKED);
    assert_eq!(case.decide_key(ED25519).await, silently());
    let strange = "ssh-new AAAAB3NzaC1uZXcAAAABeA==";
    let case = with_revoked(Case::new(&known), &format!("{strange}\n{OTHER}"));
    assert_eq!(case.decide_key(ED25519).await, silently());
}

#[tokio::test]
async fn without_its_list_of_revoked_keys_no_host_is_trusted() {
    for (list, reason) in [
        ("SSHKRL\n\0\0\0\0\u{1}", "it is a key revocation list (KRL)"),
        ("\nssh-ed25519 AAAA=BB", "line 2: no public key"),
        ("ssh-ed25519", "line 1: no public key"),
    ] {
        let case = with_revoked(Case::new(""), list);
        let error = case.load_error().await;
        let path = case.folder.path().join("revoked");
        let expected = format!("can't read RevokedHostKeys {}: {reason}", path.display());
        assert!(error.starts_with(&expected), "{error}");
    }
    let case = with_revoked(Case::new(""), "");
    fs::remove_file(case.folder.path().join("revoked")).unwrap();
    assert!(case.load_error().await.ends_with("/revoked: no such file or directory"));
    nix::unistd::mkfifo(&case.folder.path().join("revoked"), nix::sys::stat::Mode::S_IRUSR)
        .unwrap();
    assert!(case.load_error().await.ends_with("/revoked: not a regular file"));
}

#[tokio::test]
async fn files_for_all_users_are_read_and_never_written() {
    let mut case = Case { answer: Some("yes"), ..Case::new("") };
    let global = case.folder.path().join("global");
    fs::write(&global, format!("core-1 {ED25519}\n")).unwrap();
    case.rules.known_hosts = vec![global.clone()];
    assert_eq!(case.decide_key(ED25519).await, silently());
    assert_eq!(case.decide_key(OTHER).await.0, MISMATCH);
    fs::write(&global, "").unwrap();
    assert_eq!(case.decide_key(ED25519).await.0, "");
    assert_eq!(fs::read_to_string(global).unwrap(), "");
    assert!(case.file().starts_with("10.0.0.1 ssh-ed25519 "));
}

#[tokio::test]
async fn types_that_the_configuration_rules_out_are_not_offered() {
    let authority = format!("@cert-authority * {CA}\n");
    let both = format!("core-1 {ED25519}\ncore-1 {ECDSA}\n");
    let refused = "config: line 1: HostKeyAlgorithms leaves no type of key that 10.0.0.1 may show \
                   here";
    for (file, value, expected) in [
        ("", "ssh-ed25519,ecdsa-sha2-nistp256", "ssh-ed25519 ecdsa-sha2-nistp256"),
        ("", "rsa-sha2-256,sk-ssh-ed25519@openssh.com", "rsa-sha2-256"),
        ("", "+ssh-rsa", ALL),
        ("", "-ecdsa-*,ssh-rsa", "rsa-sha2-512 rsa-sha2-256 ssh-ed25519"),
        ("", "^ssh-ed25519", &*format!("ssh-ed25519 {}", ALL.replace(" ssh-ed25519", ""))),
        ("", "ssh-dss", refused),
        (&both, "ssh-ed25519", "ssh-ed25519"),
        (&both, "-ssh-ed25519", "ecdsa-sha2-nistp256"),
        (&both, "^ecdsa-*", "ecdsa-sha2-nistp256 ssh-ed25519"),
        (&both, "+ssh-rsa", "ssh-ed25519 ecdsa-sha2-nistp256"),
        (&both, "rsa-sha2-512", refused),
        (&authority, "ssh-ed25519-cert-v01@openssh.com", "ssh-ed25519-cert-v01@openssh.com"),
        (&authority, "ssh-ed25519", "ssh-ed25519"),
    ] {
        let mut case = Case::new(file);
        let algorithms = HostKeyAlgorithms::parse(value, "config: line 1").unwrap();
        case.rules.algorithms = Some(algorithms);
        let offered = match case.check().await.0.offered() {
            Ok(Offered { keys, certificates }) => {
                let certificates = certificates.iter().map(|one| one.to_certificate_type());
                let keys = keys.iter().map(ToString::to_string);
                certificates.chain(keys).collect::<Vec<_>>().join(" ")
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(offered, expected, "{value} for\n{file}");
    }
}

#[tokio::test]
async fn a_host_whose_known_type_is_ruled_out_has_not_changed() {
    let mut case = Case::new(&format!("core-1 {ED25519}\ncore-1 {ECDSA}\n"));
    case.rules.algorithms = Some(HostKeyAlgorithms::parse("ecdsa-*", "config: line 1").unwrap());
    let (check, user) = case.check().await;
    let (ours, theirs) = (["ecdsa-sha2-nistp256".to_owned()], ["ssh-ed25519".to_owned()]);
    check.no_common_type(&ours, &theirs);
    assert_eq!(*user.heard.lock().unwrap(), "");
    check.no_common_type(&ours, &["ssh-rsa".to_owned()]);
    assert!(user.heard.lock().unwrap().contains("HAS CHANGED"));
}
