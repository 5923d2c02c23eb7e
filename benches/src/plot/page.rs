//! The page, and which figures there are.

use super::bars::{Bar, bars};
use super::canvas::Whose;
use super::lines::{Axes, Line, lines};
use crate::gates::Outcome;
use crate::misses;
use crate::record::Record;
use crate::render::{base, cells, digits, verdict};
use crate::scale::Curve;
use crate::table::{Row, Table};
use std::fmt::Write;

/// On a phone a gate is a few lines of text, and not a line of a table.
const STYLE: &str = "@media(max-width:40rem){.why tr{display:block;padding:.3rem .4rem}.why tr:first-child{display:none}\
    .why td{display:inline;padding:0 .4rem 0 0}.why td:first-child{display:block;font-weight:600}\
    .why td:nth-child(5){display:block;padding-top:.1rem}}body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:60rem;padding:0 1rem;color:#202020}\
    svg,.wide{max-width:100%}svg{height:auto;width:40rem}.wide{overflow-x:auto}\
    table{border-collapse:collapse;font-size:14px}td,th{padding:.15rem .6rem;text-align:right;white-space:nowrap}\
    td:first-child,th:first-child{text-align:left;white-space:normal;min-width:8rem}tr:nth-child(even){background:#f4f4f4}\
    .why td{white-space:normal;vertical-align:top}.why td:nth-child(n+4){text-align:left;min-width:4rem}\
    .why td:nth-child(5){min-width:14rem}.missed{background:#fbd5cd!important}summary{cursor:pointer;font-weight:600;padding:.3rem 0}";

/// What a crate is about, in the order of the page.
const FAMILIES: [(&str, &str); 4] = [
    ("pool-core", "Runs of pages"),
    ("pool-arena", "Arenas"),
    ("pool-object", "Objects, pools and tables"),
    ("pool-ring", "Streams and packets"),
];

/// The page, all in one.
pub(super) fn html(record: &Record, server: &[Outcome]) -> Result<String, String> {
    let Record { table, scale, .. } = record;
    let mut text = format!(
        "<!doctype html><html lang=en><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width,initial-scale=1\">\
         <title>Memory pools: the scoreboard</title><style>{STYLE}</style>\
         <h1>Memory pools: the scoreboard</h1><p>{}</p>",
        escaped(&record.facts())
    );
    text += "<p>Ours is blue, peers are gray, the floor (written by hand, without what a pool has to \
             care for) is yellow. Ir: instructions an operation. Times are ratios within one round; whiskers are \
             quarters.</p>";
    text += &gates(table);
    for (family, title) in FAMILIES {
        let _ = write!(text, "<h2>{title} <small>({family})</small></h2>");
        for rows in table.workloads().filter(|rows| rows[0].family == family) {
            text += &workload(rows)?;
        }
    }
    if !scale.is_empty() {
        text += "<h2>How cost grows with work</h2>";
        for (_, svg) in curves(scale)? {
            text += &svg;
        }
        text += &html_table(&Curve::cells(scale), |_| false);
    }
    text += "<h2>The server</h2>";
    text += &html_table(&gates_of(server), is_missed);
    text += "</html>\n";
    Ok(text)
}

/// Figures for documents, by name.
pub(super) fn figures(record: &Record) -> Result<Vec<(String, String)>, String> {
    let mut figures = Vec::new();
    for (family, title) in FAMILIES {
        let bars_of = summary(&record.table, family);
        if !bars_of.is_empty() {
            let title = format!("{title}: instructions an operation, the best of each");
            figures.push((family.to_owned(), bars(&title, &bars_of)?));
        }
    }
    for rows in record.table.workloads() {
        if let Some(svg) = memory(rows)? {
            figures.push((format!("memory-{}", rows[0].workload), svg));
        }
    }
    figures.extend(curves(&record.scale)?);
    Ok(figures)
}

fn whose(row: &Row) -> Whose {
    match (row.ours, row.floor || row.engine == "(loop)") {
        (true, _) => Whose::Ours,
        (_, true) => Whose::Floor,
        _ => Whose::Peer,
    }
}

/// For each workload, the least instructions of ours, of peers, and of the floor.
fn summary(table: &Table, family: &str) -> Vec<Bar> {
    let mut bars = Vec::new();
    for rows in table.workloads().filter(|rows| rows[0].family == family) {
        for kind in [Whose::Ours, Whose::Peer, Whose::Floor] {
            let of = rows.iter().filter(|row| whose(row) == kind && row.engine != "(loop)");
            let best = of.filter_map(|row| Some((row.instructions?, &row.engine)));
            let best = best.min_by(|a, b| a.0.total_cmp(&b.0));
            bars.extend(best.map(|(ir, engine)| {
                let ours = kind == Whose::Ours;
                let of = if ours { format!("{}: ", rows[0].workload) } else { String::new() };
                Bar::exact(&format!("{of}{engine}"), kind, ir)
            }));
        }
    }
    bars
}

