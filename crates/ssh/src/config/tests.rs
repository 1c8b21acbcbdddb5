//! What the reader makes of configurations, beside what OpenSSH makes of them.

use std::{fs, process::Command};

use tempfile::TempDir;

use super::*;

/// A home with this `~/.ssh/config`.
fn home(config: &str) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".ssh")).unwrap();
    fs::write(home.path().join(".ssh/config"), config).unwrap();
    home
}

fn load(home: &TempDir) -> Result<UserConfig, BadConfig> {
    UserConfig::load(home.path().to_str())
}

/// The options that count, as `ssh -G` prints them.
fn ours(config: &HostConfig) -> Vec<String> {
    let mut lines = Vec::new();
    let mut add = |name: &str, value: Option<String>| {
        lines.extend(value.map(|value| format!("{name} {value}")));
    };
    add("hostname", config.host_name.clone());
    add("port", config.port.map(|port| port.to_string()));
    add("user", config.user.clone());
    add("identityagent", config.identity_agent.clone());
    add(
        "proxyjump",
        config.proxy_jump.clone().filter(|hops| !hops.is_empty()).map(|h| h.join(",")),
    );
    add("userknownhostsfile", config.known_hosts.clone().map(|files| files.join(" ")));
    add(
        "identitiesonly",
        config.identities_only.map(|only| if only { "yes" } else { "no" }.into()),
    );
    add(
        "stricthostkeychecking",
        config.checking.map(|checking| {
            match checking {
                Checking::KnownOnly => "true",
                Checking::Ask => "ask",
                Checking::AcceptNew => "accept-new",
                Checking::Off | Checking::Warn => "false",
            }
            .into()
        }),
    );
    for file in &config.identity_files {
        add("identityfile", Some(file.clone()));
    }
    lines.sort();
    lines
}

