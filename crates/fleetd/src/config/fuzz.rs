//! Fuzzing the file: whatever is in it, there is a configuration, or an error with words; and what it
//! sets is read the same when it is written anew.

use std::path::Path;

use fleet_testkit::{Fuzz, assert_words};

use super::*;

const FILES: [&[u8]; 5] = [
    include_bytes!("../../dist/fleet.conf"),
    b"etcd_servers=[\"http://a:1\", \"b:2\"]\nagent_ttl=10s\nmetadata=\"region=eu,disk=ssd\" # c\n",
    b"verbosity = 1 ; c\n[]\nPublic_IP='198.18.0.1'\r\netcd_username=u\netcd_password=\"a#b\"\n",
    b"\xef\xbb\xbfapi_listen=http://127.0.0.1:1,unix:///x\nenable_grpc=true\n[other]\nz=1\nagent_ttl=\\\n 1m",
    b"api_hosts=[\"h1\",\"h2\"]\ntoken_limit=0x10\nengine_reconcile_interval=1e3\netcd_size_warning=7\n",
];
const WORDS: [&str; 30] = [
    "\n",
    "\\\n",
    "\r\n",
    "=",
    "#",
    ";",
    "\"",
    "'",
    "[",
    "]",
    "[]",
    " ",
    ",",
    "0",
    "-1",
    "1e309",
    "0x",
    "1h",
    "99999999999s",
    "true",
    "http://",
    "https://u:p@h:1",
    "unix://",
    "/",
    "\u{feff}",
    "\u{2028}",
    "\u{a0}",
    "é",
    "\u{85}",
    "İ",
];

#[test]
fn fuzz_fleet_conf() {
    let options: Vec<String> = OPTIONS.iter().map(|option| format!("{option}=")).collect();
    let words = WORDS.into_iter().map(str::to_owned).chain(options);
    Fuzz::new("fleet_conf").like(FILES).of_words(words).run(file);
}

fn layers(content: &[u8]) -> Result<Layers, ConfigError> {
    Layers::of_content(Path::new("/fleet.conf"), content, String::new())
}

fn file(content: &[u8]) {
    let layers = match layers(content) {
        Ok(layers) => layers,
        Err(error) => return assert_words(&error.to_string()),
    };
    match build(&layers) {
        Ok((_, warnings)) => warnings.iter().for_each(|warning| assert_words(warning)),
        Err(error) => assert_words(&error.to_string()),
    }
    stays_the_same(content);
    keeps_a_secret(content);
}

/// Whatever else is in the file, the password that it begins with is told nobody.
fn keeps_a_secret(content: &[u8]) {
    const SECRET: &str = "correct-horse";
    let beginning = format!("etcd_username=u\netcd_password={SECRET}\n");
    let layers = layers(&[beginning.as_bytes(), content].concat());
    let told = match layers.and_then(|layers| build(&layers)) {
        Ok(built) => format!("{built:?}"),
        Err(error) => format!("{error} {error:?}"),
    };
    assert!(!told.contains(SECRET), "{told}");
}

/// What is set is read the same from a file that sets it in the plainest way there is.
fn stays_the_same(content: &[u8]) {
    let text = String::from_utf8_lossy(content);
    let options = ini::parse(&text).expect("it was read before");
    // So that nothing of the options stands where the mark of an encoding may.
    let mut plain = String::from("; anew\n");
    let mut values = Vec::new();
    for (option, setting) in options {
        let quote = if setting.value.contains('"') { '\'' } else { '"' };
        if !setting.value.contains(quote) {
            plain += &format!("{option}={quote}{}{quote} # anew\n", setting.value);
            values.push((option, setting.value));
        }
    }
    let again = ini::parse(&plain).expect("what is written is read");
    let again: Vec<_> = again.into_iter().map(|(option, set)| (option, set.value)).collect();
    assert_eq!(again, values);
}
