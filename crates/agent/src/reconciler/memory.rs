//! What the fleetd after this one has to know of what this one did: in files that outlive a fleetd but
//! not a boot.

use std::{collections::BTreeMap, path::Path};

use fleet_core::UnitName;
use fleet_runtime::RuntimeFile;

use super::{claims::Claims, restarts::SentRestarts};
use crate::plan::Current;

pub(super) struct Memory {
    /// What is claimed and intended.
    pub(super) claims: Claims,
    /// Which restarts systemd was told of.
    restarts: SentRestarts,
}

impl Memory {
    /// One in the files in a directory.
    pub(super) fn new(runtime_dir: &Path) -> Self {
        let none = BTreeMap::<UnitName, ()>::new();
        let file = |name| RuntimeFile::new(runtime_dir, name).beginning_with(&none);
        Self { claims: Claims::new(file("claims")), restarts: SentRestarts::new(file("restarts")) }
    }

    /// Takes in what the fleetd before this one left.
    pub(super) fn recall(&mut self, current: &mut Current) {
        current.units = self.claims.recall();
        current.restarts = self.restarts.recall();
    }

    /// Keeps what is here now.
    pub(super) fn keep(&mut self, current: &Current) {
        // Which restarts were told of comes first: that they were intended is forgotten then.
        self.restarts.keep(&current.restarts);
        self.claims.keep(current);
    }
}
