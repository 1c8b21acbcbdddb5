use std::{fs, path::Path};

use rcgen::CertifiedKey;

use super::*;

fn from_file(text: &str, environment: &[(&str, &str)]) -> Result<(Config, Vec<String>), String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fleet.conf");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let lookup = |name: &str| {
        environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    };
    let hide = |text: String| text.replace(&path.display().to_string(), "CONF");
    load(Some(&path), &lookup)
        .and_then(|layers| build(&layers))
        .map(|(config, warnings)| (config, warnings.into_iter().map(hide).collect()))
        .map_err(|error| hide(error.to_string()))
}

#[test]
fn nothing_set_gives_the_defaults() {
    let (config, warnings) = from_file("", &[]).unwrap();
    assert_eq!(warnings, [""; 0]);
    assert_eq!(config.etcd.servers, ["http://127.0.0.1:2379"]);
    assert_eq!(config.etcd.request_timeout, Duration::from_secs(1));
    assert_eq!(config.engine_reconcile_interval, Duration::from_secs(2));
    assert_eq!(config.agent_ttl, Duration::from_secs(30));
    assert_eq!(config.token_limit, 100);
    assert_eq!(config.api_listen, [Listen::Unix("/var/run/fleet.sock".into())]);
    assert!(config.purge_on_shutdown && !config.debug && !config.disable_engine);
    assert!(
        config.etcd.tls == Certificates::default()
            && config.etcd.login.is_none()
            && config.public_ip.is_none()
    );
}

#[test]
fn environment_wins_over_file_option_by_option() {
    let (config, _) = from_file(
        "agent_ttl=10s\npublic_ip=198.18.0.1\netcd_servers=[\"http://a:1\", \"b:2\"]\n",
        &[("FLEET_AGENT_TTL", "1m30s"), ("FLEET_API_LISTEN", "http://127.0.0.1:49153,unix:///x")],
    )
    .unwrap();
    assert_eq!(config.agent_ttl, Duration::from_secs(90));
    assert_eq!(config.public_ip.as_deref(), Some("198.18.0.1"));
    assert_eq!(config.etcd.servers, ["http://a:1", "http://b:2"]);
    let tcp = Listen::Tcp("127.0.0.1:49153".parse().unwrap());
    assert_eq!(config.api_listen, [tcp, Listen::Unix("/x".into())]);
}

#[test]
fn unknown_options_are_reported_with_their_place() {
    let (_, warnings) = from_file("verbosity=1\nagent_tll=10s\n", &[]).unwrap();
    assert_eq!(warnings, ["unknown config option \"agent_tll\" in CONF line 2 - ignoring"]);
}

#[test]
fn a_file_in_another_encoding_is_read_as_far_as_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fleet.conf");
    fs::write(&path, b"token_limit=7\n# f\xfcr den Rest\nmetadata=a=\xfc\n").unwrap();
    let layers = load(Some(&path), &|_| None).unwrap();
    let (config, warnings) = build(&layers).unwrap();
    assert_eq!((config.token_limit, config.metadata["a"].as_str()), (7, "\u{fffd}"));
    let said = format!("{} line 2 is not UTF-8, what can't be read is replaced", path.display());
    assert_eq!(warnings, [said]);
}

