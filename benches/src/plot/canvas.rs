//! A picture in pixels, on which the charts are drawn.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Pixels of a picture's width: about that of a phone, where its text must be read.
pub const WIDTH: i32 = 480;
/// Pixels between two lines.
pub const LINE: i32 = 22;
const FONT: (&str, i32) = ("sans-serif", 15);

/// Whose something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Ours.
    Ours,
    /// A peer's.
    Peer,
    /// Nobody's: the least that the work can cost.
    Floor,
}

impl Whose {
    /// What it is drawn in.
    #[must_use]
    pub fn color(self) -> RGBColor {
        match self {
            Self::Ours => RGBColor(0x1b, 0x6e, 0xc2),
            Self::Peer => RGBColor(0x9a, 0xa0, 0xa6),
            Self::Floor => RGBColor(0xd9, 0xa4, 0x41),
        }
    }
}

/// A picture that is being drawn.
pub struct Canvas<'a>(DrawingArea<SVGBackend<'a>, Shift>);

/// On which side of its place a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It ends there.
    Left,
    /// It begins there.
    Right,
}

type Place = (i32, i32);

/// A picture of so many pixels' height.
///
/// # Errors
/// What the plotter says.
pub fn picture(
    height: i32,
    draw: impl FnOnce(&Canvas<'_>) -> Result<(), String>,
) -> Result<String, String> {
    let mut svg = String::new();
    {
        let size = (WIDTH as u32, height.max(1) as u32);
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE).map_err(|error| error.to_string())?;
        let canvas = Canvas(area);
        draw(&canvas)?;
        canvas.0.present().map_err(|error| error.to_string())?;
    }
    Ok(svg)
}

impl<'a> Canvas<'a> {
    /// Writes at a place, in the middle of its height.
    ///
    /// # Errors
    /// What the plotter says.
    pub fn text(&self, text: &str, place: Place, side: Side) -> Result<(), String> {
        let across = if side == Side::Left { HPos::Right } else { HPos::Left };
        let style = FONT.into_text_style(&self.0).pos(Pos::new(across, VPos::Center));
        self.draw(&Text::new(text, place, style))
    }

    /// Fills a rectangle.
    ///
    /// # Errors
    /// What the plotter says.
    pub fn bar(&self, from: Place, to: Place, whose: Whose) -> Result<(), String> {
        self.draw(&Rectangle::new([from, to], whose.color().filled()))
    }

    /// Draws a line.
    ///
    /// # Errors
    /// What the plotter says.
    pub fn line(&self, places: Vec<Place>, color: RGBColor, width: u32) -> Result<(), String> {
        self.draw(&PathElement::new(places, color.stroke_width(width)))
    }

    /// Draws a dot.
    ///
    /// # Errors
    /// What the plotter says.
    pub fn dot(&self, place: Place, color: RGBColor) -> Result<(), String> {
        self.draw(&Circle::new(place, 3, color.filled()))
    }

    fn draw<'e, E>(&self, element: &'e E) -> Result<(), String>
    where
        &'e E: plotters::element::PointCollection<'e, Place>,
        E: plotters::element::Drawable<SVGBackend<'a>>,
    {
        self.0.draw(element).map_err(|error| error.to_string())
    }
}
