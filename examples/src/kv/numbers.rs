//! Numbers as Redis reads and writes them.
#![forbid(unsafe_code)]

use super::reply::digits;

/// A number as `string2ll` reads one: no blanks, no plus sign, no zeros in front.
#[must_use]
pub fn integer(text: &[u8]) -> Option<i64> {
    let (digits, negative) = match text {
        [b'-', digits @ ..] => (digits, true),
        digits => (digits, false),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut value = 0_u64;
    for digit in digits {
        // 19 digits are below 2^64.
        value = value * 10 + u64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    if negative { 0_i64.checked_sub_unsigned(value) } else { i64::try_from(value).ok() }
}

/// A number in characters.
#[derive(Clone, Copy, Debug)]
pub struct Digits {
    text: [u8; 20],
    start: usize,
}

impl Digits {
    /// Those of `value`.
    #[must_use]
    pub fn new(value: i64) -> Self {
        let mut text = [0; 20];
        let mut start = digits(value.unsigned_abs(), &mut text);
        if value < 0 {
            // 19 digits at most, so there is room for the sign.
            start -= 1;
            text[start] = b'-';
        }
        Self { text, start }
    }

    /// The characters.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.text[self.start..]
    }
}

/// What is behind the sign, if there is one, and whether that is a minus.
fn signed(text: &[u8]) -> (&[u8], bool) {
    match text {
        [b'-', rest @ ..] => (rest, true),
        [b'+', rest @ ..] => (rest, false),
        rest => (rest, false),
    }
}

/// A cursor of a scan as `strtoul` reads one and Redis takes it: nothing at all is 0, and what is below 0
/// is counted from behind.
#[must_use]
pub fn cursor(text: &[u8]) -> Option<u64> {
    let (digits, negative) = signed(text);
    if digits.is_empty() {
        return text.is_empty().then_some(0);
    }
    let value = digits.iter().try_fold(0_u64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })?;
    Some(if negative { value.wrapping_neg() } else { value })
}

/// A score as `strtod` reads one and Redis takes it: no blanks in front, nothing behind, no NaN, and nothing
/// that a double cannot hold.
#[must_use]
pub fn score(text: &[u8]) -> Option<f64> {
    let (digits, negative) = signed(text);
    if let [b'0', b'x' | b'X', rest @ ..] = digits {
        let score = hexadecimal(rest)?;
        return Some(if negative { -score } else { score });
    }
    let score: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let digit = |byte: &u8| matches!(byte, b'1'..=b'9');
    let mantissa = digits.split(|byte| matches!(byte, b'e' | b'E')).next().unwrap_or_default();
    // Too large, or too near to 0.
    let lost = score.is_infinite()
        && digits.first().is_some_and(|byte| !byte.is_ascii_alphabetic())
        || score == 0.0 && mantissa.iter().any(digit);
    (!lost && !score.is_nan()).then_some(score)
}

/// `1.8p-3` behind its `0x`. Below the smallest normal number its last bit may be rounded twice.
fn hexadecimal(text: &[u8]) -> Option<f64> {
    let (digits, exponent) = match text.iter().position(|byte| matches!(byte, b'p' | b'P')) {
        Some(at) => (&text[..at], exponent(&text[at + 1..])?),
        None => (text, 0),
    };
    let point = digits.iter().position(|&byte| byte == b'.').unwrap_or(digits.len());
    if digits.len() <= usize::from(point < digits.len()) {
        return None;
    }
    // 60 bits, of which the last one stands for all behind it.
    let (mut bits, mut power) = (0_u64, exponent);
    for (index, &byte) in digits.iter().enumerate() {
        if index == point {
            continue;
        }
        let digit = u64::from(char::from(byte).to_digit(16)?);
        let whole = index < point;
        if bits >> 56 == 0 {
            bits = bits << 4 | digit;
            power -= if whole { 0 } else { 4 };
        } else {
            bits |= u64::from(digit > 0);
            power += if whole { 4 } else { 0 };
        }
    }
    // Two steps: the power alone may be out of range where the product is not.
    let power = i32::try_from(power.clamp(-2200, 2200)).ok()?;
    let score = bits as f64 * 2_f64.powi(power / 2) * 2_f64.powi(power - power / 2);
    (score.is_finite() && (score > 0.0 || bits == 0)).then_some(score)
}

