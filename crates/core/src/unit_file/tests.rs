//! The vectors of `units.md` 2 and 3.

use super::*;

fn hash(text: &str) -> String {
    UnitFile::parse(text.as_bytes()).expect(text).hash().to_string()
}

#[test]
fn hashes_are_those_of_the_original() {
    let nothing = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
    let sleep = "1c6fb6f3684bafb0c173d8b8b957ceff031180c1";
    let a_is_b = "09bc49de4b62ab233087161d26cc9162bbb5fd36";
    let hello = concat!(
        "# only\n[Unit]\nDescription=Hello World\nAfter=docker.service\n\n\n[Service]\n; c\n",
        "Environment=\"A=1\" \"B=2\"\n",
        "ExecStart=/bin/bash -c \"while true; do echo \\\"Hello\\\"; sleep 1; done\"\n\n",
        "[X-Fleet]\nConflicts=hello@*.service\n",
        "MachineMetadata=\"region=us-east-1\" \"disk=ssd\"\n",
    );
    for (text, expected) in [
        ("", nothing),
        ("\n\n", nothing),
        ("Echo", nothing),
        ("[Service]", nothing),
        ("[Service]\nExecStart=/bin/sleep 100\n", sleep),
        ("[Service]\nExecStart=/bin/sleep 100", sleep),
        ("[Service]\nExecStart = /bin/sleep 100\n", sleep),
        (
            "\n[Service]\nExecStart=/usr/bin/sleep infinity\n",
            "40ea6646945809f4b420a50475ee68503088f127",
        ),
        ("[Service]\nExecStart=/usr/bin/sleep 10", "5bf16b98c62f35fcdc723d32989cdeba7a2dd2a8"),
        ("[Service]\nExecStart=/usr/bin/sleep 2000", "5ba5292ab6a82b623ee6086dc90b3354ba004832"),
        (
            "[Unit]\nDescription=Foo\n[Service]\nExecStart=/bin/true\n",
            "caca3bd04df2760864fd5d33ee19b7a10eb43602",
        ),
        ("[Unit]\nA=1\n[Service]\nB=2\n[Unit]\nC=3\n", "1fc61d982cf96334c30d18a4224257e360f96d35"),
        ("[Service]\nA=b\n", a_is_b),
        ("[Service]\n# c\nA=b\n", a_is_b),
        ("\u{feff}[Service]\nA=b\n", a_is_b),
        ("[Service]\r\nA=b\r\n", a_is_b),
        ("Global=true\n[Service]\nA=b\n", a_is_b),
        ("[Service]\n\u{a0}A\u{a0}=\u{a0}b\u{a0}\n", a_is_b),
        (
            "[Service]\nExecStart=\nExecStart=/bin/true\n",
            "873f58abc4adb5abd36ca2d94676242eca22f9a2",
        ),
        ("[Service]\nExecStart=", "21e38046b7d750607bbef96cbb3fe2bf50f1d67d"),
        (
            "[Service]\nEnvironment=A=1\nEnvironment=B=2\n",
            "fc8435cb0f5716251e1502a7edcc5fe4aa1963bf",
        ),
        ("[Service]\nA=b # c\nB=c ; d\n", "6908ade0123ad2bafbd70dd385ccfe3962635f95"),
        (
            "[Service]\nExecStart=echo \\\n  \"pi\\\n  ng\"\n",
            "1eb7cf75d82883dff056df8969694a58caea2c32",
        ),
        ("[Service]\nA=b\\\n\nC=d\n", "9866c2ccd781e0efaef21eac65b9688ba6ad7a0b"),
        (hello, "4251218dadbec2f1431e8088d79ad508a7a3e4d6"),
    ] {
        assert_eq!(hash(text), expected, "{text:?}");
    }
}

#[test]
fn backslash_at_the_end_changes_the_hash_once() {
    let first = UnitFile::parse(b"[Service]\nA=b\\").expect("lexes");
    assert_eq!(first.hash().to_string(), "151dcde11eae38c2975757c12f115cb6c3ef4592");
    let second = UnitFile::parse(first.to_text().as_bytes()).expect("lexes");
    assert_eq!(second.hash().to_string(), "5e368eda676ed9b6a648cea68c0f822abd47f5e7");
    let third = UnitFile::parse(second.to_text().as_bytes()).expect("lexes");
    assert_eq!(third, second);
}

