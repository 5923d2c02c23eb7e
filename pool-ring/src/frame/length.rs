//! `LengthPrefix`: frames that say how long they are.

use super::{Decoded, Decoder, Encoder, FrameError, Hint, Kept, identity, room};

/// Frames with their length in a header.
///
/// ```text
///   ◄─ offset ─►◄─ width ─►◄──── value + adjustment ────►
///   ┌──────────┬──────────┬──────────────────────────────┐
///   │          │  value   │                              │   at most `max` bytes in all
///   └──────────┴──────────┴──────────────────────────────┘
///   ◄────── skip ────────►◄─────────── frame ────────────►
/// ```
///
/// The parameters are those of Netty's `LengthFieldBasedFrameDecoder`. The width is 1, 2, 3, 4 or 8 bytes,
/// big-endian unless said otherwise, or a varint (LEB128, as Protocol Buffers have it). By default
/// the value counts what follows the length field, and the frame is that.
///
/// ```
/// use pool_ring::frame::{Decoded, Decoder, FrameError, Hint, LengthPrefix};
/// let mut frames = LengthPrefix::u16(1024);
/// assert_eq!(frames.decode(b"\x00\x02ok and more"), Ok(Decoded::Frame { frame: &b"ok"[..], consumed: 4 }));
/// assert_eq!(frames.decode(b"\x00\x02o"), Ok(Decoded::NeedMore(Hint::Total(4))));
/// assert_eq!(frames.decode(b"\xff\xff"), Err(FrameError::TooLarge { len: 65537, max: 1024 }));
///
/// // A type byte, then a little-endian length that counts the whole frame; hand out all of it.
/// let mut whole = LengthPrefix::u32(1024).little_endian().offset(1).adjust(-5).skip(0);
/// let bytes = b"T\x07\0\0\0ok";
/// assert_eq!(whole.decode(bytes), Ok(Decoded::Frame { frame: &bytes[..], consumed: 7 }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LengthPrefix {
    offset: usize,
    width: Width,
    little: bool,
    adjust: i64,
    /// `None`: the header.
    skip: Option<usize>,
    max: usize,
    identity: u64,
    quick: Quick,
}

/// What the parameters come to, so that most headers take one comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Quick {
    /// Bits of eight bytes that are not the value's.
    shift: u32,
    /// Bytes of a frame that the user does not get.
    skip: usize,
    /// So many values from `least` on are lengths of whole frames.
    least: u64,
    count: u64,
    /// What is added to such a value, modulo 2^64.
    base: u64,
}

impl Quick {
    const NO: Self = Self { shift: 0, skip: 0, least: 0, count: 0, base: 0 };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    U8,
    U16,
    U24,
    U32,
    U64,
    Varint,
}

impl LengthPrefix {
    const fn new(width: Width, max: usize) -> Self {
        let quick = Quick::NO;
        let (little, skip) = (false, None);
        Self { offset: 0, width, little, adjust: 0, skip, max, identity: 0, quick }.planned()
    }

    const fn planned(self) -> Self {
        let kind = self.width as u64 | (self.little as u64) << 8;
        let place = identity(b"length", kind ^ (self.offset as u64) << 9);
        let identity = identity(b"prefix", place ^ (self.adjust as u64).wrapping_mul(3));
        Self { identity, ..self }.quickened()
    }

    const fn quickened(self) -> Self {
        let width = match self.width {
            Width::U8 => 1,
            Width::U16 => 2,
            Width::U24 => 3,
            Width::U32 => 4,
            Width::U64 => 8,
            Width::Varint => return self,
        };
        let header = self.offset as i128 + width;
        let base = header + self.adjust as i128;
        let least = if self.adjust < 0 { -(self.adjust as i128) } else { 0 };
        // From here on a whole frame has `header` bytes at least and `max` at most.
        let count = self.max as i128 - base - least + 1;
        let most = u64::MAX as i128 - least;
        let count = if count > most { most } else { count };
        let count = if count < 0 { 0 } else { count as u64 };
        let skip = match self.skip {
            Some(skip) => skip,
            None => header as usize,
        };
        let shift = 64 - 8 * width as u32;
        let quick = Quick { shift, skip, least: least as u64, count, base: base as u64 };
        Self { quick, ..self }
    }

    /// A length of one byte. Whole frames have at most `max` bytes.
    #[must_use]
    pub const fn u8(max: usize) -> Self {
        Self::new(Width::U8, max)
    }

