//! Plots and tables to a page.

use std::fmt::Write;

use super::chart::{self, Colours};
use super::data::{Case, Data, Goal, Header, Part};
use super::svg::escape;
use crate::report::stats::Spread;
use crate::report::table::{number, range};

const STYLE: &str = include_str!("style.css");

/// The whole page.
pub(super) fn page(data: &Data) -> String {
    let colours = Colours::of(data.parts.iter().flat_map(|part| &part.cases));
    let mut page = String::new();
    page.push_str("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.push_str("<meta name=\"viewport\" content=\"width=device-width\">\n");
    page.push_str("<title>Waldo: measured</title>\n<style>\n");
    page.push_str(STYLE);
    page.push_str("</style>\n</head>\n<body>\n<h1>Waldo: measured</h1>\n");
    if let Some(part) = data.parts.first() {
        machine(&mut page, &part.header);
    }
    page.push_str(
        "<p>Medians over rounds in which all cases take turns; the thin lines reach from the \
         smallest to the largest. Ratios compare runs of the same round.</p>\n",
    );
    if !data.goals.is_empty() {
        goals(&mut page, &data.goals);
    }
    for part in &data.parts {
        section(&mut page, part, &colours);
    }
    page.push_str("</body>\n</html>\n");
    page
}

/// Writing to a string does not fail.
fn put(page: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = page.write_fmt(text);
}

fn machine(page: &mut String, header: &Header) {
    let Header { cpu, cpus, kernel, memory_gib, file_system, .. } = header;
    put(
        page,
        format_args!(
            "<p>{cpus} × {}, {memory_gib:.1} GiB, Linux {}, {}.</p>\n",
            escape(cpu),
            escape(kernel),
            escape(file_system)
        ),
    );
}

fn section(page: &mut String, part: &Part, colours: &Colours) {
    let header = &part.header;
    put(page, format_args!("<h2>{}</h2>\n", escape(&header.scenario)));
    put(page, format_args!("<p><code>{}</code></p>\n", escape(&header.options)));
    for warning in &header.warnings {
        put(page, format_args!("<p class=\"warning\">{}</p>\n", escape(warning)));
    }
    let lines = chart::lines(&part.cases, colours);
    let bars = chart::bars(&part.cases, colours);
    let latencies = chart::latencies(&part.cases, colours);
    for plot in lines.into_iter().chain(bars).chain(latencies) {
        put(page, format_args!("<figure>\n{plot}</figure>\n"));
    }
    table(page, &part.cases);
}

fn table(page: &mut String, cases: &[Case]) {
    let Some(first) = cases.first() else { return };
    let heads = ["", "", first.metric.heading(), "min", "max", "of ceiling", "Waldo to it"];
    page.push_str("<details><summary>Figures</summary>\n<table>\n<tr>");
    let latency = ["p50 µs", "p99 µs", "p99.9 µs", "longest µs", "CPU %", "runs"];
    for head in heads.into_iter().chain(latency) {
        put(page, format_args!("<th>{}</th>", escape(head)));
    }
    page.push_str("</tr>\n");
    for case in cases {
        row(page, case);
    }
    page.push_str("</table>\n</details>\n");
}

fn row(page: &mut String, case: &Case) {
    let figure = |of: fn(Spread) -> f64| case.figure.map(|figure| number(of(figure)));
    let latency = |at: usize| case.latency.map(|latency| number(latency[at]));
    let cells = [
        figure(|spread| spread.median),
        figure(|spread| spread.min),
        figure(|spread| spread.max),
        case.of_ceiling.map(range),
        case.waldo_to_it.map(range),
        latency(0),
        latency(1),
        latency(2),
        latency(3),
        case.cpu_percent.map(|spread| number(spread.median)),
        Some(case.runs.to_string()),
    ];
    put(page, format_args!("<tr><th>{}</th><th>{}</th>", escape(&case.work), escape(&case.who)));
    for cell in cells {
        put(page, format_args!("<td>{}</td>", cell.as_deref().unwrap_or("–")));
    }
    page.push_str("</tr>\n");
    if let Some(error) = &case.error {
        put(
            page,
            format_args!("<tr><td class=\"warning\" colspan=\"13\">{}</td></tr>\n", escape(error)),
        );
    }
}

