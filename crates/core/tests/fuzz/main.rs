//! Fuzzing what comes from strangers: unit files and the patterns in them.

mod globs;
mod unit_files;
