//! Finds citations in a text: of a page (`cluster` + `.md`), of its sections by number, of
//! words in it, and of decisions.

/// Something that a text refers to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Citation {
    /// The line that it begins in, from 1.
    pub(crate) line: usize,
    pub(crate) target: Target,
}

/// What is cited.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// A page as a whole, by the name of its file.
    Page(String),
    /// A section of a page, by its number.
    Section(String, String),
    /// Words that stand in a page, in whatever case.
    Words(String, String),
    /// A decision, by its number.
    Decision(String),
}

/// What stands between the members of a list of sections.
const BETWEEN: [&str; 5] = [", and ", ", ", " and ", " to ", " or "];

/// All citations in `text`, by line. In a chapter of the specification, `own`, a `§` is a section of
/// that chapter.
pub(crate) fn citations(text: &str, own: Option<&str>) -> Vec<Citation> {
    let flat = Flat::new(text);
    let mut targets: Vec<(usize, Target)> = Vec::new();
    for (at, extension) in flat.text.match_indices(".md") {
        let (start, name) = name_before(&flat.text[..at]);
        let after = &flat.text[at + extension.len()..];
        let is_other = after.starts_with(|c: char| c.is_ascii_alphanumeric());
        if name.is_empty() || is_other || is_url(&flat.text[..start]) {
            continue;
        }
        let page = format!("{name}{extension}");
        let of_page = of_page(&page, after.strip_prefix('`').unwrap_or(after));
        targets.extend(of_page.into_iter().map(|target| (start, target)));
    }
    for word in ["decision ", "decisions "] {
        for (at, _) in flat.text.match_indices(word) {
            let (numbers, _) = numbers(&flat.text[at + word.len()..]);
            targets.extend(numbers.into_iter().map(|number| (at, Target::Decision(number))));
        }
    }
    for (own, (at, sign)) in
        own.iter().flat_map(|own| flat.text.match_indices('§').map(move |m| (own, m)))
    {
        let (numbers, _) = numbers(&flat.text[at + sign.len()..]);
        let section = |number| (at, Target::Section((*own).to_owned(), number));
        targets.extend(numbers.into_iter().map(section));
    }
    let cited = targets.into_iter().map(|(at, target)| Citation { line: flat.line_of(at), target });
    let mut cited: Vec<_> = cited.collect();
    cited.sort();
    cited
}

/// What is cited of `page`, by what follows its name.
fn of_page(page: &str, after: &str) -> Vec<Target> {
    let (numbers, rest) = after.strip_prefix(' ').map_or_else(|| (Vec::new(), after), numbers);
    let words = rest.trim_start_matches([',', ' ']).strip_prefix('"');
    let words = words.and_then(|text| text.split_once('"')).map(|(words, _)| words);
    let words = words.filter(|_| rest != after || rest.starts_with([',', ' ']));
    if numbers.is_empty() && words.is_none() {
        return vec![Target::Page(page.to_owned())];
    }
    let numbers = numbers.into_iter().map(|number| Target::Section(page.to_owned(), number));
    numbers.chain(words.map(|text| Target::Words(page.to_owned(), text.to_owned()))).collect()
}

/// The numbers that `text` begins with, and what follows them.
fn numbers(text: &str) -> (Vec<String>, &str) {
    let mut found = Vec::new();
    let (mut text, mut rest) = (text, text);
    while let Some(length) = number(text) {
        found.push(text[..length].to_owned());
        rest = &text[length..];
        match BETWEEN.iter().find_map(|word| rest.strip_prefix(word)) {
            Some(next) => text = next,
            None => break,
        }
    }
    (found, rest)
}

/// How long the number is, such as 5 or 5.9, that `text` begins with.
fn number(text: &str) -> Option<usize> {
    let dotted = text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len());
    let length = text[..dotted].trim_end_matches('.').len();
    let is_word = text[length..].starts_with(char::is_alphanumeric);
    (length > 0 && !text.starts_with('.') && !is_word).then_some(length)
}

