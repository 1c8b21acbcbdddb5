//! What is said, by file.

use super::*;

/// The remarks about a file, as `line: text`.
fn said(file: &str, text: &str) -> Vec<String> {
    of(file, text.as_bytes()).iter().map(|a| format!("{}: {a}", a.line)).collect()
}

/// A service that is as it should be, with lines of its own behind.
fn service(lines: &str) -> Vec<String> {
    said("a.service", &format!("[Service]\nExecStart=/bin/true\n{lines}"))
}

#[test]
fn good_files_are_no_matter_for_remarks() {
    for (file, text) in [
        ("a.service", "# c\n\n[Unit]\nAfter=b.service\n[Service]\nExecStart=/bin/true\nUser=me\n"),
        ("a@.service", "\u{feff}[Service]\nType=oneshot\nExecStart=/bin/a\nExecStart=/bin/b\n"),
        ("a.service", "[Service]\nExecStart=/bin/a\nExecStart=\nExecStart=/bin/b\n"),
        ("a.service", "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStop=/bin/a\n"),
        ("a.service", "[Unit]\nSuccessAction=reboot\n[Service]\nType=oneshot\n"),
        ("a.timer", "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n"),
        ("a.socket", "[Socket]\nListenStream=80\nUser=me\nExecStartPre=/bin/true\n"),
        ("a.path", "[Path]\nPathExistsGlob=/a\n"),
        ("a-b.mount", "[Mount]\nWhat=tmpfs\nWhere=/a/b\nType=tmpfs\n"),
        ("a.target", "[Unit]\nDescription=x\n[Target]\n"),
        ("a.slice", "[Slice]\nCPUWeight=10\n"),
        (
            "a.service",
            "[Service]\nExecStart=/bin/true\nX-Mine=1\n[X-Other]\nA=b\n[X-Fleet]\nGlobal=$\n",
        ),
        ("a.service", "this does not\n[lex"),
    ] {
        assert_eq!(said(file, text), Vec::<String>::new(), "{file}: {text}");
    }
}

#[test]
fn misspelt_words_are_told_with_what_they_may_mean() {
    for (lines, expected) in [
        (
            "ExecStrat=/bin/b\n",
            "3: unknown option \"ExecStrat\" in section [Service], which is ignored; did you mean ExecStart?",
        ),
        ("Foobarbaz=1\n", "3: unknown option \"Foobarbaz\" in section [Service], which is ignored"),
        (
            "Description=1\n",
            "3: option \"Description\" belongs into section [Unit]; in [Service] it is ignored",
        ),
        (
            "\n[Instal]\nWantedBy=a\n",
            "5: unknown section \"Instal\" in a service, which is ignored, option \"WantedBy\" with it; did you mean Install?",
        ),
        (
            "[Timer]\nOnCalendar=daily\n",
            "4: unknown section \"Timer\" in a service, which is ignored, option \"OnCalendar\" with it",
        ),
        (
            "[X-fleet]\nGlobal=true\n",
            "4: unknown section \"X-fleet\" in a service, which is ignored, option \"Global\" with it; did you mean X-Fleet?",
        ),
        (
            "[XFleet]\nGlobal=true\n",
            "4: unknown section \"XFleet\" in a service, which is ignored, option \"Global\" with it; did you mean X-Fleet?",
        ),
    ] {
        assert_eq!(service(lines), [expected], "{lines}");
    }
}

#[test]
fn variables_mean_nothing_to_fleet() {
    for (value, variable) in [
        ("hostname=h${N}", "${N}"),
        ("\"a=$b_2-c\"", "$b_2"),
        ("a=${b", "${b"),
        ("a=$1 $é $x", "$x"),
    ] {
        let expected = format!(
            "4: option \"MachineMetadata\" in section [X-Fleet]: fleet expands no variables, so \
             \"{variable}\" stands for itself"
        );
        assert_eq!(service(&format!("[X-Fleet]\nMachineMetadata={value}\n")), [expected]);
    }
}

#[test]
fn what_systemd_refuses_as_a_whole_is_told() {
    let refused = "systemd refuses to load it";
    for (file, text, expected) in [
        (
            "a.service",
            "[Unit]\nAfter=b\n[Service]\nRestart=always\n",
            "3: service has no ExecStart=, which only Type=oneshot may lack: ",
        ),
        (
            "a.service",
            "[Unit]\nAfter=b\n",
            "1: service has no ExecStart=, which only Type=oneshot may lack: ",
        ),
        (
            "a.service",
            "[Service]\nExecStart=/bin/a\nExecStart=\n",
            "1: service has no ExecStart=, which only Type=oneshot may lack: ",
        ),
        (
            "a.service",
            "[Service]\nType=oneshot\nExecStop=/bin/a\n",
            "1: service has no ExecStart=, and not both ExecStop= and RemainAfterExit=yes: ",
        ),
        (
            "a.service",
            "[Service]\nExecStart=/bin/a\nExecStart=/bin/b\n",
            "3: service has more than one ExecStart=, which only Type=oneshot may have: ",
        ),
        (
            "a.service",
            "[Service]\nType=oneshot\nRestart=always\nExecStart=/bin/b\n",
            "3: Restart= is always or on-success, which Type=oneshot may not have: ",
        ),
        (
            "a.service",
            "[Service]\nType=dbus\nExecStart=/bin/b\n",
            "2: service of Type=dbus has no BusName=: ",
        ),
        (
            "a.timer",
            "[Unit]\n[Timer]\nPersistent=yes\n",
            "2: timer has no On= in section [Timer], ",
        ),
        ("a.socket", "[Unit]\nAfter=b\n", "1: socket has no Listen= in section [Socket], "),
        (
            "a.path",
            "[Path]\nUnit=b.service\n",
            "1: path has no PathExists=, PathChanged=, PathModified=, DirectoryNotEmpty= in section [Path], ",
        ),
        ("a.mount", "[Mount]\nWhere=/a\n", "1: mount has no What= in section [Mount], "),
    ] {
        assert_eq!(said(file, text), [format!("{expected}{refused}")], "{text}");
    }
}

#[test]
fn characters_that_systemd_refuses_are_told() {
    let why = "has characters for which systemd refuses the file";
    let option = service("User=\u{fffe}\n");
    assert_eq!(option, [format!("3: option \"User\" {why}")]);
    let section = service("[X-a\"b]\nA=c\n");
    assert_eq!(section, [format!("4: section \"X-a\\\"b\" {why}")]);
}

#[test]
fn lines_outside_of_sections_are_told() {
    let said = said("a.service", "# c\nGlobal=true\n\n[Service]\nExecStart=/bin/true\n");
    assert_eq!(said, ["2: line stands before the first section, where it is ignored"]);
}

#[test]
fn commands_are_looked_at_where_they_begin() {
    let said = service("ExecStop=\\\n  a/b \\\n c\nExecReload=/bin/sh -c \"x\n");
    assert_eq!(
        said,
        [
            "3: \"a/b\" in \"ExecStop\" is no absolute path, systemd runs no such command",
            "6: unbalanced quotes in \"ExecReload\", systemd runs no such command",
        ]
    );
}

#[test]
fn remarks_are_bounded_and_in_order() {
    let many = service(&"Nonsense=1\n".repeat(100));
    assert_eq!(many.len(), MOST + 1);
    assert!(many[0].starts_with("3: unknown option"));
    assert_eq!(many[MOST], "22: and 80 more like these");
    let long = service(&format!("{}=1\n", "\u{1b}".repeat(1000)));
    assert!(long[0].len() < 400 && !long[0].contains('\u{1b}'), "{long:?}");
}