fn goals(page: &mut String, goals: &[Goal]) {
    page.push_str("<h2>Goals</h2>\n<table>\n");
    page.push_str("<tr><th></th><th>measured</th><th>wanted</th><th></th></tr>\n");
    for goal in goals {
        let measured = goal.measured.map_or_else(
            || "–".to_owned(),
            |spread| {
                format!("{} ({}–{})", number(spread.median), number(spread.min), number(spread.max))
            },
        );
        let limit = |name: &str| goal.wanted[name].as_f64().map(number);
        let wanted = match (limit("at-least"), limit("at-most")) {
            (Some(limit), _) => format!("≥ {limit}"),
            (None, Some(limit)) => format!("≤ {limit}"),
            (None, None) => "–".to_owned(),
        };
        let (class, verdict) = match goal.met {
            Some(true) => ("met", "met"),
            Some(false) => ("warning", "not met"),
            None => ("", "not measured"),
        };
        put(
            page,
            format_args!(
                "<tr><th>{}</th><td>{measured}</td><td>{wanted}</td>\
                 <td class=\"{class}\">{verdict}</td></tr>\n",
                escape(&goal.what)
            ),
        );
    }
    page.push_str("</table>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Percentiles, Usage};
    use crate::outcome::{Metric, Sample};
    use crate::report::{Header as ReportHeader, json};
    use crate::rounds::{Label, Outcome, Point, Role};

    fn outcome(role: Role, who: &str, producers: u64) -> Outcome {
        let usage = Usage { seconds: 1.0, ..Usage::default() };
        let latency = Some(Percentiles { p50: 90.0, p99: 120.0, p999: 300.0, max: 5000.0 });
        let sample = Sample { ops: 1000 * producers, usage, latency, ..Sample::default() };
        let mut label = Label::new(role, format!("{producers} producers"), who);
        let series = "durable <commits>".to_owned();
        label.point = Some(Point { axis: "producers", x: producers as f64, series });
        Outcome { label, samples: vec![sample], error: None }
    }

    /// What the bench prints is what the page is made from.
    #[test]
    fn a_page_shows_what_was_printed_and_needs_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let mut lines = Vec::new();
        let header = ReportHeader::collect("commit", dir.path()).unwrap();
        json::header(&mut lines, &header).unwrap();
        let outcomes: Vec<Outcome> = [1, 4, 64]
            .into_iter()
            .flat_map(|producers| {
                [outcome(Role::Waldo, "waldo", producers), outcome(Role::Peer, "other", producers)]
            })
            .collect();
        json::run(&mut lines, "commit", &outcomes[0].label, 0, &outcomes[0].samples[0]).unwrap();
        json::summary(&mut lines, "commit", &outcomes, &[Metric::OpsPerSecond]).unwrap();
        let goal = crate::goals::Goal {
            what: "commits".to_owned(),
            wanted: crate::goals::Wanted::AtLeast(18.0),
            measured: Some(Spread { median: 20.0, min: 19.0, max: 21.0 }),
        };
        json::goals(&mut lines, &[goal]).unwrap();

        let mut data = Data::default();
        data.read(std::str::from_utf8(&lines).unwrap()).unwrap();
        let page = page(&data);
        assert_eq!(page.matches("<svg").count(), 3, "lines, bars, latencies");
        assert_eq!(page.matches("<polyline").count(), 2);
        assert!(page.contains("durable &lt;commits&gt;"));
        assert!(page.contains("64,000") && page.contains("≥ 18.0"));
        assert!(!page.contains("http") && !page.contains("<script"));
        assert!(Data::default().read("{\"kind\": \"nonsense\"}").is_err());
    }
}
