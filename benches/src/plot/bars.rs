//! Bars beside one another, with whiskers where there is a spread.

use super::canvas::{LINE, Side, WIDTH, Whose, picture};
use crate::measure::Spread;
use crate::render::digits;
use plotters::style::RGBColor;

/// One bar.
#[derive(Clone, Debug)]
pub struct Bar {
    /// What stands before it.
    pub label: String,
    /// Whose it is.
    pub whose: Whose,
    /// How long it is; the quarters are the same where there is no spread.
    pub value: Spread,
}

impl Bar {
    /// One that has no spread.
    #[must_use]
    pub fn exact(label: &str, whose: Whose, value: f64) -> Self {
        let value = Spread { q1: value, median: value, q3: value };
        Self { label: label.to_owned(), whose, value }
    }
}

/// Pixels for labels, and for the numbers behind bars.
const LABELS: i32 = 210;
const NUMBERS: i32 = 62;
const BLACK: RGBColor = RGBColor(0x20, 0x20, 0x20);
/// From the shortest bar to the longest, on a linear scale.
const LINEAR: f64 = 12.0;

/// Bars below a title. On a logarithmic scale, and the title says so, if they differ by much; then bars begin at a tenth of the shortest.
///
/// # Errors
/// What the plotter says.
pub fn bars(title: &str, bars: &[Bar]) -> Result<String, String> {
    let medians = || bars.iter().map(|bar| bar.value.median).filter(|value| *value > 0.0);
    let most = bars.iter().map(|bar| bar.value.q3).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let least = medians().fold(most, f64::min);
    let logarithmic = most > least * LINEAR;
    let share = |value: f64| {
        if logarithmic {
            let decades = (most / (least / 10.0)).log10();
            (value.max(least / 10.0) / (least / 10.0)).log10() / decades
        } else {
            value / most
        }
    };
    let room = f64::from(WIDTH - LABELS - NUMBERS);
    let at = |value: f64| LABELS + (share(value) * room) as i32;
    let title = if logarithmic { format!("{title} (logarithmic)") } else { title.to_owned() };
    picture((bars.len() as i32 + 1) * LINE + 14, |canvas| {
        canvas.text(&title, (8, LINE / 2 + 2), Side::Right)?;
        for (number, bar) in bars.iter().enumerate() {
            let middle = (number as i32 + 1) * LINE + LINE / 2 + 4;
            let Spread { q1, median, q3 } = bar.value;
            canvas.text(&bar.label, (LABELS - 8, middle), Side::Left)?;
            canvas.bar(
                (LABELS, middle - 7),
                (at(median).max(LABELS + 1), middle + 7),
                bar.whose,
            )?;
            if q1 < q3 {
                let (from, to) = (at(q1), at(q3));
                canvas.line(vec![(from, middle), (to, middle)], BLACK, 1)?;
                for end in [from, to] {
                    canvas.line(vec![(end, middle - 4), (end, middle + 4)], BLACK, 1)?;
                }
            }
            canvas.text(&digits(median), (at(q3.max(median)) + 6, middle), Side::Right)?;
        }
        Ok(())
    })
}
