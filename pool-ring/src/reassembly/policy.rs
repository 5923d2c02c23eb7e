//! `OverlapPolicy`: which bytes count where two segments disagree.

use crate::table::Span;

/// Which segment's bytes count where an earlier and a later one overlap.
///
/// Systems differ in this, and whoever watches or filters traffic must see what the receiver sees: an intrusion
/// detector takes the policy of the system behind it (Ptacek and Newsham 1998; Shankar and Paxson, *Active Mapping*,
/// 2003, whose names these are). One system may treat TCP segments otherwise than IP fragments, so a name stands for two rules: a
/// [`Reassembler`](crate::Reassembler) goes by the one for **streams** (Novak and Sturges, *Target-Based TCP Stream
/// Reassembly*, 2007), a `DatagramReassembler` by the one for **fragments** (Novak, *Target-Based Fragmentation Reassembly*, 2005).
///
/// In the tables *original* is what is left of the segment that came earlier, and *new* the whole one that comes now. The
/// new one's bytes count
///
/// | policy | streams | fragments |
/// |---|---|---|
/// | `First` | never | never |
/// | `Last` | always | always |
/// | `Bsd` | if it starts before the original | the same |
/// | `BsdRight` | unless it starts before the original | the same |
/// | `Linux` | if it starts before the original, or with it and ends after it | if it starts before the original, or with it |
/// | `Windows` | if it starts before the original | if it starts before the original **and** ends after it |
/// | `Solaris` | if it ends after the original, or with it and starts no later | if it starts before the original and ends no earlier |
/// | `Reject` | never: it is refused if any byte differs | the same (RFC 5722 and RFC 8200 in spirit) |
///
/// The rules are Suricata's. Snort's are the same for fragments; in streams it puts a new segment that begins within one original and goes
/// on into the next as if it began where the first one ends, and `Solaris` keeps exact duplicates behind some neighbours. Systems
/// for which the policies are documented, by Snort (`README.stream5`, `README.frag3`):
///
/// | policy | streams | fragments |
/// |---|---|---|
/// | `First` | Windows Vista | Mac OS, HP-UX 11, SunOS 5.5 to 5.8 |
/// | `Last` | | Cisco IOS |
/// | `Bsd` | FreeBSD 4, NetBSD 2, OpenBSD 3, Mac OS 10.3, and later; AIX | FreeBSD, AIX, IRIX, HP-UX 10, OpenVMS, OS/2, OSF/1, Tru64, SunOS 4 |
/// | `BsdRight` | | HP JetDirect |
/// | `Linux` | Linux 2.4 and 2.6 | Linux 2.2 and 2.4, OpenBSD |
/// | `Windows` | Windows 98 to XP, Windows 2003 | Windows 95 to XP |
/// | `Solaris` | Solaris 9 and later, HP-UX 11 | Solaris 9 and 10 |
///
/// A stream's bytes that can be read already never change, whatever the policy: they have been delivered. The papers'
/// series, letters standing for eight bytes each, becomes, as long as nothing is delivered:
///
/// ```text
///   original    AAA BBCCC D  EEFFFGGHHI
///   new          JJJJ KKK                    then LLL at 9, MMM at 12, N at 16, O at 19, P at 20, QQ at 22
///
///               streams                     fragments
///   First       AAAJBBCCCLDLMEEFFFGGHHIQ    AAAJBBCCCLDLMEEFFFGGHHIQ
///   Last        AJJJJBKKKLLLMMMFNFGOPHQQ    AJJJJBKKKLLLMMMFNFGOPHQQ
///   Bsd         AAAJJBCCCLLLMMMFFFGGHHIQ    AAAJJBCCCLLLMMMFFFGGHHIQ
///   BsdRight    AJJJBBKKKLDLMEEFNFGOPHQQ    AJJJBBKKKLDLMEEFNFGOPHQQ
///   Linux       AAAJJBCCCLLLMMMFFFGGHHQQ    AAAJJBKKKLLLMMMFFFGGPHQQ
///   Windows     AAAJJBCCCLLLMMMFFFGGHHIQ    AAAJBBCCCLLLMEEFFFGGHHIQ
///   Solaris     AJJJBBKKKLLLMMMFFFGGHHQQ    AAAJBBCCCLLLMMMFFFGGHHIQ
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OverlapPolicy {
    /// The original counts.
    #[default]
    First,
    /// The new one counts.
    Last,
    /// The new one counts if it starts before.
    Bsd,
    /// The new one counts unless it starts before.
    BsdRight,
    /// The new one counts if it starts before, or with the original and (in streams) ends after it.
    Linux,
    /// The new one counts if it starts before and (of fragments) ends after the original.
    Windows,
    /// The new one counts if it covers the original or (in streams) ends after it; of fragments it must start before.
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

    /// Whether it makes no difference where segments begin and end, so that touching ones can be
    /// noted as one.
    pub(crate) const fn merges(self) -> bool {
        matches!(self, Self::First | Self::Last | Self::Reject)
    }
}

/// What a policy means for what is put together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) policy: OverlapPolicy,
    /// For fragments of a datagram; else for segments of a stream.
    pub(crate) fragments: bool,
}

impl Rules {
    /// Whether the bytes of `new` replace those of `original`.
    #[inline]
    pub(crate) const fn replaces(self, original: Span, new: Span) -> bool {
        let (before, with) = (new.start < original.start, new.start == original.start);
        match self.policy {
            OverlapPolicy::First | OverlapPolicy::Reject => false,
            OverlapPolicy::Last => true,
            OverlapPolicy::Bsd => before,
            OverlapPolicy::BsdRight => !before,
            OverlapPolicy::Linux => before || with && (self.fragments || new.end > original.end),
            OverlapPolicy::Windows => before && (!self.fragments || new.end > original.end),
            OverlapPolicy::Solaris if self.fragments => before && new.end >= original.end,
            OverlapPolicy::Solaris => {
                new.end > original.end || new.end == original.end && (before || with)
            }
        }
    }

    /// Whether it makes no difference where segments begin and end.
    pub(crate) const fn merges(self) -> bool {
        self.policy.merges()
    }
}
