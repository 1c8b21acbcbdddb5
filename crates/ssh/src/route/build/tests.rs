//! What wins, and who comes first.

use std::{fs, path::Path, time::Duration};

use super::*;

fn settings() -> Settings {
    Settings {
        user: None,
        timeout: Duration::from_secs(10),
        strict: None,
        known_hosts: None,
        identities: Vec::new(),
        agent: Some("/agent".into()),
        home: Some("/home/me".into()),
    }
}

fn config(text: &str) -> UserConfig {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".ssh")).unwrap();
    fs::write(home.path().join(".ssh/config"), text).unwrap();
    UserConfig::load(home.path().to_str(), None).unwrap()
}

/// The hops as `role user@host:port`, or the error.
fn way(config_text: &str, tunnel: Option<&str>, target: Option<(&str, Option<u16>)>) -> String {
    match settings().route(&config(config_text), tunnel, target) {
        Ok(route) => {
            let hops = route.hops.iter();
            let hops = hops.map(|hop| format!("{} {}@{}", hop.role, hop.user, hop.address));
            hops.collect::<Vec<_>>().join(" > ")
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_way_leads_through_tunnel_and_jump_hosts() {
    let jumps = "Host t\n HostName 10.9.9.9\n Port 7\n ProxyJump u@j:3\n\
                 Host j\n HostName %h.example\n ProxyJump k,l\n\
                 Host l\n ProxyJump nobody\n\
                 Host 10.0.0.2\n ProxyJump j";
    for (config, tunnel, target, expected) in [
        ("", None, Some(("10.0.0.2", None)), "target core@10.0.0.2:22"),
        ("", None, Some(("10.0.0.2", Some(9))), "target core@10.0.0.2:9"),
        ("", None, Some(("::1", None)), "target core@[::1]:22"),
        ("", Some("me@t:5"), None, "tunnel me@t:5"),
        ("", Some("[::1]:5"), None, "tunnel core@[::1]:5"),
        ("", Some("t"), Some(("10.0.0.2", None)), "tunnel core@t:22 > target core@10.0.0.2:22"),
        (
            jumps,
            Some("t"),
            Some(("10.0.0.2", None)),
            "jump host core@k:22 > jump host core@l:22 > jump host u@j.example:3 > \
             tunnel core@10.9.9.9:7 > target core@10.0.0.2:22",
        ),
        (
            jumps,
            None,
            Some(("10.0.0.2", None)),
            "jump host core@k:22 > jump host core@l:22 > jump host core@j.example:22 > \
             target core@10.0.0.2:22",
        ),
        ("Host *\n ProxyJump b", None, Some(("a", None)), "jump hosts lead in a circle: a, b, b"),
        (
            "Host b\n ProxyJump none\nHost *\n ProxyJump ssh://b:4/",
            None,
            Some(("a", None)),
            "jump host core@b:4 > target core@a:22",
        ),
        ("", Some("a:b:c"), None, "address a:b:c: too many colons in address"),
        // A machine that says who should log in to it, or that it is a URL.
        (
            "",
            Some("t"),
            Some(("root@10.0.0.2", None)),
            "address root@10.0.0.2: invalid character in host name",
        ),
        ("", None, Some(("a@b", None)), "address a@b: invalid character in host name"),
        ("", None, Some(("ssh://b", None)), "address ssh://b: invalid port"),
        (
            "Host a\n HostName 10.0.0.7\n Port 9\n User u\n ProxyJump %r@gate.%h:1%p,%n-%%",
            Some("a"),
            None,
            "jump host u@gate.10.0.0.7:19 > jump host core@a-%:22 > tunnel u@10.0.0.7:9",
        ),
        ("", None, None, "no host to connect to"),
    ] {
        assert_eq!(way(config, tunnel, target), expected, "{tunnel:?} {target:?} in\n{config}");
    }
}

#[test]
fn flags_win_over_the_configuration_and_that_over_the_defaults() {
    let config = config(
        "Host t j\n User conf\n IdentityFile ~/.ssh/%h-%r-%p-%d-%n-%%\n IdentitiesOnly yes\n \
         UserKnownHostsFile ~/kh /etc/kh-%h none\n StrictHostKeyChecking accept-new\n \
         IdentityAgent ~/agent\nHost t\n HostName real\n ProxyJump j\n",
    );
    let route = settings().route(&config, Some("t"), Some(("10.0.0.2", None))).unwrap();
    let [jump, tunnel, target] = &*route.hops else { panic!("{route:?}") };
    assert_eq!((&*jump.name, &*tunnel.name), ("j", "t"));
    assert_eq!(tunnel.user, "conf");
    assert_eq!(tunnel.checking, Checking::AcceptNew);
    assert_eq!(tunnel.known_hosts.files, [Path::new("/home/me/kh"), Path::new("/etc/kh-real")]);
    let file = Path::new("/home/me/.ssh/real-conf-22-/home/me-t-%");
    let agent = Some("/home/me/agent".into());
    let expected =
        Identities { agent, files: vec![file.into()], may_be_absent: false, only_files: true };
    assert_eq!(tunnel.identities, expected);
    assert_eq!(target.user, "core");
    assert_eq!(target.checking, Checking::Ask);
    assert_eq!(target.known_hosts.files, [Path::new("/home/me/.fleetctl/known_hosts")]);
    assert_eq!(target.identities.agent, Some("/agent".into()));
    assert_eq!(target.identities.files[0], Path::new("/home/me/.ssh/id_ed25519"));
    assert!(target.identities.may_be_absent);

    let flags = Settings {
        user: Some("flag".into()),
        strict: Some(true),
        known_hosts: Some("~/mine".into()),
        identities: vec!["~/id".into()],
        ..settings()
    };
    let route = flags.route(&config, Some("t"), None).unwrap();
    let [jump, tunnel] = &*route.hops else { panic!("{route:?}") };
    assert_eq!((&*jump.user, &*tunnel.user), ("conf", "flag"));
    for hop in [jump, tunnel] {
        assert_eq!(hop.checking, Checking::Ask);
        assert_eq!(hop.known_hosts.files, [Path::new("/home/me/mine")]);
    }
    assert_eq!(tunnel.identities.files, [Path::new("/home/me/id")]);
    assert_ne!(jump.identities.files, tunnel.identities.files);
}

#[test]
fn variables_in_paths_are_those_of_the_environment() {
    let route = |path: &str| {
        let text = format!(
            "Host t\n IdentityFile {path}\n IdentityAgent {path}\n UserKnownHostsFile {path}"
        );
        settings().route(&config(&text), Some("t"), None).map_err(|error| error.to_string())
    };
    let path = std::env::var("PATH").unwrap();
    for (given, expected) in [
        ("${HOME}/%h", "/home/me/t".to_owned()),
        ("~/${HOME}-%%${PATH}%n", format!("/home/me//home/me-%{path}t")),
        ("/a/${HOME", "/a/${HOME".to_owned()),
        ("/a/$HOME", "/a/$HOME".to_owned()),
    ] {
        let hop = route(given).unwrap().hops.remove(0);
        let expected = Path::new(&expected);
        assert_eq!(hop.identities.files, [expected]);
        assert_eq!(hop.identities.agent.as_deref(), Some(expected));
        assert_eq!(hop.known_hosts.files, [expected]);
    }
    let error = route("/a/${NOT_SET_HERE}/b").unwrap_err();
    assert_eq!(error, "environment variable NOT_SET_HERE of the SSH configuration is not set");
}

#[test]
fn a_host_that_only_a_command_leads_to_is_refused_unless_there_is_another_way() {
    let text = "Host a b 10.0.0.2\n ProxyCommand nc %h %p\nHost c\n ProxyJump b";
    let refused = "line 2: ProxyCommand of a isn't supported: ";
    let error = way(text, Some("a"), None);
    assert!(error.contains(refused), "{error}");
    assert!(way(text, Some("c"), None).contains("ProxyCommand of b isn't supported"));
    let target = Some(("10.0.0.2", None));
    assert!(way(text, None, target).contains("ProxyCommand of 10.0.0.2 isn't supported"));
    assert_eq!(way(text, Some("d"), target), "tunnel core@d:22 > target core@10.0.0.2:22");
}

#[test]
fn agents_and_key_files_can_be_switched_off() {
    let config = config("Host *\n IdentityAgent none\n IdentityFile none\n");
    let route = settings().route(&config, Some("t"), None).unwrap();
    assert_eq!(route.hops[0].identities, Identities::default());
}

#[test]
fn what_may_be_meant_for_a_host_is_refused_by_name() {
    let text = "Host a\n ProxyJump none\nMatch exec \"at work\"\n ProxyCommand nc %h %p\n User u";
    let target = Some(("10.0.0.2", None));
    let error = way(text, None, target);
    let expected = "line 4: ProxyCommand can't be followed: whether it is meant for 10.0.0.2 is \
                    known to Match exec only, which isn't evaluated. An earlier ProxyCommand for \
                    10.0.0.2 settles it";
    assert!(error.ends_with(expected), "{error}");
    // It isn't for a host that something else leads to.
    assert_eq!(way(text, Some("a"), target), "tunnel core@a:22 > target core@10.0.0.2:22");
    let text = "Match exec x\n StrictHostKeyChecking yes";
    let error = way(text, None, target);
    assert!(error.contains("line 2: StrictHostKeyChecking can't be followed"), "{error}");
    let error = way("Match host 10.0.0.*\n ProxyCommand x", None, target);
    assert!(error.contains("line 2: ProxyCommand of 10.0.0.2 isn't supported"), "{error}");
}

#[test]
fn match_goes_by_who_logs_in() {
    let text = "Match user core\n Port 1\nMatch user me\n Port 2";
    assert_eq!(way(text, Some("t"), None), "tunnel core@t:1");
    assert_eq!(way(text, Some("me@t"), None), "tunnel me@t:2");
}

#[test]
fn what_host_keys_have_to_be_comes_from_the_configuration() {
    let text = "Match host t\n RevokedHostKeys ~/revoked-%h\n GlobalKnownHostsFile /g none\n \
                StrictHostKeyChecking yes\n HostKeyAlgorithms ssh-ed25519\n\
                Host *\n RevokedHostKeys none";
    let route = settings().route(&config(text), Some("t"), Some(("10.0.0.2", None))).unwrap();
    let [tunnel, target] = &*route.hops else { panic!("{route:?}") };
    assert_eq!(tunnel.checking, Checking::KnownOnly);
    assert_eq!(tunnel.host_keys.revoked, [Path::new("/home/me/revoked-t")]);
    assert_eq!(tunnel.host_keys.known_hosts, [Path::new("/g")]);
    assert!(tunnel.host_keys.algorithms.is_some());
    assert_eq!(target.host_keys, HostKeyRules::default());
}
