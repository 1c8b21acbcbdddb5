//! The units directory against a real file system.

use std::os::unix::fs::symlink;

use fleet_core::UnitOption;
use tempfile::TempDir;

use super::*;

fn unit(name: &str) -> UnitName {
    name.parse().unwrap()
}

fn file(value: &str) -> UnitFile {
    let option = |name: &str, value: &str| UnitOption {
        section: "Service".into(),
        name: name.into(),
        value: value.into(),
    };
    UnitFile::new(vec![option("ExecStart", value)])
}

fn opened() -> (TempDir, Directory) {
    let folder = tempfile::tempdir().unwrap();
    let directory = Directory::open(folder.path().join("run/fleet/units")).unwrap();
    (folder, directory)
}

fn listed(text: &str) -> Listed {
    Listed::of(&file(text))
}

fn modified(directory: &Directory, name: &str) -> SystemTime {
    fs::metadata(directory.path_of(&unit(name))).unwrap().modified().unwrap()
}

#[test]
fn directory_is_made_with_its_parents_and_swept() {
    let (folder, directory) = opened();
    let path = folder.path().join("run/fleet/units");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o755);
    fs::write(path.join(".fleet-abc.tmp"), "half").unwrap();
    fs::write(path.join("a.service"), "[Service]\n").unwrap();
    assert_eq!(directory.list().unwrap().len(), 1);
    assert!(directory.lock().warned.is_empty(), "our own files are no surprise");
    Directory::open(path.clone()).unwrap();
    assert!(!path.join(".fleet-abc.tmp").exists());
    assert!(path.join("a.service").exists());
}

#[test]
fn directory_that_somebody_removed_is_made_again() {
    let (_folder, directory) = opened();
    directory.write(&unit("a.service"), &file("/bin/a")).unwrap();
    assert_eq!(directory.list().unwrap().len(), 1);
    fs::remove_dir_all(&directory.path).unwrap();
    assert!(directory.list().unwrap().is_empty());
    assert!(directory.path.is_dir());
    directory.write(&unit("a.service"), &file("/bin/a")).unwrap();
    assert_eq!(directory.list().unwrap().len(), 1);
}

#[test]
fn file_in_the_way_of_the_directory_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("units");
    fs::write(&path, "").unwrap();
    assert!(Directory::open(path).is_err());
}

#[test]
fn written_units_are_listed_with_their_hash_until_removed() {
    let (_folder, directory) = opened();
    let names = ["a.service", "b@1.socket", "c.target", "d.timer"];
    for name in names {
        directory.write(&unit(name), &file(name)).unwrap();
    }
    let expected: BTreeMap<_, _> = names.iter().map(|name| (unit(name), listed(name))).collect();
    assert_eq!(directory.list().unwrap(), expected);
    let path = directory.path_of(&unit("a.service"));
    assert_eq!(fs::read_to_string(&path).unwrap(), file("a.service").to_text());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    directory.remove(&unit("a.service")).unwrap();
    directory.remove(&unit("a.service")).unwrap();
    assert_eq!(directory.list().unwrap().len(), 3);
    assert_eq!(fs::read_dir(&directory.path).unwrap().count(), 3, "nothing is left lying about");
}

#[test]
fn identical_content_is_not_written_again() {
    let (_folder, directory) = opened();
    directory.write(&unit("a.service"), &file("1")).unwrap();
    let before = fs::metadata(directory.path_of(&unit("a.service"))).unwrap();
    directory.write(&unit("a.service"), &file("1")).unwrap();
    let after = fs::metadata(directory.path_of(&unit("a.service"))).unwrap();
    assert_eq!(stamp(&before), stamp(&after));
}

#[test]
fn rewritten_file_is_newer_even_when_the_clock_went_back() {
    let (_folder, directory) = opened();
    directory.write(&unit("a.service"), &file("1")).unwrap();
    let ahead = SystemTime::now() + Duration::from_secs(3600);
    let old = fs::File::options().write(true).open(directory.path_of(&unit("a.service"))).unwrap();
    old.set_modified(ahead).unwrap();
    directory.write(&unit("a.service"), &file("2")).unwrap();
    let second = modified(&directory, "a.service");
    assert!(second >= ahead + Duration::from_micros(1));
    directory.remove(&unit("a.service")).unwrap();
    directory.write(&unit("a.service"), &file("3")).unwrap();
    assert!(modified(&directory, "a.service") >= second + Duration::from_micros(1));
}

