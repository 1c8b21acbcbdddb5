//! What can be cited: pages below `docs` with their sections.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use crate::citation::{Citation, Target};

/// The page whose rules are a list, not sections.
const RULES: &str = "README.md";

/// The pages there are, by the names of their files.
#[derive(Debug, Default)]
pub(crate) struct Chapters(BTreeMap<String, Chapter>);

#[derive(Debug, Default, PartialEq, Eq)]
struct Chapter {
    /// The numbers of its sections.
    numbers: BTreeSet<String>,
    /// In small letters.
    text: String,
}

impl Chapters {
    /// Reads those of the project at `root`. A chapter of the specification comes before a page that is
    /// called the same.
    pub(crate) fn read(root: &Path) -> Self {
        let mut chapters = Self::default();
        for folder in ["docs/decisions", "docs", "docs/spec"] {
            for path in crate::files(&root.join(folder), "md") {
                if path.parent() == Some(&*root.join(folder)) {
                    let name = path.file_name().expect("a file").to_string_lossy().into_owned();
                    let text = fs::read_to_string(&path).expect(&name);
                    let chapter = Chapter::new(&text, name == RULES);
                    chapters.0.insert(name, chapter);
                }
            }
        }
        chapters
    }

    /// Checks that what is cited is there.
    pub(crate) fn check(&self, citation: &Citation) -> Result<(), String> {
        let page = |name: &str| self.0.get(name).ok_or_else(|| format!("there is no {name}"));
        match &citation.target {
            Target::Page(name) => page(name).map(drop),
            Target::Section(name, number) => match page(name)?.numbers.contains(number) {
                true => Ok(()),
                false => Err(format!("{name} has no section {number}")),
            },
            Target::Words(name, words) => match page(name)?.text.contains(&words.to_lowercase()) {
                true => Ok(()),
                false => Err(format!("{name} doesn't say {words:?}")),
            },
            Target::Decision(number) => {
                let prefix = format!("{number:0>4}-");
                let is_there = self.0.keys().any(|name| name.starts_with(&prefix));
                is_there.then_some(()).ok_or_else(|| format!("there is no decision {number}"))
            }
        }
    }
}

impl Chapter {
    fn new(text: &str, has_rules: bool) -> Self {
        let numbers = text.lines().filter_map(|line| number_of(line, has_rules)).collect();
        Self { numbers, text: text.to_lowercase() }
    }
}

/// The number of the section, or of the rule, that begins with `line`.
fn number_of(line: &str, has_rules: bool) -> Option<String> {
    let (sign, title) = line.split_once(' ')?;
    let number = match sign.chars().all(|c| c == '#') {
        true => title.split(' ').next()?,
        false if has_rules && sign.ends_with('.') => sign,
        false => return None,
    };
    let number = number.trim_end_matches('.');
    let is_number = number.chars().all(|c| c == '.' || c.is_ascii_digit());
    (is_number && !number.is_empty()).then(|| number.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_and_rules_have_numbers() {
        let text = "# A page\n\n## 1. One\n1. item\n### 1.2 Two words\n### `ssh` x\n#no 3\n12. x\n";
        let numbers =
            |has_rules| Chapter::new(text, has_rules).numbers.into_iter().collect::<Vec<_>>();
        assert_eq!(numbers(false), ["1", "1.2"]);
        assert_eq!(numbers(true), ["1", "1.2", "12"]);
    }

    #[test]
    fn what_is_not_there_is_refused() {
        let page = |text| Chapter::new(text, false);
        let chapters = Chapters(BTreeMap::from([
            ("a".to_owned(), page("## 1. One\nSome *words*.\n")),
            ("0009-x".to_owned(), page("")),
        ]));
        let check = |target| chapters.check(&Citation { line: 1, target });
        for there in [
            Target::Page("a".into()),
            Target::Section("a".into(), "1".into()),
            Target::Words("a".into(), "some *Words".into()),
            Target::Decision("9".into()),
        ] {
            assert_eq!(check(there), Ok(()));
        }
        for (missing, why) in [
            (Target::Page("b".into()), "there is no b"),
            (Target::Section("a".into(), "1.1".into()), "a has no section 1.1"),
            (Target::Words("a".into(), "Two".into()), "a doesn't say \"Two\""),
            (Target::Decision("10".into()), "there is no decision 10"),
        ] {
            assert_eq!(check(missing), Err(why.to_owned()));
        }
    }
}
