//! What keeps a machine from having a unit.

use std::fmt;

use crate::{UnitName, eligibility::Refusal};

/// What keeps a machine from having a unit; displayed with the specification's texts (`units.md` 5.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// It refuses it.
    Refused(Refusal),
    /// This unit there pushes it off (`cluster.md` 4).
    Replaced(UnitName),
    /// It is there, but its entry can't be understood: nothing new goes there.
    Unclear,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Replaced(by) => write!(f, "found replace with locally-scheduled Unit({by})"),
            Self::Unclear => f.write_str("is there, but its entry in etcd can't be read"),
        }
    }
}
