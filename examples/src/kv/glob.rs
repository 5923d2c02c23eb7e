//! Redis' glob patterns (`stringmatchlen`), of keys and of settings.
#![forbid(unsafe_code)]

use thiserror::Error;

/// Steps for each byte of pattern and text.
const EACH: usize = 64;

/// To match this pattern would take too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("ERR the pattern takes too long to match")]
pub struct TooCostly;

/// Whether `text` matches `pattern`: `*`, `?`, `[a-z]`, `[^a]`, `\c`; with `fold`, letters match in either
/// case.
///
/// On a mismatch only the last `*` is tried again: at most as many steps as pattern × text has, and that
/// only for patterns and texts made for it. So there is a limit in proportion to their sum (Redis has
/// none), which no pattern meets whose pieces between stars are up to [`EACH`] bytes long.
///
/// # Errors
/// [`TooCostly`].
pub fn matches(pattern: &[u8], text: &[u8], fold: bool) -> Result<bool, TooCostly> {
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    let mut left = EACH.saturating_mul(pattern.len() + text.len() + 1);
    while t < text.len() {
        let step = step(&pattern[p..], text[t], fold);
        let cost = match step {
            Step::Star => 1,
            Step::Match(len) | Step::Mismatch(len) => len,
        };
        left = left.checked_sub(cost).ok_or(TooCostly)?;
        match step {
            Step::Star => {
                star = Some((p, t));
                p += 1;
            }
            Step::Match(len) => (p, t) = (p + len, t + 1),
            Step::Mismatch(_) => match &mut star {
                Some((at, from)) => {
                    *from += 1;
                    (p, t) = (*at + 1, *from);
                }
                None => return Ok(false),
            },
        }
    }
    Ok(pattern[p..].iter().all(|&byte| byte == b'*'))
}

/// How many texts match `pattern`, letters in their case.
///
/// # Errors
/// [`TooCostly`].
pub fn count<'t>(
    pattern: &[u8],
    mut texts: impl Iterator<Item = &'t [u8]>,
) -> Result<usize, TooCostly> {
    texts.try_fold(0, |count, text| Ok(count + usize::from(matches(pattern, text, false)?)))
}

/// Whether `pattern` has anything but plain characters.
#[must_use]
pub fn is_pattern(pattern: &[u8]) -> bool {
    pattern.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['))
}

enum Step {
    Star,
    /// So many bytes of the pattern matched the character.
    Match(usize),
    /// So many did not.
    Mismatch(usize),
}

/// The first element of `pattern` against one character.
fn step(pattern: &[u8], byte: u8, fold: bool) -> Step {
    let same = |other: u8| folded(other, fold) == folded(byte, fold);
    let (matched, len) = match pattern {
        [] => (false, 1),
        [b'*', ..] => return Step::Star,
        [b'?', ..] => (true, 1),
        [b'[', rest @ ..] => class(rest, byte, fold),
        [b'\\', escaped, ..] => (same(*escaped), 2),
        [plain, ..] => (same(*plain), 1),
    };
    if matched { Step::Match(len) } else { Step::Mismatch(len) }
}

fn folded(byte: u8, fold: bool) -> u8 {
    if fold { byte.to_ascii_lowercase() } else { byte }
}

/// `[...]` without its first bracket: whether `byte` is in it, and the length of all of it.
fn class(rest: &[u8], byte: u8, fold: bool) -> (bool, usize) {
    let byte = folded(byte, fold);
    let negated = rest.first() == Some(&b'^');
    let (mut at, mut found) = (usize::from(negated), false);
    loop {
        at += match &rest[at..] {
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [low, b'-', high, ..] => {
                let (low, high) = (folded(*low, fold), folded(*high, fold));
                found |= (low.min(high)..=low.max(high)).contains(&byte);
                3
            }
            [b'\\', escaped, ..] => {
                found |= folded(*escaped, fold) == byte;
                2
            }
            [plain, ..] => {
                found |= folded(*plain, fold) == byte;
                1
            }
        };
    }
    (found != negated, at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("s*e", "save", true),
            ("s?ve", "SAVE", true),
            ("s[a-c]ve", "save", true),
            ("s[^a]ve", "save", false),
            ("s\\*", "s*", true),
            ("*max*", "lfu-maxmemory-max", true),
            ("a*b*c", "aXbXbXd", false),
            ("", "x", false),
            ("[ab", "a", true),
            ("[", "[", false),
        ] {
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            assert_eq!(matches(pattern, text, true), Ok(expected), "{pattern:?} {text:?}");
        }
        assert_eq!(matches(b"a[b-c]*", b"abc", false), Ok(true));
        for (pattern, text) in
            [(&b"a*"[..], b"Abc"), (b"[a-c]", b"B"), (b"\\a", b"A")] as [(_, &[u8]); 3]
        {
            assert_eq!(matches(pattern, text, false), Ok(false));
        }
    }

    #[test]
    fn hostile_patterns_are_given_up_and_long_ones_are_not() {
        let text = vec![b'a'; 1 << 20];
        let hostile = [&b"*"[..], &[b'a'; 100_000], b"b"].concat();
        assert_eq!(matches(&hostile, &text, false), Err(TooCostly));
        let classes = [&b"*["[..], &[b'b'; 100_000], b"]"].concat();
        assert_eq!(matches(&classes, &text, false), Err(TooCostly));
        assert_eq!(matches(&text, &text, false), Ok(true));
        assert_eq!(matches(b"*a?a?a?a?a?a?[b-d]*", &text, false), Ok(false));
        let pieces = b"*aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".repeat(1000);
        assert_eq!(matches(&pieces, &text, false), Ok(true));
        assert_eq!(matches(&[&pieces[..], b"b"].concat(), &text, false), Ok(false));
    }
}
