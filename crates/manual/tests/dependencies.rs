//! Every dependency is used: each that a `Cargo.toml` names is named by that crate's sources, and
//! each of the workspace by a `Cargo.toml`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Fewer dependencies than there are by far: with fewer the tables weren't found, or not understood.
const AT_LEAST: usize = 150;

#[test]
fn every_dependency_is_used() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let crates = fs::read_dir(root.join("crates")).expect("crates/");
    let mut members: Vec<PathBuf> = crates.map(|entry| entry.expect("a crate").path()).collect();
    members.push(root.join("functional"));
    let (mut named, mut unused) = (BTreeSet::new(), Vec::new());
    let mut count = 0;
    for member in members {
        let manifest = read(&member.join("Cargo.toml"));
        let shipped = code(&member.join("src"));
        let all = ["tests", "examples", "benches"].map(|folder| code(&member.join(folder)));
        let all = shipped.clone() + &all.concat();
        for (table, sources) in [("dependencies", &shipped), ("dev-dependencies", &all)] {
            for name in dependencies(&manifest, table) {
                count += 1;
                if !names_crate(sources, &name.replace('-', "_")) {
                    unused.push(format!("{}: {name} of [{table}]", member.display()));
                }
                named.insert(name);
            }
        }
    }
    let of_workspace = dependencies(&read(&root.join("Cargo.toml")), "workspace.dependencies");
    unused.extend(of_workspace.into_iter().filter(|name| !named.contains(name)));
    assert!(unused.is_empty(), "nothing uses\n{}", unused.join("\n"));
    assert!(count > AT_LEAST, "only {count} dependencies were found");
}

/// The names in one table of a `Cargo.toml` as they are written here: one a line.
fn dependencies(manifest: &str, table: &str) -> Vec<String> {
    let header = format!("[{table}]");
    let behind = manifest.lines().skip_while(|line| *line != header).skip(1);
    let lines = behind.take_while(|line| !line.starts_with('['));
    let names = lines.filter_map(|line| line.split(['.', '=', ' ']).next());
    names.filter(|name| !name.is_empty() && !name.starts_with('#')).map(str::to_owned).collect()
}

/// All code below a folder and what it takes in with `#[path]`, without comments; nothing where there
/// is no such folder.
fn code(folder: &Path) -> String {
    let Ok(entries) = fs::read_dir(folder) else { return String::new() };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.map(|path| if path.is_dir() { code(&path) } else { file(&path) }).collect()
}

/// The same of a file and the folder of its parts.
fn file(path: &Path) -> String {
    if path.extension().is_none_or(|extension| extension != "rs") {
        return String::new();
    }
    let text = read(path);
    let mut code = String::new();
    for line in text.lines() {
        code += line.split("//").next().unwrap_or(line);
        code.push('\n');
        let other = line.trim().strip_prefix("#[path = \"").and_then(|l| l.strip_suffix("\"]"));
        if let Some(other) = other {
            let other = path.with_file_name(other);
            code += &self::code(other.parent().expect("a folder"));
        }
    }
    code
}

/// Whether a path in the code begins with the crate `name`.
fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let begins = !code[..at].ends_with(|c: char| c.is_alphanumeric() || "_:".contains(c));
        let rest = &code[at + name.len()..];
        begins && (rest.starts_with("::") || code[..at].ends_with("use ") && rest.starts_with(';'))
    })
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn names_are_told_from_what_looks_like_them() {
    for (code, expected) in [
        ("use url::Url;", true),
        ("#[url::main]", true),
        ("use url;", true),
        ("let url = 1;", false),
        ("crate::url::read()", false),
        ("my_url::read()", false),
        ("url_of::read()", false),
    ] {
        assert_eq!(names_crate(code, "url"), expected, "{code}");
    }
    let manifest =
        "[dependencies]\na.workspace = true\n# b = 1\n\nc-d = { path = \"\" }\n[x]\ne = 1\n";
    assert_eq!(dependencies(manifest, "dependencies"), ["a", "c-d"]);
    assert!(dependencies(manifest, "y").is_empty());
}
