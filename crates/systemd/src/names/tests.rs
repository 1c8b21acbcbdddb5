//! Names against a real file system.

use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

const PATH: [&str; 5] = [
    "/run/systemd/transient",
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/lib/systemd/system",
];

fn unit(name: &str) -> UnitName {
    name.parse().unwrap()
}

/// A machine whose files are in a folder.
struct Machine {
    folder: TempDir,
    places: Places,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        // Inside and outside it has one path.
        let units = root.join("units");
        fs::create_dir(&units).unwrap();
        for path in PATH {
            fs::create_dir_all(root.join(&path[1..])).unwrap();
        }
        let path = PATH.iter().map(PathBuf::from).chain([PathBuf::from("/nowhere")]).collect();
        Self { folder, places: Places { root, units, path } }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(&path[1..])
    }

    fn file(&self, path: &str) -> &Self {
        fs::write(self.at(path), "[Unit]\n").unwrap();
        self
    }

    fn link(&self, path: &str, target: &str) -> &Self {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        let units = self.places.units.to_str().unwrap();
        symlink(target.replace("UNITS", units), self.at(path)).unwrap();
        self
    }

    fn holder(&self, name: &str, aliases: &[&str]) -> Option<Holder> {
        let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
        self.places.holder(&unit(name), &aliases).unwrap()
    }
}

#[test]
fn name_is_free_where_no_directory_has_it() {
    let machine = Machine::new();
    assert_eq!(machine.holder("a.service", &["b.service"]), None);
    machine.link("/run/systemd/system/a.service", "UNITS/a.service");
    machine.link("/run/systemd/system/b.service", "UNITS/a.service");
    assert_eq!(machine.holder("a.service", &["b.service"]), None, "these are its own");
    fs::create_dir(machine.at("/etc/systemd/system/a.service.d")).unwrap();
    machine.file("/etc/systemd/system/a.service.d/limits.conf");
    assert_eq!(machine.holder("a.service", &[]), None, "drop-ins are the administrator's wish");
}

#[test]
fn any_directory_that_has_the_name_makes_it_the_hosts() {
    for folder in PATH {
        let machine = Machine::new();
        let path = format!("{folder}/a.service");
        if folder != "/run/systemd/system" {
            machine.link("/run/systemd/system/a.service", "UNITS/a.service");
        }
        machine.file(&path);
        assert_eq!(machine.holder("a.service", &[]), Some(Holder::Machine), "{folder}");
        assert_eq!(
            machine.holder("x.service", &["a.service"]),
            Some(Holder::Alias("a.service".into())),
            "{folder}"
        );
    }
    for target in ["/usr/lib/systemd/system/b.service", "b.service", "/old/units/a.service"] {
        let machine = Machine::new();
        machine.link("/etc/systemd/system/a.service", target);
        assert_eq!(machine.holder("a.service", &[]), Some(Holder::Machine), "{target}");
    }
}

#[test]
fn mask_is_the_hosts_and_what_is_masked_counts_more() {
    let machine = Machine::new();
    machine.link("/run/systemd/system/a.service", "/dev/null");
    assert_eq!(machine.holder("a.service", &[]), Some(Holder::Mask));
    let alias = Some(Holder::Alias("a.service".into()));
    assert_eq!(machine.holder("x.service", &["a.service"]), alias);
    machine.file("/usr/lib/systemd/system/a.service");
    assert_eq!(machine.holder("a.service", &[]), Some(Holder::Machine));
    fs::write(machine.at("/etc/systemd/system/e.service"), "").unwrap();
    assert_eq!(machine.holder("e.service", &[]), Some(Holder::Mask), "an empty file is one too");
}

#[test]
fn instance_of_a_template_of_the_hosts_is_the_hosts() {
    let machine = Machine::new();
    machine.file("/usr/lib/systemd/system/getty@.service");
    machine.link("/run/systemd/system/web@.service", "UNITS/web@.service");
    let template = Holder::Template(unit("getty@.service"));
    assert_eq!(machine.holder("getty@tty1.service", &[]), Some(template));
    assert_eq!(machine.holder("getty@.service", &[]), Some(Holder::Machine));
    assert_eq!(machine.holder("web@1.service", &[]), None, "the template is fleet's");
    assert_eq!(machine.holder("web@.service", &[]), None);
}

#[test]
fn units_of_fleets_get_no_name_of_each_others() {
    let machine = Machine::new();
    machine.link("/run/systemd/system/a.service", "UNITS/x.service");
    let other = Holder::OtherOfFleets("x.service".into());
    assert_eq!(machine.holder("a.service", &[]), Some(other));
    fs::write(machine.places.units.join("b.service"), "[Unit]\n").unwrap();
    let alias = Holder::AliasOfFleets("b.service".into());
    assert_eq!(machine.holder("x.service", &["b.service"]), Some(alias));
    let alias = Holder::AliasOfFleets("a.service".into());
    assert_eq!(machine.holder("y.service", &["a.service"]), Some(alias));
}

