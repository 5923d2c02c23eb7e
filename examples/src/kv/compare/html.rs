//! The report: one file that needs no other, with plots as SVG.
#![forbid(unsafe_code)]

use super::Measured;
use super::load::Speed;
use super::memory::Connected;
use super::report::{calls, human, table};
use std::fmt::{self, Write};
use std::thread;

const STYLE: &str = ":root{color-scheme:light dark;--ink:#1d2733;--soft:#5b6b80;--line:#d8dee6;--card:#fff;--page:#f3f5f8}
@media(prefers-color-scheme:dark){:root{--ink:#e4e9f0;--soft:#93a1b3;--line:#2f3a47;--card:#1a222c;--page:#11171e}}
body{margin:0;padding:1rem;background:var(--page);color:var(--ink);font:16px/1.45 system-ui,sans-serif}
main{max-width:60rem;margin:0 auto}h1{font-size:1.4rem}h2{font-size:1.1rem;margin:0 0 .3rem}
section{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:1rem;margin:1rem 0}
p{color:var(--soft);margin:.2rem 0 .8rem}.scroll{overflow-x:auto}pre{margin:0;font-size:.85rem}
.plot{display:grid;grid-template-columns:max-content 1fr;gap:.3rem .7rem;align-items:center;font-size:.95rem}
.plot svg{width:100%;height:1.3rem;display:block}.plot b{font-weight:600;font-variant-numeric:tabular-nums}
.plot div{display:grid;grid-template-columns:1fr 6.5rem;gap:.5rem;align-items:center}
@media(max-width:34rem){body{padding:.5rem}.plot{grid-template-columns:1fr}}";

/// A bar of a plot: who, how much, as what it is shown.
type Bar = (String, f64, String);

/// The whole page.
pub(super) fn page(measured: &[Measured], connections: u32, spike: usize) -> String {
    let mut out = String::new();
    // A string takes every write.
    let _ = write(&mut out, measured, connections, spike);
    out
}

fn write(out: &mut String, measured: &[Measured], connections: u32, spike: usize) -> fmt::Result {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    writeln!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>kv compare</title><link rel=\"icon\" href=\"data:,\"><style>{STYLE}</style></head>\
         <body><main><h1>kv compare</h1><p>Version {version}, {cores} processors shared by server and \
         client, {connections} connections, a spike of {spike}. Shorter bars are better, but for \
         requests a second.</p>",
        version = env!("CARGO_PKG_VERSION"),
        spike = human(spike as u64),
    )?;
    memory(out, measured)?;
    speed(out, measured)?;
    writeln!(
        out,
        "<section><h2>All figures</h2><div class=\"scroll\"><pre>{}</pre></div></section>\
         </main></body></html>",
        escape(table(measured, connections, spike).trim())
    )
}

fn memory(out: &mut String, measured: &[Measured]) -> fmt::Result {
    let connected = |of: fn(&Connected) -> u64, shown: fn(u64) -> String| -> Vec<Bar> {
        let footprints = measured.iter().filter_map(|one| Some((one, one.footprint.as_ref()?)));
        footprints
            .map(|(one, footprint)| {
                let value = of(&footprint.connected);
                (one.name.clone(), value as f64, shown(value))
            })
            .collect()
    };
    let each = |value| format!("{value} B");
    let rise = |connected: &Connected| connected.after.saturating_sub(connected.before);
    plot(
        out,
        "An idle connection",
        "Bytes of the server's own memory.",
        &connected(Connected::each_idle, each),
    )?;
    let served = connected(Connected::each_served, each);
    plot(out, "A connection that was served once", "Bytes, while it is idle again.", &served)?;
    let left = "More memory than before they came.";
    plot(out, "When all have left", left, &connected(rise, human))?;
    let spiked: Vec<Bar> = measured
        .iter()
        .filter_map(|one| {
            let spiked = one.footprint.as_ref()?.spiked?;
            let ratio = spiked.after as f64 / spiked.kept as f64;
            Some((one.name.clone(), ratio, format!("{ratio:.2} x")))
        })
        .collect();
    let about =
        "Memory of the process over the bytes of keys and values that were kept, one in 16.";
    plot(out, "After a spike of values", about, &spiked)
}

fn speed(out: &mut String, measured: &[Measured]) -> fmt::Result {
    for pipeline in super::PIPELINES {
        let bars = |of: &dyn Fn(&Speed) -> Option<(f64, String)>| -> Vec<Bar> {
            let speeds = measured.iter().filter_map(|one| {
                Some((one, one.speeds.iter().find(|speed| speed.pipeline == pipeline)?))
            });
            speeds
                .filter_map(|(one, speed)| of(speed).map(|(at, text)| (one.name.clone(), at, text)))
                .collect()
        };
        let name = |what: &str| format!("{what}, pipeline {pipeline}");
        let half = "SET and GET in turn, 50 clients.";
        let cost = |speed: &Speed| {
            let each = speed.each(speed.processor.as_nanos() as f64 / 1000.0);
            Some((each, format!("{each:.2} us")))
        };
        plot(out, &name("The server's processor time a request"), half, &bars(&cost))?;
        let rate = |speed: &Speed| Some((speed.a_second(), format!("{:.0}", speed.a_second())));
        plot(out, &name("Requests a second"), "The client saturates, too.", &bars(&rate))?;
        for percent in [50.0, 99.0, 99.9] {
            let late = |speed: &Speed| {
                let at = speed.percentile(percent);
                Some((at, format!("{at:.0} us")))
            };
            let title = name(&format!("Latency, p{percent}"));
            plot(out, &title, "From sending a batch to its last reply.", &bars(&late))?;
        }
        let malloc = |speed: &Speed| Some((speed.calls?, calls(speed)));
        plot(out, &name("Calls of the system's allocator a request"), half, &bars(&malloc))?;
        let faults = |speed: &Speed| {
            let each = speed.each(speed.faults as f64);
            Some((each, format!("{each:.4}")))
        };
        plot(out, &name("Page faults a request"), half, &bars(&faults))?;
    }
    Ok(())
}

/// Horizontal bars, as long as their values; nothing if there are none.
fn plot(out: &mut String, title: &str, about: &str, bars: &[Bar]) -> fmt::Result {
    if bars.is_empty() {
        return Ok(());
    }
    let most = bars.iter().map(|bar| bar.1).fold(f64::MIN_POSITIVE, f64::max);
    write!(out, "<section><h2>{}</h2><p>{}</p><div class=\"plot\">", escape(title), escape(about))?;
    for (name, value, text) in bars {
        let width = (value / most * 100.0).max(0.3);
        let color = if name.starts_with("kv ") { "#3b82c4" } else { "#9aa5b1" };
        let (name, text) = (escape(name), escape(text));
        write!(
            out,
            "<span>{name}</span><div><svg viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\" role=\"img\" \
             aria-label=\"{name}: {text}\"><rect width=\"{width:.2}\" height=\"10\" rx=\"0.5\" \
             fill=\"{color}\"/></svg><b>{text}</b></div>"
        )?;
    }
    writeln!(out, "</div></section>")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::compare::memory::{Footprint, Spiked};

    #[test]
    fn the_page_is_whole() {
        let connected =
            Connected { before: 1000, idle: 2000, served: 3000, after: 1000, count: 10 };
        let spiked = Some(Spiked { peak: 100, after: 30, kept: 20 });
        let one = |name: &str| Measured {
            name: name.to_owned(),
            footprint: Some(Footprint { connected, spiked }),
            speeds: Vec::new(),
        };
        let page = page(&[one("kv pool"), one("a < b")], 10, 1 << 20);
        assert!(page.contains("100 B") && page.contains("200 B") && page.contains("1.50 x"));
        assert!(page.contains("a &lt; b") && !page.contains("a < b"));
        assert_eq!(page.matches("<svg").count(), 8);
        assert_eq!(page.matches("<section>").count(), page.matches("</section>").count());
        assert!(!page.contains("src=") && !page.contains("http"));
    }
}
