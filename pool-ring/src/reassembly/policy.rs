//! `OverlapPolicy`: which bytes count where two segments disagree.

use crate::table::Span;

/// Which segment's bytes count where an earlier and a later one overlap.
///
/// Systems differ in this, and whoever watches or filters traffic must see what the receiver sees: an intrusion
/// detector takes the policy of the system behind it (Ptacek and Newsham 1998; Shankar and Paxson,
/// *Active Mapping*, 2003; Novak, *Target-Based Fragmentation Reassembly*, 2005; Novak and Sturges, *Target-Based TCP Stream
/// Reassembly*, 2007, whose names these are). In the table *original* is the segment that came earlier
/// and *new* the one that comes now; starts and ends are those of what is left of the original, and of the whole new one.
///
/// | policy | the original's bytes count | documented for |
/// |---|---|---|
/// | `First` | always | Mac OS, HP-UX 11 (fragments) |
/// | `Last` | never | Cisco IOS (fragments) |
/// | `Bsd` | if it starts no later than the new one | FreeBSD, OpenBSD, AIX, IRIX, HP-UX 10 |
/// | `BsdRight` | if it starts later than the new one | HP JetDirect |
/// | `Linux` | if it starts before the new one | Linux 2.x |
/// | `Windows` | unless the new one starts before it *and* ends after it | Windows 98 to XP (fragments) |
/// | `Solaris` | unless the new one starts before it and ends no earlier | Solaris (fragments) |
/// | `Reject` | the new segment is refused if any byte differs | RFC 5722 and RFC 8200 in spirit |
///
/// The systems are those that Snort lists for fragments; its rules, and Suricata's, are the papers'.
///
/// A stream's bytes that can be read already never change, whatever the policy: they have been delivered. The papers'
/// series, letters standing for eight bytes each, becomes, as long as nothing is delivered:
///
/// ```text
///   original    AAA BBCCC D  EEFFFGGHHI
///   new          JJJJ KKK                    then LLL at 9, MMM at 12, N at 16, O at 19, P at 20, QQ at 22
///
///   First       AAAJBBCCCLDLMEEFFFGGHHIQ     Bsd         AAAJJBCCCLLLMMMFFFGGHHIQ
///   Last        AJJJJBKKKLLLMMMFNFGOPHQQ     BsdRight    AJJJBBKKKLDLMEEFNFGOPHQQ
///   Windows     AAAJBBCCCLLLMEEFFFGGHHIQ     Linux       AAAJJBKKKLLLMMMFFFGGPHQQ
///   Solaris     AAAJBBCCCLLLMMMFFFGGHHIQ
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OverlapPolicy {
    /// The original counts.
    #[default]
    First,
    /// The new one counts.
    Last,
    /// The original counts if it starts no later.
    Bsd,
    /// The new one counts unless the original starts later.
    BsdRight,
    /// The original counts if it starts before.
    Linux,
    /// The original counts unless the new one surrounds it on both sides.
    Windows,
    /// The original counts unless the new one starts before it and covers it.
    Solaris,
    /// What differs is refused.
    Reject,
}

impl OverlapPolicy {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::First,
        Self::Last,
        Self::Bsd,
        Self::BsdRight,
        Self::Linux,
        Self::Windows,
        Self::Solaris,
        Self::Reject,
    ];

    /// Whether the bytes of `new` replace those of `original`.
    #[inline]
    pub(crate) const fn replaces(self, original: Span, new: Span) -> bool {
        match self {
            Self::First | Self::Reject => false,
            Self::Last => true,
            Self::Bsd => new.start < original.start,
            Self::BsdRight => new.start >= original.start,
            Self::Linux => new.start <= original.start,
            Self::Windows => new.start < original.start && new.end > original.end,
            Self::Solaris => new.start < original.start && new.end >= original.end,
        }
    }

    /// Whether it makes no difference where segments begin and end, so that touching ones can be
    /// noted as one.
    pub(crate) const fn merges(self) -> bool {
        matches!(self, Self::First | Self::Last | Self::Reject)
    }
}