#[test]
fn all_links_to_a_units_file_go_and_no_others() {
    let machine = Machine::new();
    let run = "/run/systemd/system";
    for link in
        ["a.service", "alias.service", "t.target.wants/a.service", "b.service.requires/a.service"]
    {
        machine.link(&format!("{run}/{link}"), "UNITS/a.service");
    }
    machine.link(&format!("{run}/b.service"), "UNITS/b.service");
    machine.link(&format!("{run}/b.service.requires/c.service"), "UNITS/c.service");
    machine.link(&format!("{run}/masked.service"), "/dev/null");
    machine.link(&format!("{run}/t.target.wants/masked.service"), "UNITS/masked.service");
    machine.link("/etc/systemd/system/a.service", "UNITS/a.service");
    let units = [unit("a.service"), unit("masked.service")].into();
    let (aliases, errors) = machine.places.unlink(&units);
    assert_eq!(aliases, ["alias.service"]);
    assert!(errors.is_empty(), "{errors:?}");
    let left = |folder: &str| {
        let entries = fs::read_dir(machine.at(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect::<BTreeSet<String>>().into_iter().collect::<Vec<_>>()
    };
    assert_eq!(left(run), ["b.service", "b.service.requires", "masked.service"]);
    assert_eq!(left(&format!("{run}/b.service.requires")), ["c.service"]);
    assert_eq!(left("/etc/systemd/system"), ["a.service"], "that is the administrator's");
}

#[test]
fn an_alias_may_lead_to_the_units_own_link() {
    let machine = Machine::new();
    let run = "/run/systemd/system";
    machine.link(&format!("{run}/z.service"), "UNITS/z.service");
    for alias in ["a-alias.service", "zz-alias.service"] {
        machine.link(&format!("{run}/{alias}"), &format!("{run}/z.service"));
        assert_eq!(machine.holder("z.service", &[alias]), None, "{alias} is its own");
        let taken = Some(Holder::AliasOfFleets(alias.into()));
        assert_eq!(machine.holder("x.service", &[alias]), taken);
    }
    machine.file("/etc/systemd/system/own.service");
    machine.link(&format!("{run}/own.service"), "/etc/systemd/system/own.service");
    machine.link(&format!("{run}/own-alias.service"), &format!("{run}/own.service"));
    let taken = Some(Holder::Alias("own-alias.service".into()));
    assert_eq!(machine.holder("z.service", &["own-alias.service"]), taken);

    machine.link(&format!("{run}/masked.service"), "/dev/null");
    machine.link(&format!("{run}/masked-alias.service"), &format!("{run}/masked.service"));
    let units = ["z.service", "own.service", "masked.service"].map(unit).into();
    let (mut aliases, errors) = machine.places.unlink(&units);
    aliases.sort();
    assert_eq!(aliases, ["a-alias.service", "masked-alias.service", "zz-alias.service"]);
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(fs::read_dir(machine.at(run)).unwrap().count(), 3, "the host's own, and the mask");
}

#[test]
fn units_are_linked_where_nothing_else_is() {
    let machine = Machine::new();
    let run = "/run/systemd/system";
    machine.link(&format!("{run}/there.service"), "UNITS/there.service");
    machine.link(&format!("{run}/masked.service"), "/dev/null");
    machine.file(&format!("{run}/theirs.service"));
    let names = ["new.service", "there.service", "masked.service", "theirs.service", "a.snapshot"];
    let linked = machine.places.link(&names.map(unit).into());
    assert_eq!(linked, ["new.service", "there.service"].map(unit).into());
    let target = fs::read_link(machine.at(&format!("{run}/new.service"))).unwrap();
    assert_eq!(target, machine.places.units.join("new.service"));
    let mask = fs::read_link(machine.at(&format!("{run}/masked.service"))).unwrap();
    assert_eq!(mask, Path::new("/dev/null"));

    fs::remove_dir_all(machine.at(run)).unwrap();
    assert!(machine.places.link(&[unit("new.service")].into()).is_empty(), "no such folder");
}

#[test]
fn what_systemd_has_in_memory_is_fleets_when_it_comes_from_fleets_file() {
    let places = Places { root: "/".into(), units: "/run/fleet/units".into(), path: Vec::new() };
    for (fragment, expected) in [
        ("/run/fleet/units/a.service", true),
        ("/run/systemd/system/a.service", true),
        ("/run/user/7/systemd/user/a.service", true),
        ("/run/systemd/transient/a.service", false),
        ("/run/fleet/units/b.service", false),
        ("/etc/systemd/system/a.service", false),
        ("", false),
    ] {
        assert_eq!(places.is_from_fleet(fragment, &unit("a.service")), expected, "{fragment}");
    }
}
