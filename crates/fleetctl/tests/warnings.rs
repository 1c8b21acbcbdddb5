//! What submit, load and start say of files that systemd will not run.

mod support;

use insta::assert_snapshot;
use support::{Cluster, Desk};

/// Of a unit each that systemd won't run as it looks.
const ODD: [(&str, &str); 5] = [
    ("noexec.service", "[Unit]\nDescription=no exec\n[Service]\nRestart=always\n"),
    ("unbalanced.service", "[Service]\nExecStart=/bin/sh -c \"echo unbalanced\n"),
    ("relpath.service", "[Service]\nExecStart=relative/path\n"),
    (
        "typo.service",
        "[Unit]\nBindTo=x.service\n[Service]\nExecStrat=/bin/true\nExecStart=/bin/sleep infinity\n",
    ),
    (
        "envmeta.service",
        "[Service]\nEnvironmentFile=-/etc/environment\nExecStart=/bin/sleep infinity\n[X-Fleet]\n\
         MachineMetadata=hostname=h${N}\n",
    ),
];

fn desk() -> Desk {
    ODD.into_iter().fold(Desk::at(Cluster::empty()), |desk, (name, text)| desk.file(name, text))
}

#[test]
fn what_systemd_will_not_run_is_told_by_line() {
    let run = desk().run("submit noexec unbalanced relpath typo envmeta");
    assert_eq!((run.code, run.out.lines().count()), (Some(0), ODD.len()));
    assert_snapshot!(run.err, @r#"
    noexec.service:3: warning: service has no ExecStart=, which only Type=oneshot may lack: systemd refuses to load it
    unbalanced.service:2: warning: unbalanced quotes in "ExecStart", systemd runs no such command
    relpath.service:2: warning: "relative/path" in "ExecStart" is no absolute path, systemd runs no such command
    typo.service:4: warning: unknown option "ExecStrat" in section [Service], which is ignored; did you mean ExecStart?
    envmeta.service:5: warning: option "MachineMetadata" in section [X-Fleet]: fleet expands no variables, so "${N}" stands for itself
    "#);
}

#[test]
fn nothing_is_said_with_no_warn() {
    let run = desk().run("submit --no-warn noexec unbalanced relpath typo envmeta");
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    assert_eq!(run.out.lines().count(), ODD.len());
}

#[test]
fn the_file_of_a_template_is_remarked_on_once() {
    let desk = Desk::at(Cluster::empty()).file("d/t@.service", "[Service]\nExecStart=a/b\n");
    let run = desk.run("load --no-block d/t@1 d/t@2");
    let expected = "d/t@.service:2: warning: \"a/b\" in \"ExecStart\" is no absolute path, systemd runs \
                    no such command\n";
    assert_eq!((run.code, run.err.as_str()), (Some(0), expected));
}

#[test]
fn what_is_not_uploaded_is_not_remarked_on() {
    let desk = desk();
    assert_eq!(desk.run("submit relpath").code, Some(0));
    let again = desk.run("submit relpath");
    assert_eq!((again.code, again.err.as_str()), (Some(0), ""));
}