/// The name of a file that `text` ends with, and where it begins.
fn name_before(text: &str) -> (usize, &str) {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let name = text.rsplit(|c| !is_part(c)).next().unwrap_or_default();
    (text.len() - name.len(), name)
}

/// Whether `text` ends within an address of the web.
fn is_url(text: &str) -> bool {
    text.rsplit(char::is_whitespace).next().is_some_and(|word| word.contains("://"))
}

/// A text without its lines and the signs of comments, since citations go on in the next line.
struct Flat {
    text: String,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl Flat {
    fn new(text: &str) -> Self {
        let mut flat = Self { text: String::new(), lines: Vec::new() };
        for line in text.lines() {
            let line = line.trim();
            let bare = ["//!", "///", "//"].iter().find_map(|sign| line.strip_prefix(sign));
            flat.lines.push(flat.text.len());
            flat.text.push_str(bare.unwrap_or(line).trim_start());
            flat.text.push(' ');
        }
        flat
    }

    fn line_of(&self, at: usize) -> usize {
        self.lines.partition_point(|&start| start <= at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `@` stands for `.md` in what follows, or this file would cite what doesn't exist.
    fn cited(text: &str) -> Vec<String> {
        let shown = |Citation { line, target }: Citation| match target {
            Target::Page(page) => format!("{line} {page}"),
            Target::Section(page, number) => format!("{line} {page} {number}"),
            Target::Words(page, words) => format!("{line} {page} {words:?}"),
            Target::Decision(number) => format!("{line} decision {number}"),
        };
        let found = citations(&text.replace('@', ".md"), Some("own@"));
        found.into_iter().map(|citation| shown(citation).replace(".md", "@")).collect()
    }

    #[test]
    fn citations_are_found_as_people_write_them() {
        let table: &[(&str, &[&str])] = &[
            ("nothing, 5.9, a@x 3, @ 4, https://h/a@ 5", &[]),
            ("(`api@`).", &["1 api@"]),
            ("// As fleetd@ 10, plus", &["1 fleetd@ 10"]),
            ("/// `units@` 5.9.", &["1 units@ 5.9"]),
            ("`units@` 5.9, rows 2 to 10", &["1 units@ 5.9"]),
            ("`api@` 3.2 and 3.4", &["1 api@ 3.2", "1 api@ 3.4"]),
            ("api@ 4.4 to 4.6, 9)", &["1 api@ 4.4", "1 api@ 4.6", "1 api@ 9"]),
            ("fleetd@ 3, 8 and 9", &["1 fleetd@ 3", "1 fleetd@ 8", "1 fleetd@ 9"]),
            ("`api@` 3; `spec/README@` 2", &["1 README@ 2", "1 api@ 3"]),
            ("`ssh@` 2.2, `README@` 17", &["1 README@ 17", "1 ssh@ 2.2"]),
            ("x\n//! y `ssh@` 2.4,\n//! 4.5\n", &["2 ssh@ 2.4", "2 ssh@ 4.5"]),
            ("    /// (`ssh@`\n    /// 6.2). An", &["1 ssh@ 6.2"]),
            ("(`units@` 7.1: 25 to 30 s)", &["1 units@ 7.1"]),
            ("`units@` 2nd", &["1 units@"]),
            ("`cluster@` 5, \"Publishing\"", &["1 cluster@ 5", "1 cluster@ \"Publishing\""]),
            ("`design@`, \"A b\".", &["1 design@ \"A b\""]),
            ("[cluster@](../spec/cluster@#x) \"y", &["1 cluster@", "1 cluster@"]),
            (
                "decision 9, and decisions 3 to 12",
                &["1 decision 12", "1 decision 3", "1 decision 9"],
            ),
            ("(§5.4), §2", &["1 own@ 2", "1 own@ 5.4"]),
        ];
        for (text, expected) in table {
            assert_eq!(cited(text), *expected, "{text}");
        }
    }
}
