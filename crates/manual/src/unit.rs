//! The page of unit files, fleet.unit(5): what `[X-Fleet]` may say, out of `docs/unit-files.md`.

use clap::Command;
use clap_mangen::Man;

use crate::{ManualError, page, table};

/// Where every option is documented.
const UNIT_FILES: &str = include_str!("../../../docs/unit-files.md");

/// The page.
pub(crate) fn page() -> Result<Vec<u8>, ManualError> {
    let rows = table::rows(UNIT_FILES, &["option", "meaning"]);
    if rows.is_empty() {
        return Err(ManualError::NoTable("docs/unit-files.md"));
    }
    let command = Command::new("fleet.unit")
        .about("where in a cluster a unit may run")
        .long_about(
            "Units of fleet are unit files of systemd, see systemd.unit(5), handed over as they are. A \
             section [X-Fleet], which systemd ignores, says where in the cluster a unit may run. A unit \
             without it goes to the machine that has the fewest.\n\n\
             Types are service, socket, timer, path, target, mount, slice, swap, automount and device. A name \
             without a type is completed to NAME.service. A name with an @ before its type is a template, \
             NAME@.service, which is never started; NAME@INSTANCE.service is made of it.",
        )
        .version(fleet_core::VERSION.trim_start_matches('v'))
        .disable_help_flag(true)
        .disable_version_flag(true);
    let mut page = page::start(Man::new(command).section("5"));
    page::terms(
        &mut page,
        "OPTIONS",
        "An option may be repeated, and may hold several values, each in double quotes. In values, %n \
         stands for the unit's name, %N for the name without its type, %p for what is before the @, and %i \
         for what is after it.",
        rows.iter().map(|(name, text)| (&**name, &**text)),
    );
    page::terms(
        &mut page,
        "EXAMPLE",
        "One instance a machine, on machines with a fast disk: a template web@.service with the lines \
         [X-Fleet], Conflicts=web@*.service and MachineMetadata=disk=ssd.",
        [],
    );
    page::terms(&mut page, "SEE ALSO", "fleetctl(1), fleetd(8), systemd.unit(5)", []);
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_on_the_page() {
        let page = String::from_utf8(page().unwrap()).unwrap();
        for name in ["MachineID", "MachineOf", "MachineMetadata", "Conflicts", "Replaces", "Global"]
        {
            let is_term = |line: &str| line.starts_with(&format!("\\fB{name}="));
            assert!(page.lines().any(is_term), "{name} isn't on the page:\n{page}");
        }
        assert!(page.contains(".TH fleet.unit 5 "), "{page}");
    }
}
