//! Where option values come from: environment before file before default (`fleetd.md` 2.1).

use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use fleet_core::{error_text::plain, literal};

use super::{
    OPTIONS,
    ini::{self, IniError},
    value,
};

/// The file that is read when no other is named.
const DEFAULT_FILE: &str = "/etc/fleet/fleet.conf";

/// A value and where it was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Raw {
    pub(crate) value: String,
    pub(crate) origin: Origin,
}

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Environment(String),
    File(PathBuf, usize),
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
            Self::File(path, line) => write!(f, "{} line {line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A configuration that can't be used. `fleetd.md` 2 has the texts.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("Unable to use config file {}: stat {}: {}", .path.display(), .path.display(), plain(.source))]
    NoFile { path: PathBuf, source: io::Error },
    #[error("Provided config {} is a directory, not a file", .0.display())]
    Directory(PathBuf),
    #[error("{}: {}", .path.display(), plain(.source))]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{}: {source}", .path.display())]
    Syntax { path: PathBuf, source: IniError },
    #[error("Failed creating Server: --dev keeps its files in XDG_RUNTIME_DIR, which isn't set")]
    NoRuntimeDirectory,
    #[error("Failed creating Server: {reason} (option {option} in {origin})")]
    Invalid { option: String, origin: Origin, reason: String },
}

/// The raw values of all layers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layers {
    /// What was used, for the log (`fleetd.md` 2.1).
    pub(crate) source: String,
    /// What is to be said of a file that isn't UTF-8.
    encoding: Option<String>,
    values: BTreeMap<String, Raw>,
}

/// Reads the file that applies and the environment.
pub(crate) fn load(
    file: Option<&Path>,
    environment: &impl Fn(&str) -> Option<String>,
) -> Result<Layers, ConfigError> {
    let default = Path::new(DEFAULT_FILE);
    let mut layers = match file {
        Some(path) => {
            let metadata = path
                .metadata()
                .map_err(|source| ConfigError::NoFile { path: path.to_owned(), source })?;
            if metadata.is_dir() {
                return Err(ConfigError::Directory(path.to_owned()));
            }
            Layers::of_file(path, format!("Using provided config file {}", path.display()))?
        }
        None if default.exists() => {
            let source = format!("Using default config file {DEFAULT_FILE}");
            // A directory there reads as empty, as it always did.
            if default.is_dir() {
                Layers { source, ..Layers::default() }
            } else {
                Layers::of_file(default, source)?
            }
        }
        None => {
            let source = "No provided or default config file found - proceeding without".to_owned();
            Layers { source, ..Layers::default() }
        }
    };
    layers.values.extend(Layers::of_environment(environment).values);
    Ok(layers)
}

impl Layers {
    fn of_file(path: &Path, source: String) -> Result<Self, ConfigError> {
        let content = std::fs::read(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::of_content(path, &content, source)
    }

    /// What a file with this content sets.
    pub(crate) fn of_content(
        path: &Path,
        content: &[u8],
        source: String,
    ) -> Result<Self, ConfigError> {
        let encoding = std::str::from_utf8(content).err().map(|error| {
            let before = &content[..error.valid_up_to()];
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
            let path = path.display();
            format!("{path} line {line} is not UTF-8, what can't be read is replaced")
        });
        let text = String::from_utf8_lossy(content);
        let options = ini::parse(&text)
            .map_err(|source| ConfigError::Syntax { path: path.to_owned(), source })?;
        let values = options.into_iter().map(|(option, setting)| {
            let origin = Origin::File(path.to_owned(), setting.line);
            (option, Raw { value: setting.value, origin })
        });
        Ok(Self { source, encoding, values: values.collect() })
    }

    /// What the environment sets.
    pub(crate) fn of_environment(environment: &impl Fn(&str) -> Option<String>) -> Self {
        let set = |option: &str| {
            let variable = format!("FLEET_{}", option.to_uppercase());
            let value = environment(&variable)?;
            Some((option.to_owned(), Raw { value, origin: Origin::Environment(variable) }))
        };
        let values = OPTIONS.into_iter().filter_map(set).collect();
        Self { values, ..Self::default() }
    }

    /// Sets an option that nothing else sets.
    pub(crate) fn default_to(&mut self, option: &str, value: String) {
        self.values.entry(option.to_owned()).or_insert(Raw { value, origin: Origin::Default });
    }

    /// A line for a file in another encoding, and for every option that fleetd doesn't know.
    pub(crate) fn oddities(&self) -> Vec<String> {
        let unknown = self.values.iter().filter(|(option, _)| !OPTIONS.contains(&option.as_str()));
        let unknown = unknown.map(|(option, raw)| {
            format!("unknown config option {option:?} in {} - ignoring", raw.origin)
        });
        self.encoding.iter().cloned().chain(unknown).collect()
    }

    fn raw(&self, option: &str, default: &str) -> Raw {
        let unset = || Raw { value: default.to_owned(), origin: Origin::Default };
        self.values.get(option).cloned().unwrap_or_else(unset)
    }

    /// The file that a value comes from, if one says more than nothing.
    pub(crate) fn file_of(&self, option: &str) -> Option<PathBuf> {
        let raw = self.raw(option, "");
        match raw.origin {
            Origin::File(path, _) if !raw.value.is_empty() => Some(path),
            Origin::File(..) | Origin::Environment(_) | Origin::Default => None,
        }
    }

    pub(crate) fn text(&self, option: &str, default: &str) -> String {
        self.raw(option, default).value
    }

    /// Parses an option's value; what is wrong with it is reported with where it was set.
    pub(crate) fn with<T>(
        &self,
        option: &str,
        default: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        parse(&self.text(option, default)).map_err(|reason| self.invalid(option, reason))
    }

    pub(crate) fn invalid(&self, option: &str, reason: String) -> ConfigError {
        let origin = self.raw(option, "").origin;
        ConfigError::Invalid { option: option.to_owned(), origin, reason }
    }

    pub(crate) fn flag(&self, option: &str, default: bool) -> Result<bool, ConfigError> {
        self.with(option, if default { "true" } else { "false" }, |text| {
            literal::boolean(text)
                .ok_or_else(|| format!("invalid value {text:?}: must be true or false"))
        })
    }

    pub(crate) fn path(&self, option: &str, default: &str) -> Result<PathBuf, ConfigError> {
        self.with(option, default, |text| match text {
            // Taken for a path it would be whatever folder fleetd was started in.
            "" => Err(format!("invalid value {text:?}: must be a path")),
            path => Ok(path.into()),
        })
    }

    pub(crate) fn seconds(&self, option: &str, default: &str) -> Result<Duration, ConfigError> {
        self.with(option, default, |text| {
            literal::seconds(text).ok_or_else(|| {
                format!("invalid value {text:?}: must be a number of seconds greater than 0")
            })
        })
    }

    /// A time to live: leases count whole seconds.
    pub(crate) fn ttl(&self, option: &str, default: &str) -> Result<Duration, ConfigError> {
        self.with(option, default, |text| match value::parse_duration(text) {
            Ok(ttl) if ttl >= Duration::from_secs(1) => Ok(ttl),
            Ok(_) => Err(format!("invalid value {text:?}: must be 1s at least")),
            Err(error) => Err(error.to_string()),
        })
    }

    /// The `verbosity` option: any positive number turns DEBUG on.
    pub(crate) fn verbosity(&self) -> Result<i64, ConfigError> {
        self.with("verbosity", "0", |text| {
            literal::integer(text)
                .ok_or_else(|| format!("invalid value {text:?}: must be a number"))
        })
    }
}