    /// A length of two bytes. Whole frames have at most `max` bytes.
    #[must_use]
    pub const fn u16(max: usize) -> Self {
        Self::new(Width::U16, max)
    }

    /// A length of three bytes. Whole frames have at most `max` bytes.
    #[must_use]
    pub const fn u24(max: usize) -> Self {
        Self::new(Width::U24, max)
    }

    /// A length of four bytes. Whole frames have at most `max` bytes.
    #[must_use]
    pub const fn u32(max: usize) -> Self {
        Self::new(Width::U32, max)
    }

    /// A length of eight bytes. Whole frames have at most `max` bytes.
    #[must_use]
    pub const fn u64(max: usize) -> Self {
        Self::new(Width::U64, max)
    }

    /// A length of one to ten bytes, seven bits in each, the lowest first, the eighth bit set in all
    /// but the last (LEB128). Whole frames have at most `max` bytes.
    #[must_use]
    pub const fn varint(max: usize) -> Self {
        Self::new(Width::Varint, max)
    }

    /// The same with the length's lowest byte first.
    #[must_use]
    pub const fn little_endian(self) -> Self {
        Self { little: true, ..self }.planned()
    }

    /// The same with `bytes` before the length field.
    #[must_use]
    pub const fn offset(self, bytes: usize) -> Self {
        Self { offset: bytes, ..self }.planned()
    }

    /// The same with `bytes` added to the value: how much more, or less, follows the length field.
    #[must_use]
    pub const fn adjust(self, bytes: i64) -> Self {
        Self { adjust: bytes, ..self }.planned()
    }

    /// The same with `bytes` at the front of the frame that the user does not get; by default what
    /// stands before and in the length field.
    #[must_use]
    pub const fn skip(self, bytes: usize) -> Self {
        Self { skip: Some(bytes), ..self }.planned()
    }

    /// The most bytes that a whole frame may have.
    #[must_use]
    pub const fn max_frame(&self) -> usize {
        self.max
    }

    /// How many bytes the frame at the front of `bytes` has; `None` if its header is not whole. Not for varints.
    #[inline(always)]
    fn total(&self, bytes: &[u8]) -> Result<Option<usize>, FrameError> {
        match bytes.get(self.offset..) {
            Some(field) => self.total_of(field),
            None => Ok(None),
        }
    }

    /// The same, of what stands behind the offset.
    #[inline(always)]
    fn total_of(&self, field: &[u8]) -> Result<Option<usize>, FrameError> {
        let word = match field.first_chunk() {
            Some(&word) => u64::from_le_bytes(word),
            None => match self.short_word(field) {
                Some(word) => word,
                None => return Ok(None),
            },
        };
        let Quick { shift, least, count, base, .. } = self.quick;
        let value = if self.little { word << shift } else { word.swap_bytes() } >> shift;
        if value.wrapping_sub(least) >= count {
            return Err(self.refused(value));
        }
        // At most `max`, which is a usize.
        Ok(Some(base.wrapping_add(value) as usize))
    }

    /// Less than eight bytes, if they are as many as the value has, with zeros behind. By value, as
    /// [`refused`](Self::refused).
    #[cold]
    #[inline(never)]
    fn short_word(self, field: &[u8]) -> Option<u64> {
        let mut word = [0; 8];
        word.get_mut(..field.len())?.copy_from_slice(field);
        let bits = 8 * field.len() as u32;
        (bits + self.quick.shift >= u64::BITS).then(|| u64::from_le_bytes(word))
    }

    /// Why there is no frame with this value. By value: so parameters that are constants stay such for the rest.
    #[cold]
    fn refused(self, value: u64) -> FrameError {
        let body = i128::from(value) + i128::from(self.adjust);
        if body < 0 {
            return FrameError::BadLength;
        }
        let header = self.offset as u64 + u64::from(u64::BITS - self.quick.shift) / 8;
        let len = u64::try_from(body + i128::from(header)).unwrap_or(u64::MAX);
        FrameError::TooLarge { len, max: self.max }
    }

    /// Header and frame, as the varint at the front of `bytes` says; `None` if that is not whole.
    fn by_varint(self, bytes: &[u8]) -> Result<Option<(usize, usize)>, FrameError> {
        self.by_varint_of(bytes.get(self.offset..).unwrap_or(&[]))
    }

