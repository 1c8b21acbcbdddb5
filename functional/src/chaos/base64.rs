//! Base64 as etcd's JSON gateway writes it.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Reads it; what isn't base64 is left out.
pub(crate) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let (mut bits, mut held) = (0_u32, 0_u32);
    for letter in text.bytes() {
        let Some(six) = ALPHABET.iter().position(|known| *known == letter) else { continue };
        held = (held << 6 | u32::try_from(six).unwrap_or_default()) & 0xfff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 0xff).unwrap_or_default());
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_read() {
        let cases = [("", ""), ("YQ==", "a"), ("YWI=", "ab"), ("YWJj", "abc"), ("L3t+", "/{~")];
        for (text, wanted) in cases {
            assert_eq!(decode(text), wanted);
        }
    }
}
