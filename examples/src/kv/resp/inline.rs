//! Inline requests: a line of words, some of them in quotes.
#![forbid(unsafe_code)]

use super::{Args, ProtocolError};
use crate::kv::memory::{List, Scratch};

/// Splits a line into words as Redis does (`sdssplitargs`): blanks separate, quotes keep blanks.
pub(super) fn split_words<C: Scratch>(
    mut rest: &[u8],
    args: &mut Args<C>,
) -> Result<(), ProtocolError> {
    loop {
        let blanks = rest.iter().take_while(|&&byte| is_blank(byte)).count();
        rest = &rest[blanks..];
        if rest.is_empty() || rest[0] == 0 {
            return Ok(());
        }
        let start = args.line.as_slice().len();
        rest = word(rest, &mut args.line)?;
        let end = args.line.as_slice().len();
        args.push(start, end)?;
    }
}

/// C's `isspace`.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Copies one word, unquoted, and gives what is behind it.
fn word<'a>(mut rest: &'a [u8], out: &mut impl List<u8>) -> Result<&'a [u8], ProtocolError> {
    while let Some((&byte, after)) = rest.split_first() {
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' | 0 => break,
            b'"' => return double_quoted(after, out),
            b'\'' => return single_quoted(after, out),
            other => out.push(other)?,
        }
        rest = after;
    }
    Ok(rest)
}

/// The rest of `"..."`, with C's escapes.
fn double_quoted<'a>(
    mut rest: &'a [u8],
    out: &mut impl List<u8>,
) -> Result<&'a [u8], ProtocolError> {
    loop {
        rest = match rest {
            [b'"', after @ ..] => return closed(after),
            [b'\\', b'x', high, low, after @ ..] if hex(*high).is_some() && hex(*low).is_some() => {
                out.push(hex(*high).unwrap_or(0) << 4 | hex(*low).unwrap_or(0))?;
                after
            }
            [b'\\', escaped, after @ ..] => {
                out.push(unescape(*escaped))?;
                after
            }
            [byte, after @ ..] => {
                out.push(*byte)?;
                after
            }
            [] => return Err(ProtocolError::Quotes),
        };
    }
}

/// The rest of `'...'`, where only `\'` is special.
fn single_quoted<'a>(
    mut rest: &'a [u8],
    out: &mut impl List<u8>,
) -> Result<&'a [u8], ProtocolError> {
    loop {
        rest = match rest {
            [b'\'', after @ ..] => return closed(after),
            [b'\\', b'\'', after @ ..] => {
                out.push(b'\'')?;
                after
            }
            [byte, after @ ..] => {
                out.push(*byte)?;
                after
            }
            [] => return Err(ProtocolError::Quotes),
        };
    }
}

/// What follows a closing quote must be a blank or nothing.
fn closed(rest: &[u8]) -> Result<&[u8], ProtocolError> {
    match rest.first() {
        Some(&byte) if !is_blank(byte) => Err(ProtocolError::Quotes),
        _ => Ok(rest),
    }
}

/// Value of a hexadecimal digit.
fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|value| value as u8)
}

/// What `\c` stands for.
fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    }
}
