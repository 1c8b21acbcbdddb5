//! Patterns for hosts and for files.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

/// Files that an `Include` may bring at once.
const MOST_FILES: usize = 1024;

/// Whether one of `patterns` matches and none of those with `!` does.
pub(super) fn any(patterns: &[String], host: &str) -> bool {
    let mut found = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(pattern) if matches(pattern, host) => return false,
            Some(_) => {}
            None => found |= matches(pattern, host),
        }
    }
    found
}

/// Whether `text` is `pattern`, in which `*` is any run and `?` any letter.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<_>, Vec<_>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where the last star is, and up to where it reaches by now.
    let mut star = None;
    while t < text.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p).is_some_and(|letter| *letter == '?' || *letter == text[t]) {
            (p, t) = (p + 1, t + 1);
        } else if let Some((at, reach)) = star {
            star = Some((at, reach + 1));
            (p, t) = (at + 1, reach + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|letter| *letter == '*')
}

/// The files that `path` names, whose parts may be patterns, in order.
pub(super) fn files(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in path.components() {
        match part {
            Component::Normal(name) if has_wildcard(&name.to_string_lossy()) => {
                let name = name.to_string_lossy();
                found = found.iter().flat_map(|folder| entries(folder, &name)).collect();
            }
            _ => found.iter_mut().for_each(|path| path.push(part)),
        }
        found.truncate(MOST_FILES);
    }
    found
}

fn has_wildcard(name: &str) -> bool {
    name.contains(['*', '?'])
}

fn entries(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<_> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        // As in a shell, a hidden file has to be meant.
        .filter(|name| matches(pattern, name) && name.starts_with('.') == pattern.starts_with('.'))
        .collect();
    names.sort();
    names.into_iter().map(|name| folder.join(name)).collect()
}
