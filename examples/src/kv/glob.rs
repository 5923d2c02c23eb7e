//! Redis' glob patterns (`stringmatchlen`), for `CONFIG GET`.
#![forbid(unsafe_code)]

/// Whether `text` matches `pattern`: `*`, `?`, `[a-z]`, `[^a]`, `\c`; letters match in either case.
///
/// O(pattern × text): on a mismatch only the last `*` is tried again.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        match step(&pattern[p..], text[t]) {
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
fn step(pattern: &[u8], byte: u8) -> Step {
    let (matched, len) = match pattern {
        [] => (false, 0),
        [b'*', ..] => return Step::Star,
        [b'?', ..] => (true, 1),
        [b'[', rest @ ..] => class(rest, byte),
        [b'\\', escaped, ..] => (escaped.eq_ignore_ascii_case(&byte), 2),
        [plain, ..] => (plain.eq_ignore_ascii_case(&byte), 1),
    };
    if matched { Step::Match(len) } else { Step::Mismatch }
}

/// `[...]` without its first bracket: whether `byte` is in it, and the length of all of it.
fn class(rest: &[u8], byte: u8) -> (bool, usize) {
    let byte = byte.to_ascii_lowercase();
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
                let (low, high) = (low.to_ascii_lowercase(), high.to_ascii_lowercase());
                found |= (low.min(high)..=low.max(high)).contains(&byte);
                3
            }
            [b'\\', escaped, ..] => {
                found |= escaped.to_ascii_lowercase() == byte;
                2
            }
            [plain, ..] => {
                found |= plain.to_ascii_lowercase() == byte;
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
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }
}
