//! Whose a name is on this machine, told from files, as systemd tells it.
//!
//! systemd takes a unit from the first of its directories that has the name. fleet's are links in the
//! runtime directory, which is neither the first nor the last: a link there may be shadowed by the
//! administrator's file and may shadow the vendor's. So a name is fleet's to use where no directory
//! has it, but for fleet's own link. What a link that isn't fleet's leads to doesn't matter. Folders
//! with drop-ins have names of their own (`a.service.d`) and don't count.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    io::{self, ErrorKind},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use fleet_core::UnitName;

/// Where links lead of what is masked.
const NOTHING: &str = "/dev/null";
/// Folders with links of what one unit wants, requires or upholds.
const DEPENDENCIES: [&str; 3] = [".wants", ".requires", ".upholds"];

/// Types that systemd has dropped: it refuses to link them, with words of its own.
const DROPPED: [&str; 2] = [".busname", ".snapshot"];

/// The directories that systemd reads, and the one that is fleet's.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// What is before all paths; `/` but in tests.
    pub(crate) root: PathBuf,
    /// Where fleet's unit files are.
    pub(crate) units: PathBuf,
    /// systemd's directories (`UnitPath`).
    pub(crate) path: Vec<PathBuf>,
}

/// Who has a name that isn't fleet's to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// The machine: there is a unit.
    Machine,
    /// The machine: there is the template of the unit.
    Template(UnitName),
    /// The machine: the name is masked, and there is nothing else.
    Mask,
    /// Another unit of fleet's here has the name as its alias.
    OtherOfFleets(String),
    /// The machine has one of the names that the unit would have besides.
    Alias(String),
    /// Another unit of fleet's here has it.
    AliasOfFleets(String),
}

impl Holder {
    /// Whether only a name besides the unit's own is taken.
    pub(crate) fn is_alias(&self) -> bool {
        matches!(self, Self::Alias(_) | Self::AliasOfFleets(_))
    }

    pub(crate) fn why(&self) -> String {
        let own = "this machine has a unit of that name of its own";
        match self {
            Self::Machine => own.to_owned(),
            Self::Template(template) => format!("{own}, from its template {template}"),
            Self::Mask => format!("{own}: it is masked"),
            Self::OtherOfFleets(other) => {
                format!("that name is an alias of {other}, which is here")
            }
            Self::Alias(alias) => {
                format!("this machine has a unit of its own called {alias}, an alias of this one")
            }
            Self::AliasOfFleets(alias) => {
                format!("another unit of fleet's here is called {alias}, an alias of this one")
            }
        }
    }
}

/// What one directory has under a name.
enum Entry {
    Unit,
    Mask,
    /// A link to this file of fleet's.
    Fleets(String),
}

impl Places {
    /// Who has the name of `unit`, or one of its `aliases`, if it isn't free for it.
    pub(crate) fn holder(
        &self,
        unit: &UnitName,
        aliases: &BTreeSet<String>,
    ) -> io::Result<Option<Holder>> {
        if let Some(holder) = self.holder_of_name(unit)? {
            return Ok(Some(holder));
        }
        for alias in aliases {
            if let Some(holder) = self.holder_of_alias(unit, alias)? {
                return Ok(Some(holder));
            }
        }
        Ok(None)
    }

    fn holder_of_name(&self, unit: &UnitName) -> io::Result<Option<Holder>> {
        let mut found = None;
        for entry in self.entries(unit.as_str())? {
            match entry {
                Entry::Unit => return Ok(Some(Holder::Machine)),
                Entry::Mask => found = Some(Holder::Mask),
                Entry::Fleets(other) if other == unit.as_str() => {}
                Entry::Fleets(other) => found = found.or(Some(Holder::OtherOfFleets(other))),
            }
        }
        let template = unit.template().filter(|template| found.is_none() && template != unit);
        let Some(template) = template else { return Ok(found) };
        let is_theirs = |entry: &Entry| !matches!(entry, Entry::Fleets(_));
        let entries = self.entries(template.as_str())?;
        Ok(entries.iter().any(is_theirs).then_some(Holder::Template(template)))
    }

