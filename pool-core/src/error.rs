//! Why a source refused: what was asked, what is used, what is allowed, what to do.
#![forbid(unsafe_code)]

use core::fmt;

/// Why no run could be had. A refusal has no side effect: what was live stays live, what was
/// charged is refunded, and the same call may succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PageError {
    /// The request's length is 0.
    #[error("a run of 0 bytes was asked for; ask for at least 1")]
    ZeroLength,
    /// The request's alignment is not a power of two.
    #[error("a run aligned to {align} was asked for; an alignment is a power of two")]
    BadAlign {
        /// The alignment asked for, in bytes.
        align: usize,
    },
    /// Length and alignment together exceed what one object may have, or what this source can
    /// ever give.
    #[error(
        "a run of {asked} bytes aligned to {align} was asked for; the limit here is {limit} bytes"
    )]
    TooLarge {
        /// Bytes asked for.
        asked: usize,
        /// The alignment asked for, in bytes.
        align: usize,
        /// The most bytes this source gives at that alignment.
        limit: usize,
    },
    /// A budget would be exceeded.
    #[error("{0}")]
    OverBudget(OverBudget),
    /// A source of fixed size has no free piece that is long enough.
    #[error(
        "a run of {asked} bytes was asked for; {free} of {capacity} bytes are free here, but not in one piece"
    )]
    Exhausted {
        /// Bytes asked for, rounded up.
        asked: usize,
        /// Bytes free, in pieces that are too short or not aligned.
        free: usize,
        /// Bytes that the source has in all.
        capacity: usize,
    },
    /// The operating system refused.
    #[error("{0}")]
    Os(OsError),
    /// This build or this platform cannot do what was asked.
    #[error("{what} is not supported by this build on this platform")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
    },
    /// [`Failing`](crate::Failing) refused on purpose.
    #[error("acquire number {call} was made to fail by a test")]
    Injected {
        /// The number of the call that was refused; the first is 0.
        call: u64,
    },
}

/// Which budget refused, and what it had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverBudget {
    /// The name the refusing level was given, or `"budget"`.
    pub level: &'static str,
    /// How far above the level that was asked the refusing one stands; 0 is the level itself.
    pub depth: u32,
    /// Bytes asked for.
    pub asked: usize,
    /// Bytes in use at that level at that moment.
    pub used: usize,
    /// The level's limit in bytes.
    pub limit: usize,
}

impl fmt::Display for OverBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { level, asked, used, limit, .. } = self;
        write!(f, "{asked} bytes asked of {level:?}, which has {used} of {limit} bytes in use")
    }
}

/// A system call that failed, with what is known of the limit behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OsError {
    /// The call and its telling flag, such as `"mmap"` or `"madvise(MADV_HUGEPAGE)"`.
    pub call: &'static str,
    /// The error number the system gave (`errno`).
    pub code: i32,
    /// Bytes the call was for.
    pub asked: usize,
    /// The limit that explains the refusal, where one is known.
    pub cause: Cause,
}

/// The system's limit that explains a refused call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// Nothing more is known than the error number.
    Unknown,
    /// `RLIMIT_MEMLOCK`: bytes the process may lock.
    MemoryLock {
        /// The limit in bytes.
        limit: u64,
    },
    /// `vm.max_map_count`: the process's table of mappings is full.
    MapCount {
        /// Mappings the process may have.
        limit: u64,
    },
    /// The system has too few reserved huge pages (`vm.nr_hugepages`).
    HugePages {
        /// Free huge pages at that moment.
        free: u64,
    },
    /// The kernel was told never to give transparent huge pages.
    HugePagesOff,
}

impl fmt::Display for OsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes failed: ", self.call, self.asked)?;
        #[cfg(feature = "std")]
        write!(f, "{}", std::io::Error::from_raw_os_error(self.code))?;
        #[cfg(not(feature = "std"))]
        write!(f, "os error {}", self.code)?;
        match self.cause {
            Cause::Unknown => Ok(()),
            Cause::MemoryLock { limit } => {
                write!(f, "; RLIMIT_MEMLOCK is {limit} bytes: raise it (ulimit -l) or lock less")
            }
            Cause::MapCount { limit } => write!(
                f,
                "; the process has all the {limit} mappings of vm.max_map_count: raise it, or use \
                 longer regions and fewer guard pages"
            ),
            Cause::HugePages { free } => {
                write!(f, "; {free} huge pages are free: reserve them with vm.nr_hugepages")
            }
            Cause::HugePagesOff => write!(
                f,
                "; transparent huge pages are off (/sys/kernel/mm/transparent_hugepage/enabled)"
            ),
        }
    }
}

impl core::error::Error for OverBudget {}
impl core::error::Error for OsError {}

impl From<OverBudget> for PageError {
    fn from(error: OverBudget) -> Self {
        Self::OverBudget(error)
    }
}

impl From<OsError> for PageError {
    fn from(error: OsError) -> Self {
        Self::Os(error)
    }
}

#[cfg(feature = "std")]
impl From<PageError> for std::io::Error {
    /// An error of kind `OutOfMemory` that keeps the message, or the system's own code.
    fn from(error: PageError) -> Self {
        match error {
            PageError::Os(os) => Self::from_raw_os_error(os.code),
            other => Self::new(std::io::ErrorKind::OutOfMemory, other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_small() {
        assert!(size_of::<PageError>() <= 7 * size_of::<usize>());
    }

    #[cfg(feature = "alloc")]
    #[test]
    fn messages_say_what_was_asked_used_and_allowed() {
        use alloc::string::ToString;
        let over = OverBudget { level: "tenant", depth: 1, asked: 5, used: 96, limit: 100 };
        let text = PageError::from(over).to_string();
        assert_eq!(text, "5 bytes asked of \"tenant\", which has 96 of 100 bytes in use");
        let os = OsError {
            call: "mlock",
            code: 12,
            asked: 4096,
            cause: Cause::MemoryLock { limit: 8192 },
        };
        let text = PageError::from(os).to_string();
        assert!(text.contains("mlock of 4096 bytes") && text.contains("RLIMIT_MEMLOCK is 8192"));
    }
}
