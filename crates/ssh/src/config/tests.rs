//! What the reader makes of configurations, beside what OpenSSH makes of them.

use std::{fs, process::Command, sync::OnceLock};

use nix::unistd::{Uid, User};
use tempfile::TempDir;

use super::*;
use crate::Checking;

/// A home with this `~/.ssh/config`.
fn home(config: &str) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".ssh")).unwrap();
    fs::write(home.path().join(".ssh/config"), config).unwrap();
    home
}

fn load(home: &TempDir) -> Result<UserConfig, BadConfig> {
    UserConfig::load(home.path().to_str(), None)
}

/// A host called so, which nothing but the configuration says more about.
fn asked(host: &str) -> HostQuery<'_> {
    HostQuery::new(host, None, me())
}

/// Who runs this: OpenSSH's default.
fn me() -> &'static str {
    static ME: OnceLock<String> = OnceLock::new();
    ME.get_or_init(|| User::from_uid(Uid::current()).unwrap().unwrap().name)
}

/// The options that count, as `ssh -G` prints them.
fn ours(config: &HostConfig, host: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut add = |name: &str, value: Option<String>| {
        lines.extend(value.map(|value| format!("{name} {value}")));
    };
    add(
        "hostname",
        config
            .host_name
            .as_ref()
            .map(|name| tokens(name, &[('h', host)]))
            .filter(|name| name != host),
    );
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
    let joined = |files: &Option<Vec<String>>| files.as_ref().map(|files| files.join(" "));
    add("globalknownhostsfile", joined(&config.global_known_hosts));
    add("revokedhostkeys", joined(&config.revoked));
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
                "globalknownhostsfile",
                "revokedhostkeys",
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
    ("Host a\n RevokedHostKeys /r\nHost *\n RevokedHostKeys /s", "a"),
    ("Host a\n GlobalKnownHostsFile /r /s\nHost *\n GlobalKnownHostsFile /t", "a"),
    ("Match host a\n Port 9", "a"),
    ("Match host b\n Port 9", "a"),
    ("Match host b,A,c\n Port 9", "a"),
    ("Match host *.ex,!bad.ex\n Port 9", "bad.ex"),
    ("Match host *.ex,!bad.ex\n Port 9", "good.ex"),
    ("Match !host b\n Port 9", "a"),
    ("Match !host a\n Port 9", "a"),
    ("Match HOST=a\n Port 9", "a"),
    ("Match host \"a\" # comment\n Port 9", "a"),
    ("Host a\n HostName b\nMatch host b\n Port 9", "a"),
    ("Host a\n HostName b\nMatch host a\n Port 9", "a"),
    ("Host a\n HostName %h.ex\nMatch host a.ex\n Port 9", "a"),
    ("Match host b\n Port 9\nHost a\n HostName b", "a"),
    ("Host a\n HostName b\nMatch originalhost a\n Port 9", "a"),
    ("Host a\n HostName b\nMatch originalhost b\n Port 9", "a"),
    ("Host a\n User u\nMatch user u\n Port 9", "a"),
    ("Host a\n User u\nMatch user v,w\n Port 9", "a"),
    ("Host a\n User u\nMatch user !u,*\n Port 9", "a"),
    ("Match user u\n Port 9\nHost a\n User u", "a"),
    ("Match host a user root,nobody\n Port 9", "a"),
    ("Match host a !user root\n Port 9", "a"),
    ("Match localuser root\n Port 9", "a"),
    ("Match localuser nobody-else\n Port 9", "a"),
    ("Match all\n Port 9\nMatch host b\n User x", "a"),
    ("Match !all\n Port 9", "a"),
    ("Match host a\n StrictHostKeyChecking yes\n RevokedHostKeys /r", "a"),
    ("Match host a\n Port 9\nHost b\n Port 8\nMatch host a\n User x", "a"),
    ("Match canonical\n Port 9", "a"),
    ("Match !canonical\n Port 9", "a"),
    ("Match final all\n Port 9\nHost a\n Port 8", "a"),
    ("Match final host b\n Port 9\nHost a\n HostName b", "a"),
    ("Match !final\n Port 9", "a"),
    ("Host b\n Port 9\nHost a\n HostName b\nMatch final\n User x", "a"),
    ("Host a\n HostName b\nMatch final originalhost a\n User x", "a"),
    ("Match final\n HostName b\n User x\nHost b\n Port 9", "a"),
    ("Host a\n IdentityAgent /run/agent", "a"),
    ("Host A\n User x", "a"),
    ("Host a\r\n User x\r\n", "a"),
];

#[test]
fn openssh_makes_the_same_of_it() {
    for (config, host) in TABLE {
        let home = home(config);
        let found = load(&home).unwrap().host(&asked(host));
        assert_eq!(ours(&found, host), theirs(&home, host), "{host} in\n{config}");
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
        let found = load(&home).unwrap().host(&asked(host));
        assert_eq!(ours(&found, host), theirs(&home, host), "{host} in\n{config}");
    }
    fs::write(folder.join("config"), "Include conf.d/1.conf ~/.ssh/conf.d/2.conf").unwrap();
    let found = load(&home).unwrap().host(&asked("z"));
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
        ("Match", "line 1: no argument after match"),
        ("Match host", "line 1: no argument after Match host"),
        ("Match host a all", "line 1: 'all' cannot be combined with other Match attributes"),
        ("HostKeyAlgorithms +", "line 1: Bad key types '+'"),
        ("Include [a]", "line 1: include of [a]: only * and ? are known"),
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
    assert_eq!(load(&home).unwrap().host(&asked("a")), HostConfig::default());
}