/// The same from OpenSSH. What it prints for an empty configuration too is a default.
fn theirs(home: &TempDir, host: &str) -> Vec<String> {
    // It looks up the home by the user, not by `HOME`; so includes here are absolute.
    let ask = |file: &str| {
        let output = Command::new("ssh").args(["-G", "-F", file, host]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let defaults = ask("/dev/null");
    let mut lines: Vec<String> = ask(home.path().join(".ssh/config").to_str().unwrap())
        .lines()
        .filter(|line| {
            let name = line.split(' ').next().unwrap();
            let counts = [
                "hostname",
                "port",
                "user",
                "identityagent",
                "proxyjump",
                "userknownhostsfile",
                "identitiesonly",
                "stricthostkeychecking",
                "identityfile",
            ];
            counts.contains(&name) && !defaults.lines().any(|default| default == *line)
        })
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}

const TABLE: &[(&str, &str)] = &[
    ("Host a\n Port 1\nHost *\n Port 2\n User x", "a"),
    ("Host a\n Port 1\n Port 2\n", "a"),
    ("Port 5\nHost a\n Port 6\n", "a"),
    ("Host b\n Port 1\n", "a"),
    ("Host a b c\n User x", "c"),
    ("Host * !bad\n User x", "bad"),
    ("Host !bad\n User x", "good"),
    ("Host *.ex !bad.ex\n User x", "good.ex"),
    ("Host 10.0.?.*\n User x", "10.0.7.31"),
    ("Host 10.0.?.*\n User x", "10.0.77.31"),
    ("HOST a\n uSeR x", "a"),
    ("Host=a\n User = x\n Port=77", "a"),
    ("Host \"a\"\n User \"x\"", "a"),
    ("Host 'a'\n User 'x'", "a"),
    ("\tHost a # comment\n  User x # comment\n# Port 3\n", "a"),
    (
        "Host a\n IdentityFile /one\n IdentityFile \"/with blank\"\nHost *\n IdentityFile /three",
        "a",
    ),
    ("Host a\n IdentityFile /one\n IdentityFile /one", "a"),
    ("Host a\n IdentityFile none\n", "a"),
    ("Host a\n IdentityFile /with\\ blank", "a"),
    ("Host a\n IdentitiesOnly yes\nHost *\n IdentitiesOnly no", "a"),
    ("Host a\n UserKnownHostsFile /a /b\nHost *\n UserKnownHostsFile /c", "a"),
    ("Host a\n UserKnownHostsFile /a \"/b c\"", "a"),
    ("Host a\n StrictHostKeyChecking yes", "a"),
    ("Host a\n StrictHostKeyChecking no", "a"),
    ("Host a\n StrictHostKeyChecking off", "a"),
    ("Host a\n StrictHostKeyChecking ACCEPT-NEW", "a"),
    ("Host a\n ProxyJump u@b:2,c", "a"),
    ("Host a\n ProxyJump none\nHost *\n ProxyJump b", "a"),
    ("Host a\n ProxyJump c\nHost *\n ProxyJump b", "a"),
    ("Host a\n ProxyCommand none\nHost *\n ProxyJump b", "a"),
    ("Host a\n ProxyCommand nc %h %p\nHost *\n ProxyJump b", "a"),
    ("Host a\n ProxyJump b\n ProxyCommand nc %h %p", "a"),
    ("Host a\n HostName b.example\nHost b.example\n Port 9", "a"),
    ("Host a\n AddKeysToAgent confirm\n ControlPersist 10m\n User x", "a"),
    ("Host a\n IgnoreUnknown Foo*\n FooBar 'words and' more\n User x", "a"),
    ("Host a\n User x\nMatch all\n Port 9", "a"),
    ("Host a\n User x\nMatch host zz\n Port 9\nHost a\n Port 10", "a"),
    ("Host a\n IdentityAgent /run/agent", "a"),
    ("Host A\n User x", "a"),
    ("Host a\r\n User x\r\n", "a"),
];

#[test]
fn openssh_makes_the_same_of_it() {
    for (config, host) in TABLE {
        let home = home(config);
        let found = load(&home).unwrap().host(host);
        assert_eq!(ours(&found), theirs(&home, host), "{host} in\n{config}");
    }
}

#[test]
fn included_files_count_where_they_are_included() {
    let home = home("");
    let folder = home.path().join(".ssh");
    let at = |name: &str| folder.join(name).display().to_string();
    fs::create_dir(folder.join("conf.d")).unwrap();
    fs::write(folder.join("conf.d/1.conf"), "Port 1\nHost a\n User one\nHost b\n User two")
        .unwrap();
    fs::write(folder.join("conf.d/2.conf"), "Host *\n Port 2\n User three").unwrap();
    fs::write(folder.join("conf.d/.hidden.conf"), "Port 3").unwrap();
    for (config, host) in [
        (format!("Include {}\nPort 9", at("conf.d/*.conf")), "a"),
        (format!("Include {}\nPort 9", at("conf.d/*.conf")), "b"),
        (format!("Host c\n Include {}\n HostName d\nHost *\n Port 9", at("conf.d/*.conf")), "a"),
        (format!("Host a\n Include {}\n HostName d\nHost *\n Port 9", at("conf.d/*.conf")), "a"),
        (format!("Include {} {}\nPort 9", at("none"), at("conf.d/2.conf")), "a"),
    ] {
        fs::write(folder.join("config"), &config).unwrap();
        let found = load(&home).unwrap().host(host);
        assert_eq!(ours(&found), theirs(&home, host), "{host} in\n{config}");
    }
    fs::write(folder.join("config"), "Include conf.d/1.conf ~/.ssh/conf.d/2.conf").unwrap();
    let found = load(&home).unwrap().host("z");
    assert_eq!((found.port, found.user.as_deref()), (Some(1), Some("three")));
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place() {
    for (config, reason) in [
        ("Host a\n Port abc", "line 2: abc is no port"),
        ("Port 0", "line 1: 0 is no port"),
        ("User", "line 1: no argument after user"),
        ("User a b", "line 1: extra arguments after user"),
        ("User 'a", "line 1: invalid quotes"),
        ("IdentitiesOnly maybe", "line 1: maybe is neither yes nor no"),
        ("StrictHostKeyChecking maybe", "line 1: unknown StrictHostKeyChecking maybe"),
        ("Include config", "too many files include each other"),
    ] {
        let home = home(config);
        let error = load(&home).unwrap_err().to_string();
        let path = home.path().join(".ssh/config");
        assert_eq!(error, format!("{}: {reason}", path.display()));
    }
}

#[test]
fn files_of_others_are_refused_and_absent_ones_are_empty() {
    use std::os::unix::fs::PermissionsExt;
    let home = home("Port 1");
    let path = home.path().join(".ssh/config");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(load(&home).unwrap_err().to_string().ends_with(": bad owner or permissions"));
    fs::remove_file(path).unwrap();
    assert_eq!(load(&home).unwrap().host("a"), HostConfig::default());
}

#[test]
fn an_unsupported_proxy_command_is_known() {
    let home = home("Host a\n ProxyCommand x\nHost b\n ProxyJump c\nHost *\n ProxyCommand none");
    let config = load(&home).unwrap();
    let place = format!("{}: line 2", home.path().join(".ssh/config").display());
    assert_eq!(config.host("a").proxy_command, Some(place));
    assert_eq!(config.host("b").proxy_command, None);
    assert_eq!(config.host("c").proxy_command, None);
}
