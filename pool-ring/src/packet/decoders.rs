//! `Decoders`: numbers for decoders, as entries have no room for what tells them apart.
#![forbid(unsafe_code)]

/// The identities of decoders, by their number less 1; 0 where there is none yet.
pub(super) struct Decoders {
    known: [u64; Self::MOST],
    /// The one asked about last, and its number.
    last: (u64, u8),
}

impl Decoders {
    /// How many can have a number.
    pub(super) const MOST: usize = 31;

    pub(super) const fn new() -> Self {
        Self { known: [0; Self::MOST], last: (0, 0) }
    }

    /// The number of the decoder of this identity; 0 if it has none. If there are no more numbers all are given anew, provided that
    /// nobody remembers one.
    #[inline(always)]
    pub(super) fn number(&mut self, identity: u64, forgotten: impl FnOnce() -> bool) -> u8 {
        if self.last.0 != identity {
            self.last = (identity, self.find(identity, forgotten));
        }
        self.last.1
    }

    #[cold]
    fn find(&mut self, identity: u64, forgotten: impl FnOnce() -> bool) -> u8 {
        if identity == 0 {
            return 0;
        }
        let taken = |&known: &u64| known == identity || known == 0;
        let mut found = self.known.iter().position(taken);
        if found.is_none() && forgotten() {
            self.known = [0; Self::MOST];
            found = Some(0);
        }
        found.map_or(0, |at| {
            self.known[at] = identity;
            at as u8 + 1
        })
    }
}