#[test]
fn raw_bytes_lex_and_hash_but_are_no_unit_file() {
    let text = b"[Service]\nA=\xff\xfe\n";
    let options = lex(text, Rules::Ours).expect("lexes");
    let mut serialised = Vec::new();
    for option in &options {
        serialised.extend_from_slice(b"[");
        serialised.extend_from_slice(&option.section);
        serialised.extend_from_slice(b"]\n");
        serialised.extend_from_slice(option.name.as_bytes());
        serialised.extend_from_slice(b"=");
        serialised.extend_from_slice(&option.value);
        serialised.extend_from_slice(b"\n");
    }
    let hash = UnitHash::of(&serialised).to_string();
    assert_eq!(hash, "a35015879c92f1e92dc0c908be5589d86f2b3afa");
    for parse in [UnitFile::parse, UnitFile::parse_stored] {
        let error = parse(text).expect_err("not UTF-8");
        assert_eq!(error.to_string(), "unit file is not valid UTF-8 (line 2)");
    }
}

#[test]
fn sections_are_merged_in_order_of_first_appearance() {
    let file =
        UnitFile::parse(b"[Unit]\nA=1\n[Service]\nB=2\n[Unit]\nC=3\n[Empty]\n").expect("lexes");
    assert_eq!(file.to_text(), "[Unit]\nA=1\nC=3\n\n[Service]\nB=2\n");
    assert_eq!(UnitFile::default().to_text(), "");
}

#[test]
fn serialising_neither_escapes_nor_checks() {
    let file = UnitFile::new(vec![
        UnitOption::new("Service", "A", "b\n[X-Fleet]\nGlobal=true"),
        UnitOption::new("", "#A", " b "),
    ]);
    assert_eq!(file.to_text(), "[Service]\nA=b\n[X-Fleet]\nGlobal=true\n\n[]\n#A= b \n");
    assert_eq!(
        UnitFile::new(vec![UnitOption::new("Service", "A", " b ")]).hash().short(),
        "136a565"
    );
}

#[test]
fn options_know_their_lines() {
    let text = b"x\n[A]\r\n# c\nB=c\\\n d\n\n  E=f\n[G]\nH=i\\ \n#\n j=k\nL=";
    let (file, lines) = UnitFile::parse_with_lines(text).expect("lexes");
    let names: Vec<&str> = file.options().iter().map(|option| option.name.as_str()).collect();
    assert_eq!((names, lines), (vec!["B", "E", "H", "L"], vec![4, 7, 9, 12]));
}

#[test]
fn what_the_original_stored_keeps_its_text() {
    for text in [
        "[S]\nA=b\\\\\nC=d\n",
        "[S]\nA=b\\\n# c \\\n  d\nC=d\n",
        "[S]\nA=b\\\n# c\nC=d\n",
        "[S]\nA=b\rC=d\0\n",
        "[S\nA=b\n[Foo]\nC=d\n",
        "[S]\nA=b \\\nC=d\n",
        &format!("[S]\nA={}\n", "b".repeat(2 * 1024 * 1024)),
    ] {
        let stored = UnitFile::parse_stored(text.as_bytes()).expect("accepted before");
        assert_eq!(stored.to_text(), text);
        assert_eq!(stored.hash(), UnitHash::of(text.as_bytes()));
    }
    // Where that gives the same text, it has the options that systemd reads.
    let stored = UnitFile::parse_stored(b"[S]\nA=b\\\\\nC=d\n").expect("lexes");
    assert_eq!(stored.options().len(), 2);
}

#[test]
fn files_keep_text_and_hash_of_the_original() {
    // What the original made of the case `bsblank.service`.
    let text = concat!(
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/echo started \\   \n",
        "  --name=web \\\n  --rm image\n\n[X-Fleet]\nGlobal=false\n",
    );
    let original = UnitFile::parse_with(text.as_bytes(), Rules::Original).expect("lexes");
    let ours = UnitFile::parse(text.as_bytes()).expect("lexes");
    assert_eq!(ours.to_text(), original.to_text());
    assert_eq!(UnitFile::parse_stored(ours.to_text().as_bytes()), Ok(ours));
}

