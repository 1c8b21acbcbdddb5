use super::*;

fn report() -> Report {
    let part = PartReport {
        part: Part::Place,
        seconds: 1.5,
        figures: vec![
            Figure::new("first PUT to all active", 1.25, "s"),
            Figure::count("units", 2_000_usize),
        ],
        costs: Costs::default(),
        pages: Some(Spread::of(vec![3.0, 1.0, 2.0], 1)),
        timeline: vec![Point { at: 100, present: 3, placed: 2, active: 1 }],
        problem: None,
    };
    Report { parts: vec![part], verified: 2_000, ..Report::default() }
}

#[test]
fn what_is_written_is_read_again_also_by_others() {
    let text = serde_json::to_string(&report()).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report());
    let more = text.replacen('{', "{\"new\":1,", 1);
    assert_eq!(serde_json::from_str::<Report>(&more).unwrap(), report());
    assert_eq!(serde_json::from_str::<Report>("{}").unwrap(), Report::default());
}

#[test]
fn the_table_shows_all_figures() {
    let table = report().to_string();
    let has = |words: &str| {
        let line = table.lines().find(|line| {
            let line: Vec<&str> = line.split_whitespace().collect();
            line.join(" ").contains(words)
        });
        assert!(line.is_some(), "{words} in\n{table}");
    };
    has("first PUT to all active 1.250 s");
    has("units 2000");
    has("median 2.0 ms, 99 % 3.0 ms, longest 3.0 ms of 3, 1 failed");
    has("2000 units verified");
    assert!(!table.contains("BROKEN") && !table.contains("INCOMPLETE"));
}

#[test]
fn what_is_wrong_is_shown() {
    let mut report = report();
    report.broken.push("a.service runs twice".to_owned());
    report.parts[0].problem = Some("too slow".to_owned());
    let table = report.to_string();
    assert!(table.contains("BROKEN: a.service runs twice"), "{table}");
    assert!(table.contains("INCOMPLETE: too slow"), "{table}");
}

#[test]
fn a_spread_of_nothing_is_nothing() {
    assert_eq!(Spread::of(Vec::new(), 0), Spread::default());
    let hundred = Spread::of((1..=200).map(f64::from).collect(), 0);
    assert_eq!((hundred.median, hundred.p99, hundred.longest), (101.0, 199.0, 200.0));
}

#[test]
fn figures_and_parts_are_found_by_name() {
    let report = report();
    let part = report.part(Part::Place).unwrap();
    assert_eq!(part.figure("units"), Some(2_000.0));
    assert_eq!((part.figure("x"), report.part(Part::Lose)), (None, None));
}
