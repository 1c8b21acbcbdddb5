//! Files of known hosts, read and added to.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

use proptest::prelude::*;

use crate::Address;

use super::{
    fixture::{CA, CERT_FOREVER, ECDSA, ECDSA_521, ED25519, HASHED, OTHER, RSA, key},
    *,
};

fn read(bytes: impl AsRef<[u8]>) -> (Known, Vec<String>) {
    let mut known = Known::default();
    let warnings = known.read(Path::new("/kh"), bytes.as_ref());
    (known, warnings)
}

/// The numbers of the lines of `kind` about `name`.
fn lines(known: &Known, kind: Kind, name: &str) -> Vec<usize> {
    known.about(kind, &named(name)).map(|found| found.number).collect()
}

/// A host that is called `name` wherever it is.
fn named(name: &str) -> Names {
    let address = Address::parse(name, 22).unwrap();
    Names::of(&address, &address)
}

fn files(paths: &[&Path]) -> KnownHosts {
    KnownHosts { files: paths.iter().map(|path| path.to_path_buf()).collect() }
}

#[test]
fn lines_are_read() {
    let certificate = CERT_FOREVER;
    for line in [
        format!("h {ED25519}"),
        format!(" \t h {ED25519} a comment"),
        format!("h {ED25519}\r"),
        format!("h\t{}", ED25519.replace(' ', "\t")),
        format!("h   {}", ED25519.replace(' ', "  \t")),
        format!("g,h {ECDSA}"),
        format!("h {ECDSA_521}"),
        format!("h {RSA}"),
        format!("h {}", fixture::DSA),
        format!("h {certificate}"),
        // The type in front of the key isn't looked at.
        format!("h {}", ED25519.replace("ssh-ed25519", "whatever")),
        format!("h {} {}", ED25519, "x".repeat(100 << 10)),
        format!("{}h {ED25519}", "x,".repeat(100 << 10)),
    ] {
        let (known, warnings) = read(&line);
        assert_eq!(lines(&known, Kind::Key, "h"), [1], "{line}");
        assert!(warnings.is_empty(), "{line}");
    }
}

#[test]
fn empty_lines_and_comments_are_passed_over() {
    let (known, warnings) = read("\n  \n#h x y\n \t#\r\n\r\n");
    assert!(known.lines.is_empty());
    assert!(warnings.is_empty());
}

#[test]
fn lines_that_say_nothing_are_warned_about() {
    for (line, warning) in [
        ("h".to_owned(), "bad format (insufficient fields)"),
        ("h ".to_owned(), "bad format (insufficient fields)"),
        ("@revoked".to_owned(), "bad format (insufficient fields)"),
        ("@revoked h".to_owned(), "bad format (insufficient fields)"),
        (format!("@marker h {ED25519}"), "marker functionality not implemented"),
        (format!("@ h {ED25519}"), "marker functionality not implemented"),
        (format!("|2|a|b {ED25519}"), "hashed hosts not implemented"),
        (format!("|1|a|b {ED25519}"), "hashed hosts not implemented"),
        (format!("|1|YQ== {ED25519}"), "hashed hosts not implemented"),
        (format!("|1|YQ==|YQ==|YQ== {ED25519}"), "hashed hosts not implemented"),
        ("h ssh-ed25519".to_owned(), "error parsing key: ssh: no key found"),
        ("h ssh-ed25519 AAAA".to_owned(), "error parsing key: ssh: no key found"),
        ("h ssh-ed25519 !!!!".to_owned(), "error parsing key: ssh: no key found"),
        ("h 1024 35 123456789".to_owned(), "error parsing key: ssh: no key found"),
        // A key of the type `none`.
        ("h none AAAABG5vbmUAAAAA".to_owned(), "error parsing key: ssh: no key found"),
        (format!("h {}", &ED25519[..ED25519.len() - 4]), "error parsing key: ssh: no key found"),
    ] {
        let (known, warnings) = read(format!("#\n{line}\nh {ED25519}\n"));
        assert_eq!(warnings, [format!("/kh:2 - {warning}")], "{line}");
        assert_eq!(lines(&known, Kind::Key, "h"), [3], "{line}");
    }
}

#[test]
fn lines_that_are_no_text_spoil_nothing() {
    let mut file = format!("h {ED25519} ").into_bytes();
    file.extend(b"\xff\xfe\n\xff \xff \xff\n");
    file.extend(format!("h {ECDSA}\n").as_bytes());
    let (known, warnings) = read(&file);
    assert_eq!(lines(&known, Kind::Key, "h"), [1, 3]);
    assert_eq!(warnings, ["/kh:2 - error parsing key: ssh: no key found"]);
}

#[test]
fn markers_say_what_a_key_is_for() {
    let file = format!("@cert-authority *.x {CA}\n@revoked a.x\t{OTHER}\na.x {ED25519}\n");
    let (known, warnings) = read(&file);
    assert!(warnings.is_empty());
    assert_eq!(lines(&known, Kind::Authority, "a.x"), [1]);
    assert_eq!(lines(&known, Kind::Revoked, "a.x"), [2]);
    assert_eq!(lines(&known, Kind::Key, "a.x"), [3]);
    assert_eq!(lines(&known, Kind::Revoked, "b.x"), [0; 0]);
}

