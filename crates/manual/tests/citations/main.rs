//! Sources and documents cite the specification by section. Each citation has to lead somewhere.

use std::{
    fs,
    path::{Path, PathBuf},
};

mod chapters;
mod citation;

use chapters::Chapters;
use citation::citations;

/// Fewer citations than there are by far: with fewer the sources weren't found, or not understood.
const AT_LEAST: usize = 300;

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
