use super::*;
use crate::scale::report::{Costs, Figure, Settings};

fn run(units: usize) -> Report {
    let part = |part, figures| PartReport {
        part,
        seconds: 1.0,
        figures,
        costs: Costs::default(),
        pages: None,
        timeline: (0..40)
            .map(|at| Point { at: at * 50, present: 10, placed: units, active: units / 2 })
            .collect(),
        problem: None,
    };
    let placed = Figure::new("first PUT to all placed", units as f64 / 100.0, "s");
    Report {
        settings: Settings { units, machines: 10, ..Settings::default() },
        parts: vec![part(Part::Place, vec![placed]), part(Part::Lose, Vec::new())],
        ..Report::default()
    }
}

#[test]
fn every_plot_that_there_are_figures_for_is_written() {
    let folder = tempfile::tempdir().unwrap();
    plot(folder.path(), &[run(400), run(100), run(200)]).unwrap();
    let text = fs::read_to_string(folder.path().join("place-by-units.svg")).unwrap();
    assert!(text.starts_with("<svg") && text.contains("placed (size to the 1.00)"), "{text}");
    for name in ["placing", "loss", "memory"] {
        assert!(folder.path().join(format!("{name}.svg")).is_file(), "{name}");
    }
    assert!(!folder.path().join("idle.svg").exists(), "nothing is known of it");
}

#[test]
fn growth_is_told_from_three_sizes_on() {
    let points =
        |power: i32| (1..=4).map(|x| f64::from(x * 100)).map(move |x| (x, 3.0 * x.powi(power)));
    for power in 0..3 {
        let found = exponent(&points(power).collect::<Vec<_>>()).unwrap();
        assert!((found - f64::from(power)).abs() < 1e-6, "{found}");
    }
    assert_eq!(exponent(&points(1).take(2).collect::<Vec<_>>()), None);
    assert_eq!(exponent(&[(1.0, 2.0); 3]), None, "it is one size");
}