#[test]
fn an_unsupported_proxy_command_is_known() {
    let home = home("Host a\n ProxyCommand x\nHost b\n ProxyJump c\nHost *\n ProxyCommand none");
    let config = load(&home).unwrap();
    let place = format!("{}: line 2", home.path().join(".ssh/config").display());
    assert_eq!(config.host(&asked("a")).proxy_command, Some(place));
    assert_eq!(config.host(&asked("b")).proxy_command, None);
    assert_eq!(config.host(&asked("c")).proxy_command, None);
}

/// The system's file, in a folder of its own.
fn system(text: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("ssh_config"), text).unwrap();
    folder
}

fn load_both(home: &TempDir, system: &TempDir) -> Result<UserConfig, BadConfig> {
    let system = system.path().join("ssh_config");
    UserConfig::load(home.path().to_str(), Some(&system))
}

#[test]
fn the_systems_file_comes_after_the_users() {
    let home = home("Host a\n Port 1\nHost b\n User b");
    let system = system("Include conf.d/*.conf\nHost *\n Port 3\n StrictHostKeyChecking yes");
    fs::create_dir(system.path().join("conf.d")).unwrap();
    fs::write(system.path().join("conf.d/1.conf"), "Port 2\nMatch host a\n User x").unwrap();
    let config = load_both(&home, &system).unwrap();
    let [a, c] = ["a", "c"].map(|host| config.host(&asked(host)));
    assert_eq!((a.port, a.user.as_deref()), (Some(1), Some("x")));
    assert_eq!((c.port, c.user), (Some(2), None));
    assert_eq!(c.checking, Some(Checking::KnownOnly));
    fs::write(system.path().join("ssh_config"), "Host z\n Port 0").unwrap();
    let error = load_both(&home, &system).unwrap_err().to_string();
    assert!(error.ends_with("/ssh_config: line 2: 0 is no port"), "{error}");
}

#[test]
fn a_file_of_the_systems_that_is_not_to_be_read_is_none() {
    let (home, system) = (home("Port 1"), system(""));
    fs::remove_file(system.path().join("ssh_config")).unwrap();
    assert_eq!(load_both(&home, &system).unwrap().host(&asked("a")).port, Some(1));
    fs::create_dir(system.path().join("ssh_config")).unwrap();
    assert_eq!(load_both(&home, &system).unwrap().host(&asked("a")).port, Some(1));
}

#[test]
fn debians_file_says_nothing() {
    let (home, system) = (
        home(""),
        system(
            "Include /etc/ssh/none.d/*.conf\n\nHost *\n#   ForwardAgent no\n\
             #   ProxyCommand ssh -q -W %h:%p gateway.example.com\n    SendEnv LANG LC_*\n    \
             HashKnownHosts yes\n    GSSAPIAuthentication yes\n",
        ),
    );
    assert_eq!(load_both(&home, &system).unwrap().host(&asked("a")), HostConfig::default());
}

#[test]
fn a_pipe_is_no_configuration() {
    let home = home("Include pipe");
    let pipe = home.path().join(".ssh/pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
    let error = load(&home).unwrap_err().to_string();
    assert_eq!(error, format!("{}: not a regular file", pipe.display()));
    fs::write(home.path().join(".ssh/config"), vec![b'#'; 1024 * 1024 + 1]).unwrap();
    let error = load(&home).unwrap_err().to_string();
    assert!(error.ends_with(": too long for a configuration"), "{error}");
}

#[test]
fn who_logs_in_may_be_settled_before_the_files() {
    let home = home("User conf\nMatch user flag\n Port 1\nMatch user conf\n Port 2");
    let config = load(&home).unwrap();
    assert_eq!(config.host(&HostQuery::new("a", Some("flag"), "core")).port, Some(1));
    assert_eq!(config.host(&HostQuery::new("a", None, "core")).port, Some(2));
}

#[test]
fn what_only_a_criterion_that_is_not_evaluated_tells_is_noted() {
    for (config, noted) in [
        ("Match exec \"test -e /x y\"\n Port 9", vec![("Port", "exec")]),
        ("Match tagged x\n HostName b\n User u", vec![("HostName", "tagged")]),
        ("Match localnetwork 10.0.0.0/8\n ProxyCommand x", vec![("ProxyCommand", "localnetwork")]),
        ("Match strange a b c\n RevokedHostKeys /r", vec![("RevokedHostKeys", "strange")]),
        // It doesn't matter.
        ("Match host b exec x\n Port 9", vec![]),
        ("Match exec x host b\n Port 9", vec![]),
        ("Match exec x\nHost b\n Port 9", vec![]),
        ("Host a\n Port 1\nMatch exec x\n Port 9", vec![]),
        ("Match exec x\n User u\n IdentityFile /f\n SendEnv X", vec![]),
        ("Host a\n ProxyJump none\nMatch exec x\n ProxyCommand y", vec![]),
    ] {
        let home = home(config);
        let found = load(&home).unwrap().host(&asked("a")).undecided;
        let found: Vec<_> = found.iter().map(|one| (one.option, &*one.criterion)).collect();
        assert_eq!(found, noted, "{config}");
    }
}