#[test]
fn file_changed_behind_our_back_is_noticed() {
    let (_folder, directory) = opened();
    let path = directory.path_of(&unit("a.service"));
    for round in 0..20 {
        let text = format!("[Service]\nExecStart={round:02}\n"); // the same length each time
        fs::write(&path, &text).unwrap();
        let found = directory.list().unwrap()[&unit("a.service")];
        assert_eq!(found, listed(&format!("{round:02}")), "round {round}");
    }
}

#[test]
fn unchanged_file_is_not_read_again() {
    let (_folder, directory) = opened();
    directory.write(&unit("a.service"), &file("1")).unwrap();
    let hash = directory.list().unwrap()[&unit("a.service")].hash;
    // What can't be told from the stamp isn't seen: so it was the stamp that was looked at.
    let forged = UnitHash::of(b"forged");
    for known in directory.lock().known.values_mut() {
        known.content = Some(Content { hash: forged, once: false });
        known.fresh = false;
    }
    assert_eq!(directory.list().unwrap()[&unit("a.service")].hash, Some(forged));
    assert_ne!(hash, Some(forged));
}

#[test]
fn entries_that_cannot_be_used_are_listed_without_a_hash() {
    let (_folder, directory) = opened();
    let path = |name: &str| directory.path.join(name);
    fs::create_dir(path("dir.service")).unwrap();
    fs::write(path("bad.service"), "[Service\n").unwrap();
    fs::write(path("binary.service"), [0xff, 0xfe, b'\n']).unwrap();
    symlink("/nonexistent", path("dangling.service")).unwrap();
    symlink("loop.service", path("loop.service")).unwrap();
    make_fifo(&path("pipe.service"));
    let listed = directory.list().unwrap();
    assert_eq!(listed.len(), 6);
    assert!(listed.values().all(|listed| listed.hash.is_none()), "{listed:?}");
    for name in listed.keys() {
        directory.remove(name).unwrap();
    }
    assert!(directory.list().unwrap().is_empty());
}

fn hash_in(known: &BTreeMap<UnitName, Known>) -> Option<UnitHash> {
    known[&unit("a.service")].content.map(|content| content.hash)
}

#[test]
fn what_can_not_be_read_just_now_is_what_it_was() {
    let (_folder, directory) = opened();
    let fail = |code| move |_: &Path| Err(io::Error::from_raw_os_error(code));
    let (no_descriptor, denied) = (24, 13);
    directory.write(&unit("a.service"), &file("1")).unwrap();
    let unknown = directory.look_through(&BTreeMap::new(), fail(no_descriptor)).unwrap_err();
    assert!(unknown.to_string().contains("a.service"), "{unknown}");

    let known = directory.look_through(&BTreeMap::new(), read).unwrap();
    for content in ["1", "2"] {
        directory.write(&unit("a.service"), &file(content)).unwrap();
        let still = directory.look_through(&known, fail(no_descriptor)).unwrap();
        assert_eq!(hash_in(&still), Some(file("1").hash()));
        let then = directory.look_through(&still, read).unwrap();
        assert_eq!(hash_in(&then), Some(file(content).hash()), "it is read again");
    }
    let locked = directory.look_through(&known, fail(denied)).unwrap();
    assert_eq!(hash_in(&locked), None);
}

/// A pipe under a unit's name: a reader that opened it would hang. Made by the tool, for there
/// is no call in the standard library.
fn make_fifo(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn directory_that_is_not_empty_stays() {
    let (_folder, directory) = opened();
    fs::create_dir_all(directory.path.join("dir.service/keep")).unwrap();
    let error = directory.remove(&unit("dir.service")).unwrap_err();
    assert!(error.to_string().contains("dir.service"), "{error}");
    assert!(directory.write(&unit("dir.service"), &file("1")).is_err());
    assert_eq!(fs::read_dir(&directory.path).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn foreign_files_are_ignored_and_complained_about_once() {
    let (_folder, directory) = opened();
    fs::write(directory.path.join("README"), "").unwrap();
    fs::write(directory.path.join("a.conf"), "").unwrap();
    assert!(directory.list().unwrap().is_empty());
    assert!(directory.list().unwrap().is_empty());
    assert_eq!(directory.lock().warned.len(), 2);
}

#[test]
fn unfinished_unit_is_listed_as_such() {
    let (_folder, directory) = opened();
    directory.write(&unit("a.service"), &file("1")).unwrap();
    directory.set_finished(&unit("a.service"), false);
    let unfinished = Listed { finished: false, ..listed("1") };
    assert_eq!(directory.list().unwrap()[&unit("a.service")], unfinished);
    directory.set_finished(&unit("a.service"), true);
    assert_eq!(directory.list().unwrap()[&unit("a.service")], listed("1"));
}