    /// An alias is a link of the unit's own, if anything.
    fn holder_of_alias(&self, unit: &UnitName, alias: &str) -> io::Result<Option<Holder>> {
        if self.units.join(alias) != self.units.join(unit.as_str())
            && fs::symlink_metadata(self.units.join(alias)).is_ok()
        {
            return Ok(Some(Holder::AliasOfFleets(alias.to_owned())));
        }
        let mut found = None;
        for entry in self.entries(alias)? {
            match entry {
                Entry::Unit | Entry::Mask => return Ok(Some(Holder::Alias(alias.to_owned()))),
                Entry::Fleets(of) if of == unit.as_str() => {}
                Entry::Fleets(_) => found = Some(Holder::AliasOfFleets(alias.to_owned())),
            }
        }
        Ok(found)
    }

    /// What the directories have under a name.
    fn entries(&self, name: &str) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for folder in self.path.iter().filter(|folder| **folder != self.units) {
            entries.extend(self.entry(&self.inside(folder).join(name))?);
        }
        Ok(entries)
    }

    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        let metadata = match fs::symlink_metadata(path) {
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Ok(None);
            }
            metadata => metadata?,
        };
        if metadata.is_symlink() {
            let target = fs::read_link(path)?;
            return Ok(Some(match self.of_fleet(&target) {
                Some(unit) => Entry::Fleets(unit),
                None if target == Path::new(NOTHING) => Entry::Mask,
                None => Entry::Unit,
            }));
        }
        let is_empty = metadata.is_file() && metadata.len() == 0;
        Ok(Some(if is_empty { Entry::Mask } else { Entry::Unit }))
    }

    /// The unit of fleet's whose file a link leads to. An alias leads there by the unit's own link when
    /// a newer systemd (257, unlike 252) has made it.
    pub(crate) fn of_fleet(&self, target: &Path) -> Option<String> {
        self.file_of_fleet(target).or_else(|| {
            is_runtime(target.parent()?).then_some(())?;
            self.file_of_fleet(&fs::read_link(self.inside(target)).ok()?)
        })
    }

    fn file_of_fleet(&self, path: &Path) -> Option<String> {
        (path.parent() == Some(&self.units)).then_some(())?;
        Some(path.file_name()?.to_str()?.to_owned())
    }

    fn inside(&self, folder: &Path) -> PathBuf {
        self.root.join(folder.strip_prefix("/").unwrap_or(folder))
    }

    /// Whether a unit that systemd has in memory comes from fleet's file.
    pub(crate) fn is_from_fleet(&self, fragment: &str, unit: &UnitName) -> bool {
        let fragment = Path::new(fragment);
        let Some(folder) = fragment.parent() else { return false };
        if fragment.file_name() != Some(OsStr::new(unit.as_str())) {
            return false;
        }
        // By the link, unless somebody has put something else in its place.
        let is_linked = || match self.entry(&self.inside(fragment)) {
            Ok(Some(Entry::Fleets(of))) => of == unit.as_str(),
            Ok(found) => found.is_none(),
            Err(_) => false,
        };
        folder == self.units || (is_runtime(folder) && is_linked())
    }

    /// Links units into systemd's runtime directory and returns those that are linked there now.
    /// Where something else is in their place, or this process may not, nothing is done.
    ///
    /// systemd would do it as well. But after each link that it makes itself, one from 255 on says of
    /// every unit it has that it needs a reload.
    pub(crate) fn link(&self, units: &BTreeSet<UnitName>) -> BTreeSet<UnitName> {
        let Some(folder) = self.path.iter().find(|folder| is_runtime(folder)) else {
            return BTreeSet::new();
        };
        let folder = self.inside(folder);
        let is_linked = |unit: &&UnitName| {
            if DROPPED.iter().any(|suffix| unit.as_str().ends_with(suffix)) {
                return false;
            }
            let (file, link) = (self.units.join(unit.as_str()), folder.join(unit.as_str()));
            symlink(&file, &link).is_ok() || fs::read_link(&link).is_ok_and(|target| target == file)
        };
        units.iter().filter(is_linked).cloned().collect()
    }

    /// Removes a link.
    pub(crate) fn remove(&self, link: &Path) -> io::Result<()> {
        fs::remove_file(self.inside(link))
    }

    /// Removes every link to the files of these units from systemd's runtime directory: the units' own,
    /// their aliases, and those of what wants or requires them. Returns the names of aliases that
    /// went, and the units of which something could not be removed.
    pub(crate) fn unlink(&self, units: &BTreeSet<UnitName>) -> (Vec<String>, Vec<UnlinkError>) {
        let (mut aliases, mut errors) = (Vec::new(), Vec::new());
        for folder in self.path.iter().filter(|folder| is_runtime(folder)) {
            let folder = self.inside(folder);
            let links = self.links(&folder).into_iter().chain(self.dependencies(&folder));
            let its_unit = |link: PathBuf| self.its_unit(&link, units).map(|unit| (link, unit));
            let mut links: Vec<(PathBuf, &UnitName)> = links.filter_map(its_unit).collect();
            // A unit's own link goes last: without it nobody could tell whose an alias is.
            links.sort_by_key(|(link, unit)| link.file_name() == Some(OsStr::new(unit.as_str())));
            for (link, unit) in links {
                match fs::remove_file(&link) {
                    Err(error) if error.kind() != ErrorKind::NotFound => {
                        errors.push(UnlinkError { unit: unit.clone(), link, error });
                    }
                    _ if link.parent() == Some(&folder) => {
                        let name = link.file_name().and_then(OsStr::to_str);
                        aliases
                            .extend(name.filter(|name| *name != unit.as_str()).map(str::to_owned));
                    }
                    // A folder that is empty now was made for the link.
                    _ => drop(link.parent().map(fs::remove_dir)),
                }
            }
        }
        (aliases, errors)
    }

    /// The one of `units` that a link leads to.
    fn its_unit<'a>(&self, link: &Path, units: &'a BTreeSet<UnitName>) -> Option<&'a UnitName> {
        let target = fs::read_link(link).ok()?;
        let of = self.of_fleet(&target).or_else(|| self.alias_of_what_was(&target))?;
        units.get(&of.parse::<UnitName>().ok()?)
    }

    /// The unit that an alias leads to whose own link is gone, or has become a mask.
    fn alias_of_what_was(&self, target: &Path) -> Option<String> {
        is_runtime(target.parent()?).then_some(())?;
        let found = self.entry(&self.inside(target)).ok()?;
        matches!(found, None | Some(Entry::Mask)).then_some(())?;
        Some(target.file_name()?.to_str()?.to_owned())
    }

    /// The links in a folder.
    fn links(&self, folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let is_link = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_symlink());
        entries.filter(is_link).map(|entry| entry.path()).collect()
    }

    /// The links in its folders of dependencies.
    fn dependencies(&self, folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            DEPENDENCIES.iter().any(|suffix| name.ends_with(suffix))
        });
        folders.flat_map(|folder| self.links(&folder.path())).collect()
    }
}

/// A link that is still there.
#[derive(Debug)]
pub(crate) struct UnlinkError {
    pub(crate) unit: UnitName,
    pub(crate) link: PathBuf,
    pub(crate) error: io::Error,
}

impl UnlinkError {
    /// Whether systemd may do what this process may not.
    pub(crate) fn is_denial(&self) -> bool {
        matches!(self.error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
    }
}

/// Whether this is where systemd puts links that end with the boot. The user's is below
/// `XDG_RUNTIME_DIR`, which is in `/run` too.
fn is_runtime(folder: &Path) -> bool {
    folder.starts_with("/run")
        && (folder.ends_with("systemd/system") || folder.ends_with("systemd/user"))
}

#[cfg(test)]
mod tests;