#[test]
fn what_systemd_would_read_besides_is_told() {
    let check = |text: &str| {
        let file = UnitFile::parse_stored(text.as_bytes()).expect(text);
        file.check_reading().map_err(|misread| (misread.section, misread.name))
    };
    let misread = |section: &str, name: &str| Err((section.to_owned(), name.to_owned()));
    for (text, expected) in [
        ("[Unit]\nDescription=x\r[Service]\rExecStart=/evil\n", misread("Unit", "Description")),
        ("[Unit]\nA=b\\\n# c\nC=d\n", misread("Unit", "A")),
        ("[Unit]\nA=b\0C=d\n", misread("Unit", "A")),
        ("[Unit]\n\u{feff}ExecStart=b\n", misread("Unit", "ExecStart")),
        // systemd skips these comments too, and what it refuses as a whole it doesn't run.
        ("[Unit]\nA=b\\\n# c \\\n d\nC=d\n", Ok(())),
        ("[Unit\nA=b\n[Foo]\nC=d\n", Ok(())),
        ("[Unit]\nA=\u{fffe}\nC=d\n", Ok(())),
        ("[]\nA=b\n\n[Unit]\n=c\nD=e\\\n\n", Ok(())),
        ("[Unit]\nA=b\\\n\n\n[X]\nC=d\n", Ok(())),
        ("[Unit]\nA=b \\\nC=d\n", Ok(())),
    ] {
        assert_eq!(check(text), expected, "{text:?}");
    }
}

#[test]
fn description_is_the_first_one_even_if_empty() {
    let description = |text: &str| {
        let file = UnitFile::parse(text.as_bytes()).expect(text);
        file.description().map(str::to_owned)
    };
    assert_eq!(description("[Unit]\nDescription=a\nDescription=b\n").as_deref(), Some("a"));
    assert_eq!(description("[Unit]\nDescription=\nDescription=b\n").as_deref(), Some(""));
    assert_eq!(description("[Service]\nDescription=a\n[Unit]\ndescription=b\n"), None);
}

#[test]
fn install_counts_only_with_an_option() {
    let has_install = |text: &str| UnitFile::parse(text.as_bytes()).expect(text).has_install();
    assert!(has_install("[Install]\nWantedBy=multi-user.target\n"));
    assert!(!has_install("[Install]\n[Unit]\nA=b\n"));
    assert!(!has_install("[install]\nA=b\n"));
}

#[test]
fn aliases_are_the_names_that_install_gives() {
    for (name, install, expected) in [
        ("a.service", "WantedBy=b.service\n", &[][..]),
        ("a.service", "Alias=b.service  c.service\nAlias=d.service\n", &["b", "c", "d"]),
        ("a.service", "Alias=\"b.service\" 'c.service'\n", &["b", "c"]),
        ("a.service", "Alias=b.service \\\n c.service\n", &["b", "c"]),
        ("a.service", "Alias=b.service\nAlias=\nAlias=c.service\n", &["c"]),
        ("a.service", "Alias=a.service %n %H.service\n", &[]),
        (
            "web-front@1.service",
            "Alias=%p-%i.service %j.service %N.x.service\n",
            &["front", "web-front-1", "web-front@1.x"],
        ),
        ("a.service", "Alias=b\\x2dc.service\n", &["b\\x2dc"]),
    ] {
        let text = format!("[Unit]\nAlias=x.service\n[Install]\n{install}");
        let name: UnitName = name.parse().unwrap();
        let found = UnitFile::parse(text.as_bytes()).expect(install).aliases(&name);
        let expected: Vec<String> = expected.iter().map(|stem| format!("{stem}.service")).collect();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), expected, "{install}");
    }
}

#[test]
fn fleet_options_keep_their_order() {
    let text = "[X-Fleet]\nB=1\n[Unit]\nC=2\n[X-Fleet]\nA=3\nB=4\n[x-fleet]\nD=5\n";
    let options = UnitFile::parse(text.as_bytes()).expect("lexes").fleet_options();
    let expected = [("B", "1"), ("A", "3"), ("B", "4")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    assert_eq!(options.0, expected);
}
