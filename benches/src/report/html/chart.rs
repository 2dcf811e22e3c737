//! Cases to plots.

use std::collections::BTreeMap;

use super::data::Case;
use super::scale::{Scale, short, short_bytes};
use super::svg::{Anchor, Svg};
use crate::rounds::Role;

/// Colours that there are for engines; see the page's style.
const COLOURS: usize = 6;

/// Which colour each engine has, the same in all plots.
#[derive(Debug, Default)]
pub(super) struct Colours {
    peers: Vec<String>,
    ceilings: Vec<String>,
}

impl Colours {
    /// Gives each engine among the cases a colour.
    pub fn of<'a>(cases: impl Iterator<Item = &'a Case>) -> Self {
        let mut colours = Self::default();
        for case in cases {
            let known = match case.role {
                Role::Waldo => continue,
                Role::Peer => &mut colours.peers,
                Role::Ceiling => &mut colours.ceilings,
            };
            if !known.contains(&case.who) {
                known.push(case.who.clone());
            }
        }
        colours
    }

    /// Classes of a shape of this case.
    fn classes(&self, case: &Case) -> String {
        let place = |known: &[String]| known.iter().position(|who| *who == case.who).unwrap_or(0);
        match case.role {
            // Waldo's ways differ by the dash.
            Role::Waldo if case.who == "waldo" => "waldo".to_owned(),
            Role::Waldo => "waldo other".to_owned(),
            Role::Peer => format!("peer{}", place(&self.peers) % COLOURS),
            Role::Ceiling => format!("ceiling dash{}", place(&self.ceilings) % 3),
        }
    }
}

const LEFT: f64 = 64.0;
const TOP: f64 = 34.0;
const PLOT_WIDTH: f64 = 470.0;
const PLOT_HEIGHT: f64 = 250.0;
const LEGEND_ROW: f64 = 17.0;

/// Figures over what the points of a series differ by; one plot for each series with several.
pub(super) fn lines(cases: &[Case], colours: &Colours) -> Vec<String> {
    let mut series: BTreeMap<(&str, &str), Vec<&Case>> = BTreeMap::new();
    for case in cases {
        if let (Some(point), Some(_)) = (&case.point, &case.figure) {
            series.entry((&point.series, &point.axis)).or_default().push(case);
        }
    }
    series.retain(|_, cases| places(cases).len() > 1);
    series
        .into_iter()
        .map(|((title, axis), cases)| line_chart(title, axis, &cases, colours))
        .collect()
}

fn x_of(case: &Case) -> f64 {
    case.point.as_ref().map_or(0.0, |point| point.x)
}

/// The different places on the horizontal axis, in order.
fn places(cases: &[&Case]) -> Vec<f64> {
    let mut places: Vec<f64> = cases.iter().map(|case| x_of(case)).collect();
    places.sort_by(f64::total_cmp);
    places.dedup();
    places
}

fn line_chart(title: &str, axis: &str, cases: &[&Case], colours: &Colours) -> String {
    let mut by_who: Vec<(&str, Vec<&Case>)> = Vec::new();
    for case in cases {
        match by_who.iter_mut().find(|(who, _)| *who == case.who) {
            Some((_, own)) => own.push(case),
            None => by_who.push((&case.who, vec![case])),
        }
    }
    let legend = by_who.len() as f64 * LEGEND_ROW + 8.0;
    let mut svg = Svg::new(LEFT + PLOT_WIDTH + 20.0, TOP + PLOT_HEIGHT + 48.0 + legend, title);
    let heading = cases.first().map_or("", |case| case.metric.heading());
    svg.text((0.0, 16.0), Anchor::Start, "title", &format!("{title}: {heading}"));

    let figures = cases.iter().filter_map(|case| case.figure);
    let extremes = figures.flat_map(|figure| [figure.min, figure.max]);
    let vertical = Scale::of_figures(extremes, PLOT_HEIGHT);
    let horizontal = Scale::of_points(cases.iter().map(|case| x_of(case)), PLOT_WIDTH);
    let y = |value: f64| TOP + PLOT_HEIGHT - vertical.place(value);
    let x = |value: f64| LEFT + horizontal.place(value);
    for tick in vertical.ticks() {
        svg.line((LEFT, y(tick)), (LEFT + PLOT_WIDTH, y(tick)), "grid");
        svg.text((LEFT - 6.0, y(tick) + 4.0), Anchor::End, "tick", &short(tick));
    }
    let name = if axis.contains("bytes") { short_bytes } else { short };
    for place in places(cases) {
        svg.line((x(place), TOP + PLOT_HEIGHT), (x(place), TOP + PLOT_HEIGHT + 4.0), "axis");
        let at = (x(place), TOP + PLOT_HEIGHT + 17.0);
        svg.text(at, Anchor::Middle, "tick", &name(place));
    }
    let middle = (LEFT + PLOT_WIDTH / 2.0, TOP + PLOT_HEIGHT + 36.0);
    svg.text(middle, Anchor::Middle, "axis-name", axis);

    for (row, (who, own)) in by_who.iter_mut().enumerate() {
        own.sort_by(|a, b| x_of(a).total_cmp(&x_of(b)));
        let classes = own.first().map_or_else(String::new, |case| colours.classes(case));
        let mut points = Vec::new();
        for case in own.iter() {
            let Some(figure) = case.figure else { continue };
            let at = (x(x_of(case)), y(figure.median));
            svg.line((at.0, y(figure.min)), (at.0, y(figure.max)), &format!("whisker {classes}"));
            let text = format!(
                "{who}, {}: {} ({}–{}) {heading}",
                name(x_of(case)),
                short(figure.median),
                short(figure.min),
                short(figure.max)
            );
            svg.dot(at, 3.5, &classes, &text);
            points.push(at);
        }
        svg.polyline(&points, &format!("line {classes}"));
        let at = TOP + PLOT_HEIGHT + 56.0 + row as f64 * LEGEND_ROW;
        svg.line((LEFT, at - 4.0), (LEFT + 24.0, at - 4.0), &format!("line {classes}"));
        svg.text((LEFT + 30.0, at), Anchor::Start, "tick", who);
    }
    svg.finish()
}