/// A floating-point number in characters, as `%.17g` prints it.
#[derive(Clone, Copy, Debug)]
pub struct Double {
    text: [u8; 40],
    len: usize,
}

/// Digits of `%.17g`.
const DIGITS: i32 = 17;

impl Double {
    /// Those of `value`.
    #[must_use]
    pub fn new(value: f64) -> Self {
        let mut text = Self { text: [0; 40], len: 0 };
        // 40 characters are enough: 17 digits, a point, a sign, and four zeros or an exponent.
        let _ = text.print(value);
        text
    }

    fn print(&mut self, value: f64) -> std::fmt::Result {
        use std::fmt::Write;
        if value.is_infinite() {
            return self.write_str(if value < 0.0 { "-inf" } else { "inf" });
        }
        let mut exact = Self { text: [0; 40], len: 0 };
        write!(exact, "{:.1$e}", value.abs(), DIGITS as usize - 1)?;
        let exact = std::str::from_utf8(exact.as_slice()).unwrap_or_default();
        let (mantissa, exponent) = exact.split_once('e').unwrap_or((exact, "0"));
        let exponent: i32 = exponent.parse().unwrap_or_default();
        if value.is_sign_negative() {
            self.write_str("-")?;
        }
        if !(-4..DIGITS).contains(&exponent) {
            let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
            let sign = if exponent < 0 { '-' } else { '+' };
            return write!(self, "{mantissa}e{sign}{:02}", exponent.abs());
        }
        let places = (DIGITS - 1 - exponent).unsigned_abs() as usize;
        let mut fixed = Self { text: [0; 40], len: 0 };
        write!(fixed, "{:.places$}", value.abs())?;
        let fixed = std::str::from_utf8(fixed.as_slice()).unwrap_or_default();
        let short = if fixed.contains('.') {
            fixed.trim_end_matches('0').trim_end_matches('.')
        } else {
            fixed
        };
        self.write_str(short)
    }

    /// The characters.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.text[..self.len]
    }
}

impl std::fmt::Write for Double {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.len + text.len();
        let room = self.text.get_mut(self.len..end).ok_or(std::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// Digits behind the point that `INCRBYFLOAT` keeps.
const PLACES: u32 = 17;

/// Digits before it.
const WHOLE: u32 = 20;

/// A decimal number with 17 digits behind the point and at most 20 before it.
///
/// Redis computes with 80 bits and prints so many digits; so sums of short decimals come out as one
/// would write them (0.1 + 0.2 is 0.3, not 0.30000000000000004). Decimal arithmetic gives the same
/// where 80 bits are enough, and is exact where they are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal(i128);

impl Decimal {
    /// Reads `12`, `-0.5`, `1.5e3`. `None` if it is not a number, or one of more than 20 digits
    /// before the point; digits beyond the last place are dropped.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (mantissa, exponent) = match text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
            Some(at) => (&text[..at], exponent(&text[at + 1..])?),
            None => (text, 0),
        };
        let (digits, negative) = match mantissa {
            [b'-', rest @ ..] => (rest, true),
            [b'+', rest @ ..] => (rest, false),
            rest => (rest, false),
        };
        let point = digits.iter().position(|&byte| byte == b'.').unwrap_or(digits.len());
        if digits.len() <= usize::from(point < digits.len()) {
            return None;
        }
        // The power of ten of the first digit, counted in places.
        let mut power = i64::try_from(point).ok()? + exponent + i64::from(PLACES) - 1;
        let mut value = 0_i128;
        for (index, &byte) in digits.iter().enumerate() {
            if index == point {
                continue;
            }
            let digit = i128::from(byte.is_ascii_digit().then(|| byte - b'0')?);
            if digit > 0 && power >= 0 {
                let scale = 10_i128.checked_pow(u32::try_from(power).ok()?)?;
                value = value.checked_add(digit.checked_mul(scale)?)?;
            }
            power -= 1;
        }
        let limit = 10_i128.pow(WHOLE + PLACES);
        (value < limit).then_some(Self(if negative { -value } else { value }))
    }

