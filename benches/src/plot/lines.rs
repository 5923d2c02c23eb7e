//! Lines over time or size.

use super::canvas::{LINE, Side, WIDTH, picture};
use plotters::style::RGBColor;

/// One line.
#[derive(Clone, Debug)]
pub struct Line {
    /// What it is called.
    pub label: String,
    /// Whether it is ours.
    pub ours: bool,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
}

/// What is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Axes<'a> {
    /// Above it.
    pub title: &'a str,
    /// Below it.
    pub across: &'a str,
    /// Whether both axes are logarithmic; else both are linear from 0.
    pub logarithmic: bool,
    /// How a height is written.
    pub height: fn(f64) -> String,
    /// How a place on the axis across is written.
    pub place: fn(f64) -> String,
}

const PLOT: i32 = 260;
const LEFT: i32 = 84;
const RIGHT: i32 = 16;
const GRAY: RGBColor = RGBColor(0xd0, 0xd0, 0xd0);
const OURS: [RGBColor; 4] = [
    RGBColor(0x1b, 0x6e, 0xc2),
    RGBColor(0x12, 0x99, 0x9e),
    RGBColor(0x5b, 0x4b, 0xc4),
    RGBColor(0x2e, 0x8b, 0x3d),
];
const PEERS: [RGBColor; 8] = [
    RGBColor(0xc2, 0x50, 0x2b),
    RGBColor(0x80, 0x80, 0x80),
    RGBColor(0xd9, 0xa4, 0x41),
    RGBColor(0x9c, 0x3d, 0x7c),
    RGBColor(0x7a, 0x5b, 0x3a),
    RGBColor(0xe0, 0x7b, 0x91),
    RGBColor(0x55, 0x66, 0x77),
    RGBColor(0xb0, 0xb0, 0x50),
];

/// From where to where an axis goes.
#[derive(Clone, Copy)]
struct Range {
    from: f64,
    to: f64,
    logarithmic: bool,
}

impl Range {
    fn of(values: impl Iterator<Item = f64> + Clone, logarithmic: bool) -> Self {
        let most = values.clone().fold(f64::MIN_POSITIVE, f64::max);
        if !logarithmic {
            return Self { from: 0.0, to: most, logarithmic };
        }
        let least = values.filter(|value| *value > 0.0).fold(most, f64::min);
        let (from, to) = (10_f64.powf(least.log10().floor()), 10_f64.powf(most.log10().ceil()));
        Self { from, to: to.max(from * 10.0), logarithmic }
    }

    fn share(self, value: f64) -> f64 {
        if self.logarithmic {
            (value.max(self.from) / self.from).log10() / (self.to / self.from).log10()
        } else {
            value / self.to
        }
    }

    /// Where something is written on the axis.
    fn marks(self) -> Vec<f64> {
        if !self.logarithmic {
            return (0..=4).map(|quarter| self.to * f64::from(quarter) / 4.0).collect();
        }
        let decades = (self.to / self.from).log10().round() as i32;
        (0..=decades).map(|decade| self.from * 10_f64.powi(decade)).collect()
    }
}

/// Lines below a title.
///
/// # Errors
/// What the plotter says.
pub fn lines(axes: Axes<'_>, lines: &[Line]) -> Result<String, String> {
    let points = || lines.iter().flat_map(|line| line.points.iter().copied());
    let across = Range::of(points().map(|point| point.0), axes.logarithmic);
    let up = Range::of(points().map(|point| point.1), axes.logarithmic);
    let bottom = LINE + 10 + PLOT;
    let x = |value: f64| LEFT + (across.share(value) * f64::from(WIDTH - LEFT - RIGHT)) as i32;
    let y = |value: f64| bottom - (up.share(value) * f64::from(PLOT)) as i32;
    let height = bottom + (lines.len() as i32 + 2) * LINE + 14;
    picture(height, |canvas| {
        canvas.text(axes.title, (8, LINE / 2 + 2), Side::Right)?;
        for mark in up.marks() {
            canvas.line(vec![(LEFT, y(mark)), (WIDTH - RIGHT, y(mark))], GRAY, 1)?;
            canvas.text(&(axes.height)(mark), (LEFT - 6, y(mark)), Side::Left)?;
        }
        for mark in across.marks() {
            canvas.line(vec![(x(mark), bottom), (x(mark), bottom + 4)], GRAY, 1)?;
            let side = if mark > across.from { Side::Left } else { Side::Right };
            canvas.text(&(axes.place)(mark), (x(mark) + 4, bottom + 14), side)?;
        }
        canvas.text(axes.across, (LEFT, bottom + 14 + LINE), Side::Right)?;
        let (mut ours, mut peers) = (OURS.iter().cycle(), PEERS.iter().cycle());
        for (number, line) in lines.iter().enumerate() {
            let color = if line.ours { ours.next() } else { peers.next() };
            let color = color.copied().unwrap_or(GRAY);
            let places: Vec<_> = line.points.iter().map(|point| (x(point.0), y(point.1))).collect();
            if axes.logarithmic {
                places.iter().try_for_each(|place| canvas.dot(*place, color))?;
            }
            canvas.line(places, color, if line.ours { 3 } else { 2 })?;
            let legend = bottom + 14 + (2 + number as i32) * LINE;
            canvas.line(vec![(LEFT, legend), (LEFT + 24, legend)], color, 4)?;
            canvas.text(&line.label, (LEFT + 30, legend), Side::Right)?;
        }
        Ok(())
    })
}