#[test]
fn a_bad_value_names_option_value_and_source() {
    let failed = "Failed creating Server: ";
    for (text, environment, reason) in [
        (
            "",
            &[("FLEET_AGENT_TTL", "30")][..],
            "time: missing unit in duration \"30\" (option agent_ttl in environment variable FLEET_AGENT_TTL)",
        ),
        (
            "",
            &[("FLEET_AGENT_TTL", "")],
            "time: invalid duration \"\" (option agent_ttl in environment variable FLEET_AGENT_TTL)",
        ),
        (
            "agent_ttl=500ms",
            &[],
            "invalid value \"500ms\": must be 1s at least (option agent_ttl in CONF line 1)",
        ),
        (
            "\netcd_request_timeout=1s",
            &[],
            "invalid value \"1s\": must be a number of seconds greater than 0 (option etcd_request_timeout in CONF line 2)",
        ),
        (
            "engine_reconcile_interval=0",
            &[],
            "invalid value \"0\": must be a number of seconds greater than 0 (option engine_reconcile_interval in CONF line 1)",
        ),
        (
            "disable_engine=yes",
            &[],
            "invalid value \"yes\": must be true or false (option disable_engine in CONF line 1)",
        ),
        (
            "token_limit=65536",
            &[],
            "invalid value \"65536\": must be a number from 1 to 65535 (option token_limit in CONF line 1)",
        ),
        (
            "units_directory=",
            &[],
            "invalid value \"\": must be a path (option units_directory in CONF line 1)",
        ),
        (
            "",
            &[("FLEET_RUNTIME_DIRECTORY", "")],
            "invalid value \"\": must be a path (option runtime_directory in environment variable FLEET_RUNTIME_DIRECTORY)",
        ),
        (
            "etcd_size_warning=2GiB",
            &[],
            "invalid value \"2GiB\": must be a number of MiB, 0 for none (option etcd_size_warning in CONF line 1)",
        ),
        (
            "etcd_servers=ftp://a:1",
            &[],
            "endpoint \"ftp://a:1\": unsupported protocol scheme \"ftp\" (option etcd_servers in CONF line 1)",
        ),
        (
            "etcd_cafile=/nonexistent",
            &[],
            "open /nonexistent: no such file or directory (option etcd_cafile in CONF line 1)",
        ),
        (
            "etcd_cafile=/dev/null",
            &[],
            "tls: failed to find any certificate in CA input (/dev/null) (option etcd_cafile in CONF line 1)",
        ),
        (
            "api_hosts=a.example.com:80",
            &[],
            "\"a.example.com:80\" is no name of a host (option api_hosts in CONF line 1)",
        ),
        (
            "api_hosts=198.18.0.1",
            &[],
            "\"198.18.0.1\" is an address, which needs no mention (option api_hosts in CONF line 1)",
        ),
        (
            "api_listen=unix://x",
            &[],
            "\"unix://x\" is neither unix:///path nor http://address:port (option api_listen in CONF line 1)",
        ),
    ] {
        assert_eq!(from_file(text, environment).unwrap_err(), format!("{failed}{reason}"));
    }
    assert_eq!(from_file("word", &[]).unwrap_err(), "CONF: iniparser: syntax error at ':1'.");
}

#[test]
fn certificates_that_can_not_be_used_name_option_and_file() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["fleet".to_owned()]).unwrap();
    let stranger = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let (good, key) = (write("good", &cert.pem()), write("key", &signing_key.serialize_pem()));
    let other = write("other", &stranger);
    let block = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let bad = write("bad", &(cert.pem() + block));
    for (text, expected) in [
        (format!("etcd_cafile={good}\netcd_certfile={good}\netcd_keyfile={key}"), None),
        (
            format!("etcd_cafile={bad}"),
            Some(format!("tls: failed to parse certificate 2 in CA input ({bad}) (option etcd_cafile in CONF line 1)")),
        ),
        (
            format!("etcd_certfile={good}\netcd_keyfile={other}"),
            Some(format!("tls: private key does not match public key ({other}) (option etcd_keyfile in CONF line 2)")),
        ),
        (
            format!("etcd_certfile={good}"),
            Some("tls: failed to find any PEM data in key input (option etcd_keyfile in default)".to_owned()),
        ),
        (
            format!("etcd_keyfile={key}"),
            Some("tls: failed to find any PEM data in certificate input (option etcd_certfile in default)".to_owned()),
        ),
    ] {
        let expected = expected.map(|reason| format!("Failed creating Server: {reason}"));
        assert_eq!(from_file(&text, &[]).err(), expected, "{text}");
    }
}

#[test]
fn a_named_file_must_be_there() {
    let missing = load(Some(Path::new("/nonexistent")), &|_| None).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "Unable to use config file /nonexistent: stat /nonexistent: no such file or directory"
    );
    let folder = load(Some(Path::new("/")), &|_| None).unwrap_err();
    assert_eq!(folder.to_string(), "Provided config / is a directory, not a file");
}