fn workload(rows: &[Row]) -> Result<String, String> {
    let name = escaped(&rows[0].workload);
    let mut text = format!("<details open><summary>{name}</summary>");
    let counted: Vec<_> = rows
        .iter()
        .filter_map(|row| Some(Bar::exact(&row.engine, whose(row), row.instructions?)))
        .collect();
    if !counted.is_empty() {
        text += &bars("instructions an operation", &counted)?;
    }
    let timed: Vec<_> = rows
        .iter()
        .filter_map(|row| {
            Some(Bar { label: row.engine.clone(), whose: whose(row), value: row.ratio? })
        })
        .collect();
    if let (false, Some(base)) = (timed.is_empty(), base(rows)) {
        text += &bars(&format!("time, as a multiple of {base}"), &timed)?;
    }
    text += &memory(rows)?.unwrap_or_default();
    text += &html_table(&cells(rows), |_| false);
    text += "</details>";
    Ok(text)
}

fn bytes(value: f64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let unit = units.iter().find(|(_, shift)| value >= f64::from(1 << shift));
    unit.map_or_else(
        || format!("{value:.0} B"),
        |(name, shift)| format!("{} {name}", digits(value / f64::from(1 << shift))),
    )
}

/// Bytes over time, if any row has them.
fn memory(rows: &[Row]) -> Result<Option<String>, String> {
    let with = rows.iter().filter(|row| !row.memory.is_empty());
    let line = |row: &Row| Line {
        label: row.engine.clone(),
        ours: row.ours,
        points: row.memory.iter().map(|point| (point.0 as f64, point.1 as f64)).collect(),
    };
    let all: Vec<_> = with.map(line).collect();
    let title = format!("{}: memory over time", rows[0].workload);
    let (across, height) = ("steps of the workload", bytes as fn(f64) -> String);
    let place = |value: f64| format!("{value:.0}");
    let axes = Axes { title: &title, across, logarithmic: false, height, place };
    (!all.is_empty()).then(|| lines(axes, &all)).transpose()
}

/// For each thing that grows, what an operation costs.
fn curves(curves: &[Curve]) -> Result<Vec<(String, String)>, String> {
    let mut figures = Vec::new();
    for of in curves.chunk_by(|a, b| a.name == b.name) {
        let line = |curve: &Curve| Line {
            label: format!("{} (exponent {:.2})", curve.engine, curve.exponent().unwrap_or(0.0)),
            ours: curve.ours,
            points: curve.points.iter().map(|point| (point.size as f64, point.ns)).collect(),
        };
        let title = format!("{}: ns an operation", of[0].name);
        let place = |value: f64| format!("{value:e}");
        let axes =
            Axes { title: &title, across: &of[0].across, logarithmic: true, height: digits, place };
        let svg = lines(axes, &of.iter().map(line).collect::<Vec<_>>())?;
        figures.push((format!("scale-{}", of[0].name.replace(' ', "-")), svg));
    }
    Ok(figures)
}

/// Each gate with its limit, what was measured, and whether that is good.
fn gates_of(gates: &[Outcome]) -> Vec<Vec<String>> {
    let mut cells = vec![["gate", "limit", "measured", ""].map(str::to_owned).to_vec()];
    for gate in gates {
        let name = format!("{}, {}: {}", gate.workload, gate.engine, gate.measure);
        let value = gate.value.map_or_else(|| "-".to_owned(), digits);
        let verdict = verdict(gate).replace('*', "");
        cells.push(vec![name, format!("≤ {}", digits(gate.limit)), value, verdict]);
    }
    cells
}

fn is_missed(line: &[String]) -> bool {
    line[3].to_lowercase().starts_with("missed")
}

fn gates(table: &Table) -> String {
    let plain = |line: Vec<String>| line.iter().map(|cell| cell.replace(['*', '`'], "")).collect();
    let unmet: Vec<_> = misses::cells(&table.gates).into_iter().map(plain).collect();
    format!(
        "<p>{}<details open class=why><summary>What is not met, and why</summary>{}</details>\
         <details class=why><summary>All {} gates</summary>{}</details>",
        escaped(&misses::in_words(&table.gates)),
        html_table(&unmet, is_missed),
        table.gates.len(),
        html_table(&gates_of(&table.gates), is_missed),
    )
}

fn html_table(cells: &[Vec<String>], red: impl Fn(&[String]) -> bool) -> String {
    let mut text = "<div class=wide><table>".to_owned();
    for (number, line) in cells.iter().enumerate() {
        let tag = if number == 0 { "th" } else { "td" };
        text += if red(line) { "<tr class=missed>" } else { "<tr>" };
        for cell in line {
            let plain = cell.trim_matches('*');
            let bold = if plain == cell { "" } else { "<b>" };
            let _ = write!(text, "<{tag}>{bold}{}", escaped(plain));
        }
    }
    text + "</table></div>"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
