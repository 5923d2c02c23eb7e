//! A record as pictures: a page for people, and figures for documents.

mod bars;
mod canvas;
mod lines;
mod page;

use crate::gates::Outcome;
use crate::record::Record;
use std::fs;
use std::path::Path;

/// Writes the page, with gates of the server as well.
///
/// # Errors
/// What the system or the plotter says.
pub fn page(record: &Record, server: &[Outcome], path: &Path) -> Result<(), String> {
    fs::write(path, page::html(record, server)?)
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// Writes the figures into a directory, and returns their names.
///
/// # Errors
/// What the system or the plotter says.
pub fn figures(record: &Record, directory: &Path) -> Result<Vec<String>, String> {
    fs::create_dir_all(directory).map_err(|error| error.to_string())?;
    let mut names = Vec::new();
    for (name, svg) in page::figures(record)? {
        let path = directory.join(format!("{name}.svg"));
        fs::write(&path, svg).map_err(|error| format!("{}: {error}", path.display()))?;
        names.push(name);
    }
    Ok(names)
}
