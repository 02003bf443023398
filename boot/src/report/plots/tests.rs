//! Plots, checked by parsing their SVG.

use super::*;
use roxmltree::{Document, Node};

fn bench(name: &str, n: u64, of: &str, value: u64, unit: &str) -> Record<String> {
    Record::Bench { t_ns: 1, name: name.into(), n, of: of.into(), value, unit: unit.into() }
}

fn among(points: &[(u64, u64)]) -> Vec<Record<String>> {
    let point =
        |(n, value): &(u64, u64)| bench("sched/switch-among", *n, "runnable threads", *value, "ticks");
    points.iter().map(point).collect()
}

fn texts(document: &Document<'_>) -> Vec<String> {
    let is_text = |node: &Node<'_, '_>| node.has_tag_name(("http://www.w3.org/2000/svg", "text"));
    document.descendants().filter(is_text).map(|node| node.text().unwrap_or("").trim().into()).collect()
}

/// Returns the positions of a plot's points, from left to right.
fn circles(document: &Document<'_>) -> Vec<(f64, f64)> {
    let number = |node: &Node<'_, '_>, name| node.attribute(name).unwrap().parse::<f64>().unwrap();
    let mut found: Vec<_> = document
        .descendants()
        .filter(|node| node.tag_name().name() == "circle")
        .map(|node| (number(&node, "cx"), number(&node, "cy")))
        .collect();
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    found
}

#[test]
fn series_is_a_plot_with_a_point_for_each_record() {
    // Out of order; each doubling of n adds the same.
    let plots = plots(&among(&[(1024, 600), (2, 240), (32, 400), (8, 320)])).unwrap();
    let [plot] = &plots[..] else { panic!("one picture, not {plots:?}") };
    assert_eq!(plot.file_name, "bench-sched-switch-among-ticks-by-runnable-threads.svg");
    let document = Document::parse(&plot.svg).unwrap();
    assert_eq!(document.root_element().tag_name().name(), "svg");
    let texts = texts(&document);
    for wanted in
        ["sched/switch-among", "runnable threads", "ticks", "a + b log n through its ends", "10", "100"]
    {
        assert!(texts.iter().any(|text| text == wanted), "no `{wanted}` in {texts:?}");
    }
    let circles = circles(&document);
    assert_eq!(circles.len(), 4);
    // 2, 8, 32 and 1024: two, two and five doublings, each of the same width and 40 ticks of height.
    let step = |from: usize, to: usize| (circles[to].0 - circles[from].0, circles[from].1 - circles[to].1);
    let doubling = (step(0, 3).0 / 9.0, step(0, 3).1 / 9.0);
    assert!(doubling.0 > 50.0 && doubling.1 > 5.0, "{doubling:?}");
    for (from, to, doublings) in [(0, 1, 2.0), (1, 2, 2.0), (2, 3, 5.0)] {
        let (right, up) = step(from, to);
        assert!((right - doublings * doubling.0).abs() <= 2.0, "{circles:?}");
        assert!((up - doublings * doubling.1).abs() <= 2.0, "{circles:?}");
    }
}

#[test]
fn parts_of_a_benchmark_share_a_plot_and_other_units_do_not() {
    let records: Vec<_> = [2, 4]
        .into_iter()
        .flat_map(|n| {
            [
                bench("sched/helper-start/first", n, "threads", 10 * n, "ticks"),
                bench("sched/helper-start/all", n, "threads", 20 * n, "ticks"),
                bench("sched/helper-start/share", n, "threads", 500, "permille"),
            ]
        })
        // A single point is no series.
        .chain([bench("sched/helper-start/taken-back", 2, "threads", 7, "ticks")])
        .collect();
    let plots = plots(&records).unwrap();
    let shape: Vec<_> = plots
        .iter()
        .map(|plot| {
            let document = Document::parse(&plot.svg).unwrap();
            assert!(!texts(&document).iter().any(|text| text.contains("taken-back")));
            (plot.file_name.as_str(), circles(&document).len())
        })
        .collect();
    assert_eq!(
        shape,
        [
            ("bench-sched-helper-start-permille-by-threads.svg", 2),
            ("bench-sched-helper-start-ticks-by-threads.svg", 4)
        ]
    );
}

#[test]
fn measurements_for_one_n_are_not_plotted() {
    assert_eq!(plots(&[]).unwrap(), []);
    assert_eq!(plots(&among(&[(2, 240)])).unwrap(), []);
    assert_eq!(plots(&among(&[(2, 240), (2, 250)])).unwrap(), []);
}

#[test]
fn any_record_is_plotted_and_its_file_stays_in_its_directory() {
    let extremes = [(0, 0), (1, 0), (u64::MAX, u64::MAX)];
    for pair in [[extremes[0], extremes[1]], [extremes[0], extremes[2]], [extremes[1], extremes[2]]] {
        let records: Vec<_> =
            pair.iter().map(|(n, value)| bench("../<&\"\u{1f600}/x", *n, "", *value, "a/b")).collect();
        let plots = plots(&records).unwrap();
        assert_eq!(plots.len(), 1);
        assert!(!plots[0].file_name.contains(['/', '<']), "{}", plots[0].file_name);
        let document = Document::parse(&plots[0].svg).unwrap();
        assert_eq!(circles(&document).len(), 2);
        assert!(texts(&document).iter().any(|text| text == "n"));
    }
}