    /// The same, of what stands behind the offset.
    fn by_varint_of(self, field: &[u8]) -> Result<Option<(usize, usize)>, FrameError> {
        let Some((value, width)) = varint(field)? else { return Ok(None) };
        // At most the length of what the field is of, so this cannot overflow.
        let header = self.offset + width;
        let total = i128::from(value) + i128::from(self.adjust) + header as i128;
        if total < header as i128 {
            return Err(FrameError::BadLength);
        }
        match usize::try_from(total) {
            Ok(total) if total <= self.max => Ok(Some((header, total))),
            _ => {
                let len = u64::try_from(total).unwrap_or(u64::MAX);
                Err(FrameError::TooLarge { len, max: self.max })
            }
        }
    }

    /// How many bytes the frame has that begins with what was kept, wherever its header is.
    #[inline(never)]
    fn total_kept(self, kept: Kept<'_>) -> Result<Option<usize>, FrameError> {
        let mut field = [0; 10];
        let field_len = kept.copy_at(self.offset, &mut field);
        let field = &field[..field_len];
        if self.width == Width::Varint {
            return Ok(self.by_varint_of(field)?.map(|(_, total)| total));
        }
        self.total_of(field)
    }

    fn decode_varint(self, bytes: &[u8]) -> Result<Decoded<&[u8]>, FrameError> {
        Ok(match self.by_varint(bytes)? {
            None => Decoded::NeedMore(Hint::Unknown),
            Some((header, total)) => Self::cut(self.skip.unwrap_or(header), total, bytes),
        })
    }

    /// The frame of `total` bytes at the front of `bytes`.
    #[inline(always)]
    fn cut(skip: usize, total: usize, bytes: &[u8]) -> Decoded<&[u8]> {
        if total > bytes.len() {
            return Decoded::NeedMore(Hint::Total(total));
        }
        // Nothing, if all of it is skipped.
        let frame = bytes.get(skip..total).unwrap_or(&[]);
        Decoded::Frame { frame, consumed: total }
    }

    /// The length field for `payload` bytes behind the header, and its width.
    fn field(&self, payload: usize) -> Result<([u8; 10], usize), FrameError> {
        let value = i128::from(payload as u64) - i128::from(self.adjust);
        let value = u64::try_from(value).map_err(|_| FrameError::BadLength)?;
        let (mut field, width) = match self.width {
            Width::Varint => return Ok(varint_of(value)),
            Width::U8 => ([0; 10], 1),
            Width::U16 => ([0; 10], 2),
            Width::U24 => ([0; 10], 3),
            Width::U32 => ([0; 10], 4),
            Width::U64 => ([0; 10], 8),
        };
        if width < 8 && value >> (8 * width) != 0 {
            let max = usize::try_from((1_u64 << (8 * width)) - 1).unwrap_or(usize::MAX);
            return Err(FrameError::TooLarge { len: value, max });
        }
        let big = value.to_be_bytes();
        field[..width].copy_from_slice(&big[8 - width..]);
        if self.little {
            field[..width].reverse();
        }
        Ok((field, width))
    }
}

/// A header behind so many bytes is among the first 64.
const MOST_OFFSET: usize = 64 - 8;

/// A LEB128 number of at most 64 bits.
fn varint(field: &[u8]) -> Result<Option<(u64, usize)>, FrameError> {
    let mut value = 0;
    for (index, &byte) in field.iter().take(10).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if index == 9 && byte > 1 {
            return Err(FrameError::BadLength);
        }
        value |= bits << (7 * index);
        if byte < 0x80 {
            return Ok(Some((value, index + 1)));
        }
    }
    Ok(None)
}

fn varint_of(mut value: u64) -> ([u8; 10], usize) {
    let mut field = [0; 10];
    let mut width = 0;
    loop {
        field[width] = value as u8 & 0x7f;
        value >>= 7;
        width += 1;
        if value == 0 {
            return (field, width);
        }
        field[width - 1] |= 0x80;
    }
}

impl Decoder for LengthPrefix {
    type Frame<'a> = &'a [u8];
    type Error = FrameError;

