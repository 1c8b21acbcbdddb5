//! Sources and documents cite the specification by section, and documents name files. Each citation, each
//! link and each path has to lead somewhere.

use std::{
    fs,
    path::{Path, PathBuf},
};

mod chapters;
mod citation;
mod paths;

use chapters::Chapters;
use citation::citations;

/// Fewer citations than there are by far: with fewer the sources weren't found, or not understood.
const AT_LEAST: usize = 300;
/// The same of the files that documents name.
const PATHS_AT_LEAST: usize = 200;

#[test]
fn every_citation_leads_to_a_section() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let chapters = Chapters::read(&root);
    let mut files = files(&root.join("crates"), "rs");
    files.extend(self::files(&root.join("functional"), "rs"));
    files.extend(self::files(&root.join("docs"), "md"));
    let mut wrong = Vec::new();
    let mut right = 0;
    for path in files {
        let shown = path.strip_prefix(&root).expect("it was found there").display().to_string();
        let text = fs::read_to_string(&path).expect(&shown);
        for citation in citations(&text, own_chapter(&path)) {
            match chapters.check(&citation) {
                Ok(()) => right += 1,
                Err(why) => wrong.push(format!("{shown}:{}: {why}", citation.line)),
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(right > AT_LEAST, "only {right} citations were found");
}

#[test]
fn every_file_that_a_document_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut pages = files(&root.join("docs"), "md");
    pages.push(root.join("README.md"));
    let mut wrong = Vec::new();
    let mut count = 0;
    for page in pages {
        let shown = page.strip_prefix(&root).expect("it was found there").display().to_string();
        let text = fs::read_to_string(&page).expect(&shown);
        for paths::Named { line, what } in paths::named(&text) {
            count += 1;
            if let Err(why) = paths::check(&what, &page, &root) {
                wrong.push(format!("{shown}:{line}: {why}"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(count > PATHS_AT_LEAST, "only {count} files were found");
}

/// A decision that the index doesn't have, or has under another title, is one that nobody finds.
#[test]
fn the_index_has_every_decision_by_its_title() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/decisions");
    let index = fs::read_to_string(folder.join("README.md")).expect("the index");
    for page in files(&folder, "md") {
        let name = page.file_name().expect("a file").to_string_lossy().into_owned();
        if name != "README.md" {
            let text = fs::read_to_string(&page).expect(&name);
            let title = text.lines().next().unwrap_or_default();
            let title = title.split_once(". ").map(|(_, title)| title).expect(&name);
            let entry = format!("[{title}]({name})");
            assert!(index.contains(&entry), "the index of decisions lacks {entry}");
        }
    }
}

/// All files below `folder` with that extension, but for what cargo has built there.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let entry = entry.expect("an entry");
            let (path, kind) = (entry.path(), entry.file_type().expect("its type"));
            if kind.is_dir() && entry.file_name() != "target" {
                folders.push(path);
            } else if kind.is_file() && path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The chapter that a file is, which is what a bare `§` is about.
fn own_chapter(path: &Path) -> Option<&str> {
    let is_chapter = path.parent().is_some_and(|folder| folder.ends_with("docs/spec"));
    path.file_name()?.to_str().filter(|_| is_chapter)
}
