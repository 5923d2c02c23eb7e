//! Redis' glob patterns (`stringmatchlen`), of keys and of settings.
#![forbid(unsafe_code)]

/// Whether `text` matches `pattern`: `*`, `?`, `[a-z]`, `[^a]`, `\c`; with `fold`, letters match in either
/// case.
///
/// O(pattern × text): on a mismatch only the last `*` is tried again.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8], fold: bool) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        match step(&pattern[p..], text[t], fold) {
            Step::Star => {
                star = Some((p, t));
                p += 1;
            }
            Step::Match(len) => (p, t) = (p + len, t + 1),
            Step::Mismatch => match &mut star {
                Some((at, from)) => {
                    *from += 1;
                    (p, t) = (*at + 1, *from);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
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
    Mismatch,
}

/// The first element of `pattern` against one character.
fn step(pattern: &[u8], byte: u8, fold: bool) -> Step {
    let same = |other: u8| folded(other, fold) == folded(byte, fold);
    let (matched, len) = match pattern {
        [] => (false, 0),
        [b'*', ..] => return Step::Star,
        [b'?', ..] => (true, 1),
        [b'[', rest @ ..] => class(rest, byte, fold),
        [b'\\', escaped, ..] => (same(*escaped), 2),
        [plain, ..] => (same(*plain), 1),
    };
    if matched { Step::Match(len) } else { Step::Mismatch }
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
            assert_eq!(matches(pattern, text, true), expected, "{pattern:?} {text:?}");
        }
        assert!(matches(b"a[b-c]*", b"abc", false) && !matches(b"a*", b"Abc", false));
        assert!(!matches(b"[a-c]", b"B", false) && !matches(b"\\a", b"A", false));
    }
}
