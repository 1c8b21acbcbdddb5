//! Command lines as systemd takes them apart (systemd.service(5), "Command lines").

use super::{Item, shown};

/// What may stand in front of a path.
const PREFIXES: [char; 5] = ['@', '-', ':', '+', '!'];

/// Why systemd would not run the command of an option, if it has one.
pub(super) fn fault(Item { section, name, value, .. }: &Item) -> Option<String> {
    if section == super::FLEET
        || !name.starts_with("Exec")
        || name.ends_with("Path")
        || name.ends_with("Paths")
    {
        return None;
    }
    let Some(words) = words(value) else {
        return Some(format!("unbalanced quotes in {}, systemd runs no such command", shown(name)));
    };
    let fault = words.split(|word| word == ";").filter_map(|command| command.first());
    let (path, why) = fault.filter_map(|path| Some((path, wrong_with(path)?))).next()?;
    Some(format!("{} in {} {why}, systemd runs no such command", shown(path), shown(name)))
}

/// The words of a command line; `None` when a quote has no end.
fn words(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match (c, quote) {
            ('\\', _) => {
                let word = word.get_or_insert_default();
                word.push(c);
                word.extend(characters.next());
            }
            (_, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (_, None) if c.is_ascii_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// Why a program can't be called that. What has specifiers is known on the machine only.
fn wrong_with(word: &str) -> Option<&'static str> {
    let path = word.trim_start_matches(PREFIXES);
    if path.contains('%') {
        None
    } else if path.is_empty() {
        Some("names no program")
    } else if path.ends_with('/') {
        Some("is a folder")
    } else if path == "." || path == ".." || (path.contains('/') && !path.starts_with('/')) {
        Some("is no absolute path")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault_of(name: &str, value: &str) -> Option<String> {
        let (section, name, value) = ("Service".to_owned(), name.to_owned(), value.to_owned());
        fault(&Item { line: 1, section, name, value })
    }

    #[test]
    fn commands_that_systemd_runs_have_no_fault() {
        for value in [
            "",
            "/bin/true",
            "true a/b",
            "-/bin/true",
            "@/bin/sh sh -c 'a b'",
            "!!/bin/true",
            "%h/bin/x",
            "/bin/a ; /bin/b",
            r"/bin/echo it\'s",
            r#"/bin/echo "it's""#,
            r#"/bin/echo 'say \' "' x"#,
            r#""/bin/a b" c"#,
            r"/bin/echo \; relative/path",
        ] {
            assert_eq!(fault_of("ExecStart", value), None, "{value}");
        }
        assert_eq!(fault_of("ExecSearchPath", "a/b"), None);
        assert_eq!(fault_of("ExecPaths", "a/b"), None);
        assert_eq!(fault_of("Environment", "a/b\""), None);
    }

    #[test]
    fn commands_that_systemd_refuses_are_told() {
        for (value, text) in [
            ("/bin/sh -c \"echo", "unbalanced quotes in \"ExecStop\""),
            ("/bin/echo it's", "unbalanced quotes in \"ExecStop\""),
            ("relative/path", "\"relative/path\" in \"ExecStop\" is no absolute path"),
            ("-./x y", "\"-./x\" in \"ExecStop\" is no absolute path"),
            ("${X}/x", "\"${X}/x\" in \"ExecStop\" is no absolute path"),
            ("/bin/", "\"/bin/\" in \"ExecStop\" is a folder"),
            ("- x", "\"-\" in \"ExecStop\" names no program"),
            ("/bin/a ; b/c", "\"b/c\" in \"ExecStop\" is no absolute path"),
            ("\"\" x", "\"\" in \"ExecStop\" names no program"),
        ] {
            let expected = format!("{text}, systemd runs no such command");
            assert_eq!(fault_of("ExecStop", value), Some(expected), "{value}");
        }
    }
}