    /// The sum; `None` if it is too large.
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        let sum = self.0.checked_add(other.0)?;
        (sum.abs() < 10_i128.pow(WHOLE + PLACES)).then_some(Self(sum))
    }
}

impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let one = 10_u128.pow(PLACES);
        let (whole, mut rest) = (self.0.unsigned_abs() / one, self.0.unsigned_abs() % one);
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{whole}")?;
        let mut places = PLACES as usize;
        while rest > 0 && rest % 10 == 0 {
            rest /= 10;
            places -= 1;
        }
        if rest > 0 { write!(f, ".{rest:0places$}") } else { Ok(()) }
    }
}

/// What stands behind an `e`.
fn exponent(text: &[u8]) -> Option<i64> {
    let text = text.strip_prefix(b"+").unwrap_or(text);
    std::str::from_utf8(text).ok()?.parse().ok().filter(|power: &i64| power.abs() < 5000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_there_and_back() {
        for value in [0, 1, -1, 10, 999, i64::MAX, i64::MIN, i64::MAX - 1, i64::MIN + 1] {
            assert_eq!(integer(value.to_string().as_bytes()), Some(value));
            assert_eq!(Digits::new(value).as_slice(), value.to_string().as_bytes());
        }
        for wrong in
            ["", "-", "-0", "01", "+1", " 1", "1 ", "9223372036854775808", "-9223372036854775809"]
        {
            assert_eq!(integer(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(integer(b"99999999999999999999"), None);
    }

    #[test]
    fn doubles_print_as_in_c() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1, "0.10000000000000001"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (1.25e-5, "1.2500000000000001e-05"),
            (0.0001, "0.0001"),
            (-1e300, "-1.0000000000000001e+300"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "4.9406564584124654e-324"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (100.0, "100"),
            (123_456_789.125, "123456789.125"),
        ] {
            assert_eq!(Double::new(value).as_slice().escape_ascii().to_string(), expected);
        }
        assert_eq!((score(b"nan"), score(b" 1"), score(b"")), (None, None, None));
        assert_eq!((score(b"-inf"), score(b"1e3")), (Some(f64::NEG_INFINITY), Some(1000.0)));
        for (text, expected) in [
            ("0x1p3", Some(8.0)),
            ("-0X.8", Some(-0.5)),
            ("0xAp-1", Some(5.0)),
            ("+0x1.999999999999ap-4", Some(0.1)),
            ("0x1.fffffffffffff7fffffffffff", Some(2.0 - f64::EPSILON)),
            ("0x1.fffffffffffff80000000000001", Some(2.0)),
            ("0x1fffffffffffffffffffff", Some(2_f64.powi(85))),
            ("0x0p99", Some(0.0)),
            ("0x1p-1074", Some(5e-324)),
            ("0x1p1023", Some(2_f64.powi(1023))),
            ("0x1p1024", None),
            ("0x1p-1080", None),
            ("0x", None),
            ("0x.", None),
            ("0x1p", None),
            ("0xg", None),
            ("1e400", None),
            ("-1e309", None),
            ("1e-400", None),
            ("0e-400", Some(0.0)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("4.9e-324", Some(5e-324)),
        ] {
            assert_eq!(score(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn cursors_are_read_as_in_c() {
        for (text, expected) in [
            ("", Some(0)),
            ("017", Some(17)),
            ("+1", Some(1)),
            ("-1", Some(u64::MAX)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("-", None),
            ("1x", None),
            (" 1", None),
        ] {
            assert_eq!(cursor(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn decimals_read_and_print() {
        let sum = |a: &str, b: &str| {
            let [a, b] = [a, b].map(|text| Decimal::parse(text.as_bytes()).unwrap());
            a.plus(b).unwrap().to_string()
        };
        assert_eq!(sum("0.1", "0.2"), "0.3");
        assert_eq!(sum("10.50", "0.1"), "10.6");
        assert_eq!(sum("5.0e3", "2.0e2"), "5200");
        assert_eq!(sum("-1.5", "1"), "-0.5");
        assert_eq!(sum("1", "-1.0"), "0");
        assert_eq!(sum("0", "1e-17"), "0.00000000000000001");
        for wrong in ["", ".", "-", "1.2.3", "x", "1e", "1ex", "1e20", " 1"] {
            assert_eq!(Decimal::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
