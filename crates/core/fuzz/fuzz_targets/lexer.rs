//! Feeds bytes to the unit-file lexer: nothing panics, and what validation accepts is stable.
#![no_main]

use fleet_core::{UnitFile, UnitName, validate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let outside = UnitFile::parse(text);
    let stored = UnitFile::parse_stored(text);
    let Ok(file) = stored else {
        assert!(outside.is_err(), "what is taken from outside can be read when it is stored");
        return;
    };
    let name: UnitName = "foo@1.service".parse().expect("a name");
    let _ = file.fleet_options().requirements(&name);
    let _ = file.fleet_options().warnings();
    if let Ok(accepted) = validate(&name, file.into_options()) {
        let again = UnitFile::parse(accepted.to_text().as_bytes()).expect("what is stored lexes");
        assert_eq!(again, accepted);
        assert_eq!(again.hash(), accepted.hash());
        assert_eq!(UnitFile::parse_stored(accepted.to_text().as_bytes()), Ok(accepted.clone()));
        assert_eq!(accepted.check_reading(), Ok(()));
    }
});