#[test]
fn every_option_can_be_set_in_the_file_and_in_the_environment() {
    let values = [
        ("agent_ttl", "7s"),
        ("api_hosts", "A.example.com,b"),
        ("api_listen", "unix:///x"),
        ("authorized_keys_file", "/keys"),
        ("disable_engine", "true"),
        ("disable_watches", "True"),
        ("enable_grpc", "1"),
        ("engine_reconcile_interval", "0.5"),
        ("etcd_cafile", ""),
        ("etcd_certfile", ""),
        ("etcd_checks", "false"),
        ("etcd_key_prefix", "my//fleet"),
        ("etcd_keyfile", ""),
        ("etcd_password", "secret"),
        ("etcd_request_timeout", "2.5"),
        ("etcd_servers", "\"https://a:1\", \"b:2\""),
        ("etcd_size_warning", "2048"),
        ("etcd_username", "fleet"),
        ("metadata", "a=1,b=2"),
        ("public_ip", "198.18.0.9"),
        ("purge_on_shutdown", "f"),
        ("runtime_directory", "/r"),
        ("systemd_user", "t"),
        ("token_limit", "0x10"),
        ("units_directory", "/u"),
        ("verbosity", "2"),
        ("verify_units", "true"),
    ];
    assert_eq!(values.map(|(option, _)| option), OPTIONS);
    let file: String = values
        .iter()
        .map(|(option, value)| format!("{}={value}\n", option.to_uppercase()))
        .collect();
    let variables: Vec<(String, &str)> = values
        .iter()
        .map(|(option, value)| (format!("FLEET_{}", option.to_uppercase()), *value))
        .collect();
    let variables: Vec<(&str, &str)> =
        variables.iter().map(|(variable, value)| (variable.as_str(), *value)).collect();
    for (config, warnings) in [from_file(&file, &[]).unwrap(), from_file("", &variables).unwrap()] {
        assert_eq!(warnings, ["Config option enable_grpc is no longer needed - ignoring"]);
        assert_eq!(config.agent_ttl, Duration::from_secs(7));
        assert_eq!(config.api_listen, [Listen::Unix("/x".into())]);
        assert_eq!(config.api_hosts, ["a.example.com", "b"]);
        assert!(config.disable_engine && config.disable_watches && config.systemd_user);
        assert!(config.debug && !config.purge_on_shutdown);
        assert_eq!(config.engine_reconcile_interval, Duration::from_millis(500));
        assert_eq!(config.keys, Keys::new("/my/fleet/").unwrap());
        let login = Login { user: "fleet".to_owned(), password: "secret".to_owned() };
        assert_eq!(config.etcd.login, Some(login));
        assert_eq!(config.etcd.request_timeout, Duration::from_millis(2500));
        assert_eq!(config.etcd.servers, ["https://a:1", "http://b:2"]);
        assert_eq!((config.etcd_checks, config.etcd_size_warning), (false, 2 << 30));
        assert_eq!(config.metadata.len(), 2);
        assert_eq!(config.public_ip.as_deref(), Some("198.18.0.9"));
        assert_eq!(config.token_limit, 16);
        let directories = [&config.runtime_directory, &config.units_directory];
        assert_eq!(directories, [Path::new("/r"), Path::new("/u")]);
    }
}

#[test]
fn a_password_in_an_endpoint_is_refused_and_shown_nowhere() {
    for servers in [
        "http://alice:hidden@h:2379",
        "http://h:2379,https://hidden@h",
        "alice:hid/den@h",
        "http://alice:hid,den@h",
        "\"ftp://alice:hidden@h\"",
    ] {
        let refused = from_file(&format!("etcd_servers={servers}"), &[]).unwrap_err();
        let said = "an endpoint must not carry a user or a password, etcd_username and \
                    etcd_password are for them (option etcd_servers in CONF line 1)";
        assert_eq!(refused, format!("Failed creating Server: {said}"), "{servers}");
    }
    let (config, _) = from_file("etcd_username=alice\netcd_password=hidden", &[]).unwrap();
    assert!(!format!("{config:?}").contains("hidden"));
}

