//! Unit files of the user, and how they compare to the registry (`fleetctl.md` 4.2 to 4.4).

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use fleet_core::{LexError, RECOGNISED_UNIT_TYPES, UnitFile, error_text::plain};
use fleet_schema::Unit;

use crate::units::{
    advice::{self, Advice},
    name::UnitArg,
    unit,
};

/// Why there is no local file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoFile {
    /// There is one, but it can't be read.
    #[error("failed getting Unit({0}) from file: {1}")]
    Unreadable(String, FileError),
    /// The template's can't be read.
    #[error("unable to load template Unit({0}) from file: {1}")]
    UnreadableTemplate(String, FileError),
    /// There is none, and none of a template either, since this isn't an instance.
    #[error("error Unit {0} does not seem to be a template unit{1}")]
    NoInstance(String, Misnamed),
    /// Neither the instance nor its template has one.
    #[error("stat {0}: no such file or directory")]
    NoTemplate(String),
}

impl NoFile {
    /// Whether there is a file that somebody should look at.
    pub(crate) fn is_broken(&self) -> bool {
        match self {
            Self::Unreadable(..) | Self::UnreadableTemplate(..) => true,
            Self::NoInstance(..) | Self::NoTemplate(_) => false,
        }
    }
}

/// A file that was meant, perhaps, and whose name says no type of unit: `web.container`.
#[derive(Debug)]
pub(crate) struct Misnamed(Option<PathBuf>);

impl Misnamed {
    /// The file whose name is that of `path` without `.service`, if there is one.
    fn instead_of(path: &Path) -> Self {
        let is_completed = path.extension().is_some_and(|kind| kind == "service");
        Self(is_completed.then(|| path.with_extension("")).filter(|path| path.is_file()))
    }
}

impl fmt::Display for Misnamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(path) = &self.0 else { return Ok(()) };
        write!(
            f,
            " ({} is there, but its name ends in no type of unit: {})",
            path.display(),
            RECOGNISED_UNIT_TYPES.join(", ")
        )
    }
}

/// Why a file can't be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// The operating system refuses.
    #[error("read {0}: {error}", error = plain(.1))]
    Io(String, io::Error),
    /// It is no unit file.
    #[error(transparent)]
    Lex(#[from] LexError),
}

/// A unit's content, and what there is to say about the file that it was read from.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) file: UnitFile,
    /// Where it was read, and the remarks. Nothing when it comes from the registry.
    pub(crate) advice: Option<(PathBuf, Vec<Advice>)>,
}

/// Reads the unit file at `path`, if there is one; a dangling link is none.
pub(crate) fn read(path: &Path) -> Result<Option<Content>, FileError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FileError::Io(path.display().to_string(), error)),
    };
    let file = UnitFile::parse(&text)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let advice = Some((path.to_owned(), advice::of(&name, &text)));
    Ok(Some(Content { file, advice }))
}

/// What stands for a unit on this side.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) content: Content,
    /// Where it was read.
    path: PathBuf,
    /// Whether it is the file of the template.
    from_template: bool,
}

impl Local {
    /// The file of `unit`, else that of its template.
    pub(crate) fn of(unit: &UnitArg) -> Result<Self, NoFile> {
        let shown = |path: &Path| path.display().to_string();
        let own = read(&unit.path).map_err(|e| NoFile::Unreadable(shown(&unit.path), e))?;
        if let Some(content) = own {
            return Ok(Self { content, path: unit.path.clone(), from_template: false });
        }
        let template = unit.template().ok_or_else(|| {
            NoFile::NoInstance(shown(&unit.path), Misnamed::instead_of(&unit.path))
        })?;
        let shared = read(&template.path)
            .map_err(|error| NoFile::UnreadableTemplate(template.name.clone(), error))?;
        let content = shared.ok_or_else(|| NoFile::NoTemplate(shown(&template.path)))?;
        Ok(Self { content, path: template.path, from_template: true })
    }

    /// Whether it is what the registry has.
    pub(crate) fn is_same(&self, registry: &Unit) -> bool {
        self.content.file.hash() == unit::file(registry).hash()
    }

    /// What to tell the user when it isn't.
    pub(crate) fn differs(&self, registry: &Unit) -> String {
        let kind = if self.from_template { "template unit" } else { "unit" };
        let (name, path) = (&registry.name, self.path.display());
        format!(
            "WARNING: Unit {name} in registry differs from local {kind} file {path}. \
             Add --replace to override."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arg(folder: &Path, name: &str) -> UnitArg {
        UnitArg::new(folder.join(name).to_str().unwrap()).unwrap()
    }

    #[test]
    fn the_own_file_comes_before_the_template() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("a@.service", "[Service]\nA=template\n");
        write("a@1.service", "[Service]\nA=own\n");
        let value =
            |name| Local::of(&arg(folder.path(), name)).unwrap().content.file.options()[0].clone();
        assert_eq!(value("a@1").value, "own");
        assert_eq!(value("a@2").value, "template");
        assert_eq!(value("a@").value, "template");
    }

    #[test]
    fn files_that_cannot_be_had_say_why() {
        let folder = tempfile::tempdir().unwrap();
        let shown = folder.path().display();
        fs::write(folder.path().join("q.container"), "[Container]\n").unwrap();
        fs::create_dir(folder.path().join("dir.service")).unwrap();
        fs::write(folder.path().join("bad.service"), "[Service]\nA\n").unwrap();
        fs::write(folder.path().join("latin.service"), b"[Service]\nA=\xff\n").unwrap();
        fs::write(folder.path().join("t@.service"), "[Service]\nA\n").unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("link.service")).unwrap();
        for (name, broken, text) in [
            (
                "dir",
                true,
                format!(
                    "failed getting Unit({shown}/dir.service) from file: read {shown}/dir.service: is a directory"
                ),
            ),
            (
                "bad",
                true,
                format!(
                    "failed getting Unit({shown}/bad.service) from file: unexpected newline encountered while parsing option name"
                ),
            ),
            ("latin", true, format!("failed getting Unit({shown}/latin.service) from file: ")),
            (
                "bad.service/x",
                true,
                format!("failed getting Unit({shown}/bad.service/x.service) from file: read "),
            ),
            (
                "t@1",
                true,
                "unable to load template Unit(t@.service) from file: unexpected newline".to_owned(),
            ),
            (
                "link",
                false,
                format!("error Unit {shown}/link.service does not seem to be a template unit"),
            ),
            (
                "q.container",
                false,
                format!(
                    "error Unit {shown}/q.container.service does not seem to be a template unit \
                     ({shown}/q.container is there, but its name ends in no type of unit: service, "
                ),
            ),
            ("u@1", false, format!("stat {shown}/u@.service: no such file or directory")),
        ] {
            let error = Local::of(&arg(folder.path(), name)).unwrap_err();
            assert!(error.to_string().starts_with(&text), "{name}: {error}");
            assert_eq!(error.is_broken(), broken, "{name}");
        }
    }
}