    #[inline]
    fn decode<'a>(&mut self, bytes: &'a [u8]) -> Result<Decoded<&'a [u8]>, FrameError> {
        if self.width == Width::Varint {
            return self.decode_varint(bytes);
        }
        Ok(match self.total(bytes)? {
            None => Decoded::NeedMore(Hint::Unknown),
            Some(total) => Self::cut(self.quick.skip, total, bytes),
        })
    }

    #[inline]
    fn identity(&self) -> u64 {
        self.identity
    }

    #[inline]
    fn wait(&mut self, kept: Kept<'_>, fresh: &[u8]) -> Option<Hint> {
        let len = kept.len.saturating_add(fresh.len());
        let total = if self.width == Width::Varint || self.offset > MOST_OFFSET {
            match self.total_kept(kept) {
                Ok(None) if len <= self.offset => return Some(Hint::Unknown),
                total => total.ok()?,
            }
        } else {
            self.total(kept.head).ok()?
        }?;
        (len < total).then_some(Hint::Total(total))
    }
}

/// Bytes before the length field are sent as zeros; the payload is what follows it.
impl Encoder for LengthPrefix {
    fn encoded_len(&self, payload: &[u8]) -> Result<usize, FrameError> {
        let (_, width) = self.field(payload.len())?;
        let len = self.offset.saturating_add(width).saturating_add(payload.len());
        if len > self.max {
            return Err(FrameError::TooLarge { len: len as u64, max: self.max });
        }
        Ok(len)
    }

