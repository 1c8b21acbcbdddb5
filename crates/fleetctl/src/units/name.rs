//! What an argument names: a unit, and the file it may come from (`fleetctl.md` 4.1, 4.2).

use std::path::{Path, PathBuf};

use fleet_core::{RECOGNISED_UNIT_TYPES, UnitName};

use crate::error::CliError;

/// An argument that names a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnitArg {
    /// The unit. Need not be valid: a name that can't exist is not found.
    pub(crate) name: String,
    /// Where its file would be, relative to the current folder.
    pub(crate) path: PathBuf,
}

impl UnitArg {
    /// Reads all arguments; refuses them all when one of them names nothing.
    pub(crate) fn all(arguments: &[String]) -> Result<Vec<Self>, CliError> {
        arguments.iter().map(|argument| Self::new(argument)).collect()
    }

    /// Reads one argument.
    pub(crate) fn new(argument: &str) -> Result<Self, CliError> {
        let trimmed = argument.trim_end_matches('/');
        let name = with_suffix(trimmed.rsplit('/').next().unwrap_or_default());
        let stem = name.rsplit_once('.').map_or(&*name, |(stem, _)| stem);
        if stem.chars().all(|c| c == '.') {
            let text = format!("invalid argument {argument:?}: unit name cannot be empty");
            return Err(CliError::Failed(text));
        }
        Ok(Self { name, path: with_suffix(trimmed).into() })
    }

    /// The name and the file of the template, when this is an instance of one.
    pub(crate) fn template(&self) -> Option<Self> {
        let name = template_of(&self.name)?;
        let path = self.path.parent().unwrap_or_else(|| Path::new("")).join(&name);
        Some(Self { name, path })
    }
}

/// The template of the unit called `name`, when it is an instance of one.
fn template_of(name: &str) -> Option<String> {
    let name: UnitName = name.parse().ok()?;
    name.instance()?;
    name.template().map(|template| template.as_str().to_owned())
}

fn with_suffix(text: &str) -> String {
    let kind = text.rsplit_once('.').map(|(_, kind)| kind);
    match kind {
        Some(kind) if RECOGNISED_UNIT_TYPES.contains(&kind) => text.to_owned(),
        _ => format!("{text}.service"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_mangled_as_scripts_know_it() {
        for (argument, name, path) in [
            ("foo", "foo.service", "foo.service"),
            ("foo.1", "foo.1.service", "foo.1.service"),
            ("foo.socket", "foo.socket", "foo.socket"),
            ("foo.timer", "foo.timer", "foo.timer"),
            ("dir/bar.socket", "bar.socket", "dir/bar.socket"),
            ("/abs/bar.socket", "bar.socket", "/abs/bar.socket"),
            ("dir/sub/foo.service", "foo.service", "dir/sub/foo.service"),
            ("foo@1", "foo@1.service", "foo@1.service"),
            ("foo@", "foo@.service", "foo@.service"),
            ("x.conf", "x.conf.service", "x.conf.service"),
            ("x.target", "x.target", "x.target"),
            ("dir/x.slice", "x.slice", "dir/x.slice"),
            ("x.container", "x.container.service", "x.container.service"),
            ("foo.SERVICE", "foo.SERVICE.service", "foo.SERVICE.service"),
            ("a/b/", "b.service", "a/b.service"),
            ("../up", "up.service", "../up.service"),
            ("*", "*.service", "*.service"),
            ("../x/..mount", "..mount", ""),
        ] {
            let read = UnitArg::new(argument);
            if path.is_empty() {
                assert!(read.is_err(), "{argument}");
            } else {
                let expected = UnitArg { name: name.into(), path: path.into() };
                assert_eq!(read.unwrap(), expected, "{argument}");
            }
        }
    }

    #[test]
    fn arguments_without_a_name_are_refused() {
        for argument in ["", "/", "//", ".", "..", "./", "a/..", ".service", "a/.service", "..."] {
            let error = UnitArg::new(argument).unwrap_err().to_string();
            let text = format!("invalid argument {argument:?}: unit name cannot be empty");
            assert_eq!(error, text);
        }
    }

    #[test]
    fn instances_know_their_template() {
        for (argument, template) in [
            ("d/tm@8", Some(("tm@.service", "d/tm@.service"))),
            ("foo@bar@baz.service", Some(("foo@.service", "foo@.service"))),
            ("/x/foo@1.socket", Some(("foo@.socket", "/x/foo@.socket"))),
            ("foo@", None),
            ("foo", None),
            ("foo@1.mount", None),
        ] {
            let found = UnitArg::new(argument).unwrap().template();
            let expected =
                template.map(|(name, path)| UnitArg { name: name.into(), path: path.into() });
            assert_eq!(found, expected, "{argument}");
        }
    }
}
