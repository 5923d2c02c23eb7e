//! What is known of an entry beside its key and value.
#![forbid(unsafe_code)]

/// How Redis would keep a value, where that does not follow from its bytes; `OBJECT ENCODING` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A number if it reads as one.
    Any,
    /// A string though it may read as a number.
    Text,
    /// A string that was changed in place.
    Raw,
}

/// When an entry ends, and its form: 62 bits and 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta(u64);

impl Meta {
    /// Ends from here on, in 146 million years, are kept as the last there is.
    const LAST: i64 = (1 << 62) - 1;

    /// Of what does not end, in any form.
    pub(super) const NONE: Self = Self(0);

    pub(super) fn new(form: Form, end: Option<i64>) -> Self {
        let end = end.map_or(0, |end| end.clamp(1, Self::LAST).unsigned_abs());
        Self(end << 2 | form as u64)
    }

    pub(super) const fn form(self) -> Form {
        match self.0 & 3 {
            0 => Form::Any,
            1 => Form::Text,
            _ => Form::Raw,
        }
    }

    pub(super) fn end(self) -> Option<i64> {
        match (self.0 >> 2) as i64 {
            0 => None,
            Self::LAST => Some(i64::MAX),
            end => Some(end),
        }
    }
}