    fn encode(&self, payload: &[u8], out: &mut [u8]) -> Result<usize, FrameError> {
        let len = self.encoded_len(payload)?;
        let (field, width) = self.field(payload.len())?;
        let (before, rest) = room(out, len)?.split_at_mut(self.offset);
        let (length, body) = rest.split_at_mut(width);
        before.fill(0);
        length.copy_from_slice(&field[..width]);
        body.copy_from_slice(payload);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(max: usize) -> impl Iterator<Item = LengthPrefix> {
        let widths: [fn(usize) -> LengthPrefix; 6] = [
            LengthPrefix::u8,
            LengthPrefix::u16,
            LengthPrefix::u24,
            LengthPrefix::u32,
            LengthPrefix::u64,
            LengthPrefix::varint,
        ];
        widths.into_iter().flat_map(move |new| {
            [new(max), new(max).little_endian(), new(max).offset(3), new(max).offset(1).adjust(-1)]
        })
    }

    #[test]
    fn what_is_encoded_is_decoded_and_every_shorter_front_wants_more() {
        let payload: Vec<u8> = (0..=255).collect();
        for mut codec in all(1000) {
            for len in [0, 1, 2, 127, 128, 200, 254] {
                let mut out = [0xaa; 300];
                let total = codec.encode(&payload[..len], &mut out).unwrap();
                assert_eq!(codec.encoded_len(&payload[..len]), Ok(total));
                let decoded = codec.decode(&out).unwrap();
                assert_eq!(decoded, Decoded::Frame { frame: &payload[..len], consumed: total });
                for cut in (0..total).step_by(if cfg!(miri) { 37 } else { 1 }) {
                    match codec.decode(&out[..cut]).unwrap() {
                        Decoded::NeedMore(Hint::Total(all)) => assert_eq!(all, total),
                        Decoded::NeedMore(Hint::Unknown) => assert!(cut < 13),
                        frame => panic!("{codec:?} {cut} {frame:?}"),
                    }
                }
                let short = FrameError::NoRoom { len: total, room: total - 1 };
                assert_eq!(codec.encode(&payload[..len], &mut out[..total - 1]), Err(short));
            }
        }
    }

    #[test]
    fn hostile_lengths_are_refused_at_once() {
        for mut codec in all(100) {
            let max = codec.decode(&[0xff; 9]);
            assert!(matches!(
                max,
                Err(FrameError::TooLarge { max: 100, .. }) | Ok(Decoded::NeedMore(Hint::Unknown))
            ));
            assert!(codec.decode(&[0xff; 32]).is_err());
        }
        let mut adjusted = LengthPrefix::u64(usize::MAX).adjust(i64::MAX);
        assert!(matches!(
            adjusted.decode(&[0xff; 8]),
            Err(FrameError::TooLarge { len: u64::MAX, .. })
                | Ok(Decoded::NeedMore(Hint::Total(usize::MAX)))
        ));
        assert_eq!(LengthPrefix::u8(9).adjust(-2).decode(&[1, 2, 3]), Err(FrameError::BadLength));
        let mut far = LengthPrefix::u8(usize::MAX).offset(usize::MAX);
        assert_eq!(far.decode(&[0; 9]), Ok(Decoded::NeedMore(Hint::Unknown)));
    }

    /// What is computed in advance is what is computed with care, for every length of what has come.
    #[test]
    fn headers_are_what_they_say() {
        let mut found = 0;
        let adjusts = [0, 1, -1, -4, -300, 300, i64::MAX, i64::MIN, -(1 << 40)];
        let all_bytes = [
            [0; 12],
            [0xff; 12],
            [1; 12],
            [0, 0, 0, 0, 1, 44, 9, 9, 9, 9, 9, 9],
            [1, 44, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ];
        let codecs = [0, 1, 9, 100, 65_536, usize::MAX].into_iter().flat_map(all);
        let codecs = codecs.flat_map(|codec| adjusts.map(|adjust| codec.adjust(adjust)));
        // Miri takes few.
        let codecs = codecs.step_by(if cfg!(miri) { 67 } else { 1 });
        for codec in codecs.filter(|codec| codec.width != Width::Varint) {
            let width = (64 - codec.quick.shift) as usize / 8;
            for bytes in all_bytes.iter().flat_map(|bytes| (0..=12).map(|len| &bytes[..len])) {
                let got = codec.total(bytes);
                let Some(field) = bytes.get(codec.offset..codec.offset + width) else {
                    assert_eq!(got, Ok(None));
                    continue;
                };
                let mut value: Vec<u8> = field.to_vec();
                if codec.little {
                    value.reverse();
                }
                let value = value.iter().fold(0, |value, &byte| value << 8 | i128::from(byte));
                let body = value + i128::from(codec.adjust);
                let total = body + (codec.offset + width) as i128;
                match got {
                    Ok(got) => {
                        assert_eq!(got.map(|got| got as i128), Some(total));
                        assert!(body >= 0 && total <= codec.max as i128);
                        found += 1;
                    }
                    Err(FrameError::BadLength) => assert!(body < 0),
                    Err(FrameError::TooLarge { len, .. }) => {
                        assert!(total > codec.max as i128 || value == i128::from(u64::MAX));
                        assert_eq!(i128::from(len), total.min(i128::from(u64::MAX)));
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
        assert!(found > if cfg!(miri) { 5 } else { 1000 }, "{found}");
    }

    #[test]
    fn varints_have_at_most_64_bits() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let (field, width) = varint_of(value);
            assert_eq!(varint(&field[..width]), Ok(Some((value, width))));
            assert_eq!(varint(&field[..width - 1]), Ok(None));
        }
        assert_eq!(
            varint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]),
            Err(FrameError::BadLength)
        );
    }

    #[test]
    fn values_too_large_for_their_field_are_refused() {
        for (codec, max) in [
            (LengthPrefix::u8(usize::MAX), 0xff),
            (LengthPrefix::u16(usize::MAX), 0xffff),
            (LengthPrefix::u24(usize::MAX), 0xff_ffff),
            (LengthPrefix::u32(usize::MAX), u32::MAX as usize),
        ] {
            let codec = codec.adjust(-(1 << 40));
            let len = (1 << 40) + 3;
            assert_eq!(codec.field(3), Err(FrameError::TooLarge { len, max }));
        }
    }

    #[test]
    fn headers_are_waited_for_wherever_they_are() {
        let mut codec = LengthPrefix::u16(usize::MAX).offset(100);
        let bytes = [vec![7; 100], vec![0, 5, 1]].concat();
        assert_eq!(codec.wait(Kept::new(&bytes[..98]), b"12"), Some(Hint::Unknown));
        assert_eq!(codec.wait(Kept::new(&bytes[..98]), b"123"), None);
        assert_eq!(codec.wait(Kept::new(&bytes), b"123"), Some(Hint::Total(107)));
        assert_eq!(codec.wait(Kept::new(&bytes), b"1234"), None);
        for codec in [LengthPrefix::u64(100), LengthPrefix::varint(100)] {
            let mut codec = codec.offset(usize::MAX);
            assert_eq!(codec.wait(Kept::new(&bytes), b"1"), Some(Hint::Unknown));
        }
    }

    #[test]
    fn waiting_is_exact() {
        let mut codec = LengthPrefix::u16(100);
        let kept = Kept::new;
        assert_eq!(codec.wait(kept(&[0]), &[]), None);
        assert_eq!(codec.wait(kept(&[0, 5, 1]), &[2, 3, 4]), Some(Hint::Total(7)));
        assert_eq!(codec.wait(kept(&[0, 5, 1]), &[2, 3, 4, 5]), None);
        assert_eq!(codec.wait(kept(&[9, 5, 1]), &[]), None, "errors are for decode");
    }
}