#[test]
fn secrets_that_everybody_may_read_are_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let (conf, key) = (folder.path().join("fleet.conf"), folder.path().join("key.pem"));
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["fleet".to_owned()]).unwrap();
    let certificate = folder.path().join("cert.pem");
    fs::write(&certificate, cert.pem()).unwrap();
    fs::write(&key, signing_key.serialize_pem()).unwrap();
    let tls = format!("etcd_certfile={}\netcd_keyfile={}\n", certificate.display(), key.display());
    let of_conf = "fleet.conf can be read by everybody on this machine, and holds the secret of \
                   etcd_password";
    let of_key =
        "key.pem can be read by everybody on this machine, and holds the secret of etcd_keyfile";
    for (text, conf_mode, key_mode, expected) in [
        ("etcd_username=a\netcd_password=b\n", 0o644, 0o600, &[of_conf][..]),
        ("etcd_username=a\netcd_password=b\n", 0o640, 0o640, &[]),
        ("etcd_password=\n", 0o644, 0o600, &[]),
        ("agent_ttl=9s\n", 0o644, 0o644, &[of_key]),
    ] {
        fs::write(&conf, format!("{text}{tls}")).unwrap();
        for (path, mode) in [(&conf, conf_mode), (&key, key_mode)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let layers = load(Some(&conf), &|_| None).unwrap();
        let (_, warnings) = build(&layers).unwrap();
        let at = format!("{}/", folder.path().display());
        let warnings: Vec<String> = warnings.iter().map(|line| line.replace(&at, "")).collect();
        assert_eq!(warnings, expected, "{text} {conf_mode:o} {key_mode:o}");
    }
}

#[test]
fn a_reload_keeps_what_can_not_change_and_names_it() {
    let (old, _) = from_file("agent_ttl=5s\nunits_directory=/u\nmetadata=a=1", &[]).unwrap();
    let (mut new, _) =
        from_file("agent_ttl=6s\nsystemd_user=true\netcd_key_prefix=/x", &[]).unwrap();
    let kept = new.keep_what_is_fixed(&old);
    assert_eq!(kept, ["etcd_key_prefix", "systemd_user", "units_directory"]);
    assert_eq!((&new.keys, &new.units_directory), (&old.keys, &old.units_directory));
    assert!(!new.systemd_user);
    assert!(new.agent_ttl == Duration::from_secs(6) && new.metadata.is_empty(), "the rest is new");
    assert_eq!(new.keep_what_is_fixed(&old), [""; 0]);
}

#[test]
fn every_option_is_documented_and_no_other() {
    let page = include_str!("../../../../docs/configuration.md");
    let rows = page.lines().skip_while(|line| *line != "| option | default | meaning |").skip(2);
    let mut documented: Vec<&str> = rows
        .map_while(|line| line.strip_prefix("| ")?.split('|').next())
        .flat_map(|names| names.split(", "))
        .map(|name| name.trim().trim_matches('`'))
        .collect();
    let ignored = "`enable_grpc`, `verify_units` and `authorized_keys_file` are accepted, ignored";
    assert!(page.contains(ignored));
    documented.extend(["enable_grpc", "verify_units", "authorized_keys_file"]);
    documented.sort_unstable();
    assert_eq!(documented, OPTIONS);
}

#[test]
fn the_example_file_shows_every_option_with_its_default() {
    let example = include_str!("../../dist/fleet.conf");
    let options: Vec<String> = example
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| line.split_once('=').is_some_and(|(key, _)| OPTIONS.contains(&key)))
        .map(str::to_owned)
        .collect();
    let deprecated = ["authorized_keys_file", "enable_grpc", "verify_units"];
    for option in OPTIONS.iter().filter(|option| !deprecated.contains(option)) {
        let start = format!("{option}=");
        assert!(options.iter().any(|line| line.starts_with(&start)), "{option} is not shown");
    }
    assert_eq!(from_file(example, &[]).unwrap().1, [""; 0], "it says nothing by itself");
    let (shown, warnings) = from_file(&options.join("\n"), &[]).unwrap();
    assert_eq!(warnings, [""; 0]);
    let (mut default, _) = from_file("", &[]).unwrap();
    default.metadata.clone_from(&shown.metadata);
    default.api_hosts.clone_from(&shown.api_hosts);
    // No address is none, set or not.
    assert_eq!(format!("{shown:?}"), format!("{default:?}"));
}
