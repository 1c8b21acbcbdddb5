//! What it costs to read unit files. `cargo bench -p fleet-core --bench unit_files`

use divan::{Bencher, counter::BytesCount};
use fleet_core::{UnitFile, UnitName, validate};

fn main() {
    divan::main();
}

/// A file with so many lines in its last section.
fn text(lines: usize) -> Vec<u8> {
    let line = "ExecStartPre=/usr/bin/env --ignore-environment true \"an argument\"\n";
    let head = "# A comment\n[Unit]\nDescription=Measures\nAfter=network.target\n\n[X-Fleet]\n\
                MachineMetadata=region=eu\nConflicts=other@*.service\n\n[Service]\n";
    format!("{head}{}", line.repeat(lines)).into_bytes()
}

/// Lines of a usual file, of a long one, and of one of nearly the largest size.
const LINES: [usize; 3] = [4, 100, 3500];

#[divan::bench(args = LINES)]
fn parse(bencher: Bencher<'_, '_>, lines: usize) {
    let text = text(lines);
    bencher.counter(BytesCount::new(text.len())).bench(|| UnitFile::parse(&text).unwrap());
}

#[divan::bench(args = LINES)]
fn parse_and_validate(bencher: Bencher<'_, '_>, lines: usize) {
    let text = text(lines);
    let name: UnitName = "measured@1.service".parse().unwrap();
    bencher.counter(BytesCount::new(text.len())).bench(|| {
        let file = UnitFile::parse(&text).unwrap();
        validate(&name, file.into_options()).unwrap()
    });
}

#[divan::bench(args = LINES)]
fn hash(bencher: Bencher<'_, '_>, lines: usize) {
    let file = UnitFile::parse(&text(lines)).unwrap();
    bencher.bench(|| file.hash());
}
