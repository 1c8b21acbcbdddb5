//! Fuzzing known hosts: no line is lost to another, what is wrong with one is said, and what is added
//! to a file is found in it.

use std::fs;

use fleet_testkit::{Fuzz, assert_words};

use super::{
    fixture::{CA, CERT_FOREVER, ECDSA, ED25519, HASHED, OTHER, RSA, key},
    *,
};
use crate::Address;

const WORDS: [&str; 24] = [
    "\n",
    "\r\n",
    " ",
    "\t",
    ",",
    "*",
    "?",
    "!",
    "#",
    "|",
    "|1|",
    "@cert-authority ",
    "@revoked ",
    "@",
    "[h]:22",
    "h",
    "foo.com",
    "10.0.0.1",
    "=",
    "AAAA",
    "ssh-ed25519",
    "\0",
    "é",
    "\u{2028}",
];

fn files() -> Vec<String> {
    vec![
        format!("h {ED25519}\nfoo.com,10.0.0.* {RSA} a comment\n"),
        format!("# c\n\n!h,* {ECDSA}\r\n@cert-authority *.com {CA}\n@revoked * {OTHER}"),
        format!("{} {ED25519}\n{} {OTHER}\n[h]:2222 {RSA}\n", HASHED[0], HASHED[1]),
        format!("h {CERT_FOREVER}\n@other h {RSA}\nh ssh-rsa AAAA\nh\n"),
    ]
}

#[test]
fn fuzz_known_hosts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("known_hosts");
    Fuzz::new("known_hosts").like(files()).of_words(WORDS).run(move |content| {
        known_hosts(content);
        what_is_added_is_found(&path, content);
        assert!(folder.path().exists(), "it is kept until the end");
    });
}

fn read(content: &[u8]) -> (Known, Vec<String>) {
    let mut known = Known::default();
    let warnings = known.read(Path::new("/kh"), content);
    (known, warnings)
}

fn named(name: &str) -> Names {
    let address = Address::parse(name, 22).unwrap();
    Names::of(&address, &address)
}

fn known_hosts(content: &[u8]) {
    let (known, warnings) = read(content);
    warnings.iter().for_each(|warning| assert_words(warning));
    let alone = content.split(|byte| *byte == b'\n').map(|line| read(line).0.lines.len());
    assert_eq!(alone.sum::<usize>(), known.lines.len(), "a line means what it means alone");
    for name in ["h", "foo.com", "10.0.0.1:2222", "[::1]:22"] {
        let names = named(name);
        for kind in [Kind::Key, Kind::Authority, Kind::Revoked] {
            assert!(known.about(kind, &names).count() <= known.lines.len());
        }
    }
}

fn what_is_added_is_found(path: &Path, content: &[u8]) {
    fs::write(path, content).unwrap();
    let files = KnownHosts { files: vec![path.to_owned()] };
    let added = key(ED25519);
    files.add("added.example", &added).unwrap();
    let now = fs::read(path).unwrap();
    assert!(now.starts_with(content), "what was there stays");
    let (known, names) = (read(&now).0, named("added.example"));
    let found = known.about(Kind::Key, &names).any(|found| found.entry.key == added);
    assert!(found, "it was added and isn't found");
    let (before, after) = (read(content).0.lines.len(), known.lines.len());
    // A line without its end may have meant something; what was added must not change what.
    assert_eq!(after, before + 1, "another line is lost, or there is one more");
}
