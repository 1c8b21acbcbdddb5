//! Page tokens: where a list goes on (`spec/README.md` 2).
//!
//! A token is `<version><collection>.<key>`: the version is a digit, the collection a letter, and
//! the key is the last one of the page before, with every byte that isn't safe in a URL written as
//! `~` and two hex digits. Clients must not look inside.

use std::fmt::Write as _;

/// The version of tokens that we write, and the only one that we read.
const VERSION: char = '1';

/// What a list is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Collection {
    Units,
    States,
    Machines,
}

impl Collection {
    fn letter(self) -> char {
        match self {
            Self::Units => 'u',
            Self::States => 's',
            Self::Machines => 'm',
        }
    }
}

/// The token for the page of `collection` after `key`.
pub(crate) fn encode(collection: Collection, key: &str) -> String {
    let mut token = format!("{VERSION}{}.", collection.letter());
    for byte in key.bytes() {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'.' | b'-' | b'_' => token.push(byte.into()),
            _ => write!(token, "~{byte:02x}").expect("a string takes everything"),
        }
    }
    token
}

/// The key in a token of ours for this collection.
pub(crate) fn decode(collection: Collection, token: &str) -> Option<String> {
    let escaped =
        token.strip_prefix(VERSION)?.strip_prefix(collection.letter())?.strip_prefix('.')?;
    let mut key = Vec::with_capacity(escaped.len());
    let mut parts = escaped.split('~');
    key.extend(parts.next()?.bytes());
    for part in parts {
        let digits = part.get(..2)?;
        key.push(u8::from_str_radix(digits, 16).ok()?);
        key.extend(part[2..].bytes());
    }
    let key = String::from_utf8(key).ok()?;
    // One key, one token: whatever we wouldn't have written isn't ours.
    (!key.is_empty() && encode(collection, &key) == token).then_some(key)
}

#[cfg(test)]
mod tests {
    use fleet_testkit::Fuzz;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tokens_of_others_are_refused() {
        for token in [
            "", "1", "1u", "1u.", "2u.a", "1s.a", "1m.a", "1x.a", "bogus", "AgACAA==", "1u.~4",
            "1u.~", "1u.~zz", "1u.~+f", "1u.~61", "1u.~4F", "1u.a b", "1u.~ff", "1u.é", "1u.~é",
        ] {
            assert_eq!(decode(Collection::Units, token), None, "{token}");
        }
        assert_eq!(decode(Collection::Units, "1u.a~40.service").as_deref(), Some("a@.service"));
    }

    #[test]
    fn fuzz_page_tokens() {
        const TOKENS: [&str; 5] =
            ["1u.a~40.service", "1s.a.service~2cm1", "1m.894b79", "1u.~c3~a9", "AgACAA=="];
        const WORDS: [&str; 9] = ["1u.", "1s.", "1m.", "~", "~40", "~2f", "~c3", ".service", "é"];
        Fuzz::new("page_tokens").like(TOKENS).of_words(WORDS).run(|input| {
            let text = String::from_utf8_lossy(input);
            let all = [Collection::Units, Collection::States, Collection::Machines];
            let read: Vec<_> = all.into_iter().filter(|of| decode(*of, &text).is_some()).collect();
            assert!(read.len() < 2, "a token for {read:?}");
            for of in read {
                assert_eq!(encode(of, &decode(of, &text).unwrap()), text, "another token");
            }
            if !text.is_empty() {
                let token = encode(Collection::States, &text);
                assert_eq!(decode(Collection::States, &token).as_deref(), Some(&*text));
            }
        });
    }

    proptest! {
        #[test]
        fn a_token_leads_back_to_its_key_and_is_safe_in_a_url(key in any::<String>()) {
            prop_assume!(!key.is_empty());
            let token = encode(Collection::States, &key);
            prop_assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b)));
            prop_assert_eq!(decode(Collection::States, &token), Some(key));
            prop_assert_eq!(decode(Collection::Machines, &token), None);
        }

        #[test]
        fn no_text_makes_it_panic(token in any::<String>(), tail in any::<String>()) {
            let _ = decode(Collection::Units, &token);
            let _ = decode(Collection::Units, &format!("1u.{tail}"));
        }
    }
}