const NAMES: f64 = 430.0;
const ROW: f64 = 18.0;

/// Names of the cases beside a plot, with the work above those that do it; answers where each row
/// is, and where the last ends.
fn rows(svg: &mut Svg, cases: &[&Case]) -> (Vec<f64>, f64) {
    let (mut at, mut last, mut rows) = (TOP, "", Vec::new());
    for case in cases {
        if case.work != last {
            at += if last.is_empty() { 0.0 } else { 6.0 };
            last = &case.work;
            svg.text((0.0, at + 12.0), Anchor::Start, "work", last);
            at += ROW;
        }
        svg.text((NAMES - 8.0, at + 12.0), Anchor::End, "tick", &case.who);
        rows.push(at);
        at += ROW;
    }
    (rows, at)
}

fn height(cases: &[&Case]) -> f64 {
    let mut works: Vec<&str> = cases.iter().map(|case| case.work.as_str()).collect();
    works.dedup();
    TOP + cases.len() as f64 * ROW + works.len() as f64 * (ROW + 6.0) + 40.0
}

/// One bar for each case that has a figure.
pub(super) fn bars(cases: &[Case], colours: &Colours) -> Option<String> {
    let cases: Vec<&Case> = cases.iter().filter(|case| case.figure.is_some()).collect();
    let heading = cases.first()?.metric.heading();
    let mut svg = Svg::new(NAMES + PLOT_WIDTH + 90.0, height(&cases), heading);
    svg.text((0.0, 16.0), Anchor::Start, "title", heading);
    let (rows, end) = rows(&mut svg, &cases);
    let highest = cases.iter().filter_map(|case| Some(case.figure?.max)).fold(0.0, f64::max);
    let scale = Scale::from_zero(highest, PLOT_WIDTH);
    let x = |value: f64| NAMES + scale.place(value);
    for tick in scale.ticks() {
        svg.line((x(tick), TOP), (x(tick), end), "grid");
        svg.text((x(tick), end + 16.0), Anchor::Middle, "tick", &short(tick));
    }
    for (case, at) in cases.iter().zip(rows) {
        let (Some(figure), classes) = (case.figure, colours.classes(case)) else { continue };
        let text =
            format!("{} ({}–{})", short(figure.median), short(figure.min), short(figure.max));
        svg.rect((NAMES, at + 3.0), (scale.place(figure.median), ROW - 6.0), &classes, &text);
        let middle = at + ROW / 2.0;
        svg.line((x(figure.min), middle), (x(figure.max), middle), "whisker");
        let beside = (x(figure.max) + 6.0, at + 13.0);
        svg.text(beside, Anchor::Start, "tick", &short(figure.median));
    }
    Some(svg.finish())
}

/// Percentiles of each case that has them.
pub(super) fn latencies(cases: &[Case], colours: &Colours) -> Option<String> {
    let cases: Vec<&Case> = cases.iter().filter(|case| case.latency.is_some()).collect();
    if cases.is_empty() {
        return None;
    }
    let title = "latency, µs: p50, p99, p99.9 and the longest";
    let mut svg = Svg::new(NAMES + PLOT_WIDTH + 90.0, height(&cases), title);
    svg.text((0.0, 16.0), Anchor::Start, "title", title);
    let (rows, end) = rows(&mut svg, &cases);
    let all = cases.iter().filter_map(|case| case.latency).flatten();
    let scale = Scale::log10(all, PLOT_WIDTH);
    let x = |value: f64| NAMES + scale.place(value);
    for tick in scale.ticks() {
        svg.line((x(tick), TOP), (x(tick), end), "grid");
        svg.text((x(tick), end + 16.0), Anchor::Middle, "tick", &short(tick));
    }
    for (case, at) in cases.iter().zip(rows) {
        let Some(latency) = case.latency else { continue };
        let (classes, middle) = (colours.classes(case), at + ROW / 2.0);
        svg.line((x(latency[0]), middle), (x(latency[3]), middle), &format!("whisker {classes}"));
        for (value, (name, radius)) in
            latency.iter().zip([("p50", 5.0), ("p99", 4.0), ("p99.9", 3.0), ("longest", 2.0)])
        {
            let text = format!("{} {}: {name} {} µs", case.work, case.who, short(*value));
            svg.dot((x(*value), middle), radius, &classes, &text);
        }
    }
    Some(svg.finish())
}
