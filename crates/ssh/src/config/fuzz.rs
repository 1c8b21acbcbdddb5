//! Fuzzing `~/.ssh/config`: there is a configuration or an error with words, and lines may end as they
//! do elsewhere.

use std::fs;

use fleet_testkit::{Fuzz, assert_words};

use super::*;

const FILES: [&str; 5] = [
    "Host h *.example !x\n  HostName 10.0.0.1\n  Port 2222\n  User core\n  IdentityFile ~/.ssh/id\n",
    "# c\nProxyJump a,b@c:22\nHost=\"a b\" 'c'\nStrictHostKeyChecking accept-new\nUserKnownHostsFile /a \"/b c\"\n",
    "Match host a,b user \"c\" !exec true\nHostKeyAlgorithms +ssh-rsa,ssh-ed25519\nMatch all\nProxyCommand none\n",
    "Match final originalhost *\nHostName %h.example\nIdentitiesOnly yes\nIdentityAgent none\nInclude nothing\n",
    "Include config\nHost *\nGlobalKnownHostsFile none\nRevokedHostKeys /r\nUnheardOf x y\n",
];
const WORDS: [&str; 44] = [
    "\n",
    "\r\n",
    " ",
    "\t",
    "=",
    "#",
    "\"",
    "'",
    "\\",
    ",",
    "!",
    "*",
    "?",
    "%h",
    "%%",
    "%",
    "~",
    "~/",
    "Host ",
    "Match ",
    "HostName ",
    "Port ",
    "User ",
    "IdentityFile ",
    "IdentitiesOnly ",
    "IdentityAgent ",
    "ProxyJump ",
    "ProxyCommand ",
    "UserKnownHostsFile ",
    "StrictHostKeyChecking ",
    "HostKeyAlgorithms ",
    "RevokedHostKeys ",
    "all",
    "final",
    "host ",
    "exec ",
    "yes",
    "none",
    "65536",
    "\0",
    "\x1b[2J",
    "é",
    "\u{2028}",
    "\x0c",
];

#[test]
fn fuzz_ssh_config() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".ssh")).unwrap();
    Fuzz::new("ssh_config").like(FILES).of_words(WORDS).run(move |content| {
        let home = home.path().to_str().unwrap();
        let found = read(home, content);
        // Bytes may be cut anywhere, so that what isn't text is left alone.
        if let Ok(text) = std::str::from_utf8(content)
            && let Ok(found) = found
        {
            let elsewhere = text.replace("\r\n", "\n").replace('\n', "\r\n");
            assert_eq!(read(home, elsewhere.as_bytes()).as_ref(), Ok(&found));
        }
    });
}

/// What the file says about some hosts.
fn read(home: &str, content: &[u8]) -> Result<Vec<HostConfig>, String> {
    let path = Path::new(home).join(".ssh/config");
    fs::write(path, content).unwrap();
    let config = UserConfig::load(Some(home), None).map_err(|bad| bad.to_string());
    let config = config.inspect_err(|error| assert_words(error))?;
    let of = |host: &str| config.host(&HostQuery::new(host, Some("u"), "me"));
    Ok(["h", "a.example", "10.0.0.1", "", "É*"].map(of).to_vec())
}