#[test]
fn hashed_names_are_found() {
    let file = format!(
        "{} {ED25519}\n{} {ECDSA}\n{} {RSA}\n@revoked {} {OTHER}\n",
        HASHED[0], HASHED[1], HASHED[2], HASHED[0]
    );
    let (known, warnings) = read(&file);
    assert!(warnings.is_empty());
    for (name, expected) in
        [("foo.com", vec![1]), ("Foo.Com", vec![1]), ("[10.0.0.1]:2222", vec![2]), ("bar", vec![])]
    {
        assert_eq!(lines(&known, Kind::Key, name), expected, "{name}");
    }
    let here = Address { host: "::1".to_owned(), port: 22 };
    assert!(known.about(Kind::Key, &Names::of(&here, &here)).any(|found| found.number == 3));
    assert_eq!(lines(&known, Kind::Revoked, "foo.com"), [4]);
}

#[test]
fn a_name_with_a_port_of_its_own_is_another_host() {
    let (known, _) = read(format!("10.0.0.1 {ED25519}\n[10.0.0.1]:22 {ECDSA}\n"));
    assert_eq!(lines(&known, Kind::Key, "10.0.0.1"), [1]);
    assert_eq!(lines(&known, Kind::Key, "[10.0.0.1]:2222"), [0; 0]);
}

#[test]
fn files_that_are_not_there_hold_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let second = folder.path().join("second");
    fs::write(&second, format!("h {ED25519}\n")).unwrap();
    let known = files(&[&folder.path().join("first"), &second, Path::new("")]).load().unwrap();
    assert_eq!(lines(&known, Kind::Key, "h"), [1]);
    assert_eq!(known.lines[0].path, second);
}

#[test]
fn files_that_cannot_be_read_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let error = files(&[folder.path()]).load().unwrap_err();
    let expected = format!("can't read known hosts {}: ", folder.path().display());
    assert!(error.to_string().starts_with(&expected), "{error}");
    let loop_ = folder.path().join("loop");
    symlink(&loop_, &loop_).unwrap();
    assert!(files(&[&loop_]).load().is_err());
}

#[test]
fn a_host_is_added_with_the_folders_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/known_hosts");
    let known_hosts = files(&[&path, Path::new("/nonexistent")]);
    known_hosts.add("10.0.0.1", &key(ED25519)).unwrap();
    known_hosts.add("[10.0.0.2]:2222", &key(RSA)).unwrap();
    let expected = format!("10.0.0.1 {ED25519}\n[10.0.0.2]:2222 {RSA}\n");
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&folder.path().join("a")), 0o700);
    assert_eq!(mode(&folder.path().join("a/b")), 0o700);
    assert_eq!(mode(&path) & 0o133, 0, "more than 0644");
    assert_eq!(mode(&path) & 0o600, 0o600);
}

#[test]
fn permissions_that_are_there_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("known_hosts");
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    files(&[&path]).add("h", &key(ED25519)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn a_line_without_an_end_is_ended_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("known_hosts");
    fs::write(&path, format!("a {ED25519}")).unwrap();
    files(&[&path]).add("b", &key(ECDSA)).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("a {ED25519}\nb {ECDSA}\n"));
}

#[test]
fn names_that_would_be_read_as_something_else_are_not_added() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("known_hosts");
    for name in ["", "a b", "a\nb", "*", "a,b", "!a", "#a", "@revoked", "|1|a|b"] {
        assert!(files(&[&path]).add(name, &key(ED25519)).is_err(), "{name}");
    }
    assert!(!path.exists());
}

#[test]
fn without_a_file_nothing_can_be_added() {
    assert!(files(&[]).add("h", &key(ED25519)).is_err());
    assert!(files(&[Path::new("")]).add("h", &key(ED25519)).is_err());
}

/// Bytes that look like a file of known hosts, more or less.
fn any_file() -> impl Strategy<Value = Vec<u8>> {
    let fixed = [
        "h ",
        "@revoked ",
        "@cert-authority ",
        "|1|",
        HASHED[0],
        "!*,?",
        ED25519,
        RSA,
        CERT_FOREVER,
        "\n",
        "\r\n",
        "#",
        " ",
        "\t",
        "@",
    ];
    let part = prop_oneof![
        3 => prop::sample::select(fixed.to_vec()).prop_map(|part| part.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ];
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn whatever_is_in_a_file_can_be_read(file in any_file()) {
        let (known, warnings) = read(&file);
        prop_assert!(known.lines.len() + warnings.len() <= file.split(|b| *b == b'\n').count());
        known.about(Kind::Key, &named("h")).count();
    }

    #[test]
    fn adding_changes_nothing_and_is_found(
        file in any_file(),
        host in "[a-z0-9.-]{1,20}|[0-9a-f]{1,4}::[0-9a-f]{1,4}",
        port in prop_oneof![Just(22), 1..=u16::MAX],
        new in prop::sample::select(vec![ED25519, ECDSA, RSA]),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known_hosts");
        fs::write(&path, &file).unwrap();
        let address = Address { host, port };
        let names = Names::of(&address, &address);
        let known_hosts = files(&[&path]);
        let before = read(&file).0.lines.len();

        known_hosts.add(&names.stored, &key(new)).unwrap();

        prop_assert!(fs::read(&path).unwrap().starts_with(&file));
        let known = known_hosts.load().unwrap();
        prop_assert_eq!(known.lines.len(), before + 1);
        let last = known.lines.last().unwrap();
        prop_assert!(last.entry.key == key(new) && last.entry.kind == Kind::Key);
        let found = known.about(Kind::Key, &names).last();
        prop_assert_eq!(found.map(|found| found.number), Some(last.number));
    }
}
