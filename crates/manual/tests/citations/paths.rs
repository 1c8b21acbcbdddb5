//! Finds the files that a page names: by links, and by paths in backticks that lead into the sources.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The folders at the top, below which a path in backticks is one of the project.
const TOP: [&str; 5] = ["crates", "docs", "examples", "functional", ".ci"];
/// What a crate has, so that `crate/src/file.rs` is one of `crates` too.
const OF_CRATE: [&str; 5] = ["src", "tests", "dist", "examples", "Cargo.toml"];

/// What names something, and the line that it stands in, from 1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) line: usize,
    pub(crate) what: What,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A link, as it stands there.
    Link(String),
    /// A path in backticks, without its braces.
    Path(String),
    /// What stands in a file: both in backticks, with an "in" between.
    Item(String, String),
}

/// All that `text` names, by line. What stands in blocks of code is no name.
pub(crate) fn named(text: &str) -> Vec<Named> {
    let mut named = Vec::new();
    let mut in_block = false;
    for (line, text) in (1..).zip(text.lines()) {
        if text.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
            let links = links.map(|(target, _)| What::Link(target.to_owned()));
            let code = text.split('`').skip(1).step_by(2).filter(|code| is_path(code));
            let paths = code.flat_map(without_braces).map(What::Path);
            let all = links.chain(paths).chain(items(text));
            named.extend(all.map(|what| Named { line, what }));
        }
    }
    named
}

/// Checks that what `page` names is there, in the project at `root`.
pub(crate) fn check(what: &What, page: &Path, root: &Path) -> Result<(), String> {
    match what {
        What::Link(target) if target.contains("://") => Ok(()),
        What::Link(target) => {
            let (file, section) = target.split_once('#').unwrap_or((target, ""));
            let file = match file {
                "" => page.to_owned(),
                file => page.parent().unwrap_or(root).join(file),
            };
            let has_section = || fs::read_to_string(&file).is_ok_and(|text| has(&text, section));
            match file.exists() && (section.is_empty() || has_section()) {
                true => Ok(()),
                false => Err(format!("the link to {target} leads nowhere")),
            }
        }
        What::Item(name, path) => {
            let text = resolve(path, root).and_then(|path| fs::read_to_string(path).ok());
            let is_there = text.is_none_or(|text| text.contains(&**name)); // the path is its own name
            is_there.then_some(()).ok_or_else(|| format!("there is no {name} in {path}"))
        }
        What::Path(path) => match resolve(path, root).is_none_or(|path| path.exists()) {
            true => Ok(()),
            false => Err(format!("there is no {path}")),
        },
    }
}

/// Each `item` in `a/file` of a line.
fn items(line: &str) -> impl Iterator<Item = What> {
    line.match_indices("` in `").filter_map(|(at, between)| {
        let name = line[..at].rsplit('`').next()?;
        let (path, _) = line[at + between.len()..].split_once('`')?;
        is_path(path).then(|| What::Item(name.to_owned(), path.to_owned()))
    })
}

/// Whether `code` may be a path, and not a pattern, a command or a type.
fn is_path(code: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_-./{,}".contains(c);
    code.contains('/') && code.chars().all(is_part)
}

/// Both of `a/{b,c}.rs`.
fn without_braces(path: &str) -> Vec<String> {
    let parts = path.split_once('{').and_then(|(before, rest)| {
        let (middle, after) = rest.split_once('}')?;
        Some((before, middle, after))
    });
    match parts {
        None => vec![path.to_owned()],
        Some((before, middle, after)) => {
            middle.split(',').map(|name| format!("{before}{name}{after}")).collect()
        }
    }
}

/// Where `path` leads if it is one of the project.
fn resolve(path: &str, root: &Path) -> Option<PathBuf> {
    let mut parts = path.split('/');
    let (first, second) = (parts.next()?, parts.next()?);
    if TOP.contains(&first) {
        return Some(root.join(path));
    }
    let of_crate = OF_CRATE.contains(&second) && !first.is_empty();
    of_crate.then(|| root.join("crates").join(path))
}

/// Whether one of the headings of `page` is called `section` in links.
fn has(page: &str, section: &str) -> bool {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| line.trim_start_matches('#').trim()).any(|title| anchor(title) == section)
}

/// What a heading is called in links.
fn anchor(title: &str) -> String {
    let small = title.to_lowercase().replace(' ', "-");
    small.chars().filter(|&c| c.is_alphanumeric() || c == '-' || c == '_').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_paths_are_found_and_other_code_is_not() {
        let text = "[a](b.txt#c) `crates/x/src/{a,b}.rs` `GET /units` `crates/*/tests`\n\
                    `New` in `x/src/d.rs`\n\
                    ```text\n`crates/no/src/x.rs`\n```\n`ls` `Dir::open` [d](https://e)\n";
        let path = |path: &str| What::Path(path.to_owned());
        let link = |target: &str| What::Link(target.to_owned());
        let expected = [
            (1, link("b.txt#c")),
            (1, path("crates/x/src/a.rs")),
            (1, path("crates/x/src/b.rs")),
            (2, path("x/src/d.rs")),
            (2, What::Item("New".to_owned(), "x/src/d.rs".to_owned())),
            (6, link("https://e")),
        ];
        let expected: Vec<_> = expected.map(|(line, what)| Named { line, what }).into();
        assert_eq!(named(text), expected);
    }

    #[test]
    fn what_is_not_there_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fs::create_dir_all(root.join("crates/x/src")).unwrap();
        fs::create_dir_all(root.join("docs")).unwrap();
        fs::write(root.join("crates/x/src/a.rs"), "struct New;").unwrap();
        fs::write(root.join("docs/page.txt"), "# A page\n## What `is` in it, 2\n").unwrap();
        let page = root.join("docs/page.txt");
        for (what, is_right) in [
            (What::Path("crates/x/src/a.rs".into()), true),
            (What::Path("x/src/a.rs".into()), true),
            (What::Path("x/src".into()), true),
            (What::Path("/run/fleet".into()), true),
            (What::Path("application/json".into()), true),
            (What::Item("New".into(), "x/src/a.rs".into()), true),
            (What::Item("Old".into(), "x/src/a.rs".into()), false),
            (What::Path("x/src/b.rs".into()), false),
            (What::Path("y/src/a.rs".into()), false),
            (What::Path("docs/other.txt".into()), false),
            (What::Link("page.txt".into()), true),
            (What::Link("../crates/".into()), true),
            (What::Link("#what-is-in-it-2".into()), true),
            (What::Link("page.txt#a-page".into()), true),
            (What::Link("https://page".into()), true),
            (What::Link("crates/".into()), false),
            (What::Link("#nothing".into()), false),
            (What::Link("page.txt#nothing".into()), false),
        ] {
            assert_eq!(check(&what, &page, root).is_ok(), is_right, "{what:?}");
        }
    }
}
