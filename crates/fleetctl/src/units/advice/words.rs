//! Words that are nearly others.

use strsim::levenshtein;

/// How many letters two words may differ in to count as one of them misspelt.
const NEAR: usize = 2;

/// The word that `word` is likely to be meant for.
pub(crate) fn nearest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let far = |other: &str| levenshtein(&other.to_lowercase(), &lower);
    let near = |other: &str| {
        // Of a short word two letters are too much; what is longer by more can't be near.
        other.len().abs_diff(word.len()) <= NEAR && far(other) <= NEAR.min(word.len() / 3)
    };
    words.into_iter().filter(|other| near(other)).min_by_key(|other| (far(other), *other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_words_are_recognised() {
        let words = ["ExecStart", "ExecStop", "Service", "User", "UMask"];
        for (word, meant) in [
            ("ExecStrat", Some("ExecStart")),
            ("execstart", Some("ExecStart")),
            ("ExecStar", Some("ExecStart")),
            ("ExcStop", Some("ExecStop")),
            ("Sevice", Some("Service")),
            ("user", Some("User")),
            ("Use", Some("User")),
            ("Us", None),
            ("", None),
            ("Nonsense", None),
            (&"x".repeat(100_000), None),
        ] {
            assert_eq!(nearest(word, words), meant, "{word:.20}");
        }
    }
}
