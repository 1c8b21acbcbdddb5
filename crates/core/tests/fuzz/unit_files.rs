//! Unit files: nothing panics, and what is accepted is the same when it is written and read again.

use fleet_core::{UnitFile, UnitName, validate};
use fleet_testkit::{Fuzz, assert_words};

const FILES: [&[u8]; 9] = [
    include_bytes!("../../../../examples/batch.service"),
    include_bytes!("../../../../examples/hello.service"),
    include_bytes!("../../../../examples/load.service"),
    include_bytes!("../../../../examples/sweep.timer"),
    include_bytes!("../../../../examples/worker-watch@.service"),
    include_bytes!("../../../../examples/worker@.service"),
    b"[Service]\nExecStart=/bin/a \\\n# a comment within\n  b \\\n\nEnvironment=\"A=b c\" 'd'\n",
    b"\xef\xbb\xbf[Unit]\r\nDescription=\r\n[X-Fleet]\r\nMachineMetadata=\"a=b\" c=d\r\nGlobal=yes",
    b"[X-Fleet]\nConflicts=a@*.service [^b]?.service\nMachineOf=c.service\nMachineID=abc\nPeer=x",
];
const WORDS: [&str; 34] = [
    "[Unit]",
    "[Service]",
    "[X-Fleet]",
    "[Install]",
    "[Socket]",
    "[",
    "]",
    "\n",
    "\r\n",
    "\\\n",
    " ",
    "=",
    "#",
    ";",
    "\"",
    "'",
    "%i",
    "%n",
    "%%",
    "ExecStart=",
    "Description=",
    "MachineID=",
    "MachineOf=",
    "MachineMetadata=",
    "Conflicts=",
    "Replaces=",
    "Global=",
    "true",
    "X-ConditionMachineBootID=",
    "\\x20",
    "\u{feff}",
    "é",
    "\u{2028}",
    "a.service",
];

#[test]
fn fuzz_unit_files() {
    Fuzz::new("unit_files").like(FILES).of_words(WORDS).run(unit_file);
}

fn unit_file(text: &[u8]) {
    let outside = UnitFile::parse(text);
    let file = match UnitFile::parse_stored(text) {
        Ok(file) => file,
        Err(error) => {
            assert_words(&error.to_string());
            assert!(outside.is_err(), "what is taken from outside can be read when it is stored");
            return;
        }
    };
    if let Err(error) = outside {
        assert_words(&error.to_string());
    }
    let name: UnitName = "foo@1.service".parse().unwrap();
    let _ = file.fleet_options().requirements(&name);
    file.fleet_options().warnings().iter().for_each(|warning| assert_words(&warning.to_string()));
    match validate(&name, file.into_options()) {
        Ok(accepted) => stays_the_same(&accepted),
        Err(error) => assert_words(&error.to_string()),
    }
}

fn stays_the_same(accepted: &UnitFile) {
    let again = UnitFile::parse(accepted.to_text().as_bytes()).expect("what is stored lexes");
    assert_eq!(again, *accepted);
    assert_eq!(again.hash(), accepted.hash());
    assert_eq!(UnitFile::parse_stored(accepted.to_text().as_bytes()).as_ref(), Ok(accepted));
    assert_eq!(accepted.check_reading(), Ok(()));
}
