//! `io_uring`: receiving into buffers that the kernel takes from a pool when bytes have come.

mod buffers;

use crate::DefaultSource;
use buffers::Buffers;
use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::time::Duration;
use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use pool_core::{PageError, PageSource};
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use thiserror::Error;

/// The group that the buffers are registered as; each `IoUring` here has one.
const GROUP: u16 = 0;
/// Tokens are below this; the bits above say what an operation is.
const TOKENS: u64 = 1 << 62;
const RECV: u64 = 0;
const ACCEPT: u64 = 1;
const CANCEL: u64 = 2;
/// `ENOBUFS` and `ECANCELED` of Linux.
const ENOBUFS: i32 = 105;
const ECANCELED: i32 = 125;
/// How long dropping waits for the kernel to let go of the buffers.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why a [`UringReceiver`] could not be made, or does not do what it is asked for.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UringError {
    /// The kernel does not have it, or forbids it (`io_uring_disabled`, a container's filter), or an
    /// operation failed.
    #[error("io_uring: {call} failed: {error}")]
    Os {
        /// What was called.
        call: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// The page source refused.
    #[error("the buffers' page source refused: {0}")]
    Source(#[source] PageError),
    /// More buffers, or longer ones, than the kernel takes.
    #[error("{asked} buffers of {len} bytes; at most 32768 of 1 to 2^31 - 1 are allowed")]
    TooLarge {
        /// Buffers.
        asked: usize,
        /// Bytes of each.
        len: usize,
    },
    /// A token of 2^62 or more.
    #[error("the token {token} is not below 2^62")]
    Token {
        /// The token.
        token: u64,
    },
}

/// Receives from any number of sockets into one pool of buffers: the kernel takes a buffer when bytes have come, so that a
/// socket that waits holds none. Linux 6.0 or later.
///
/// The buffers are a slab on pages of the source, registered as a *provided-buffer ring*; each receive is *multishot*:
/// armed once, it goes on until the stream ends or there is no buffer. One buffer at a time is lent, as [`Received`],
/// and goes back to the kernel when that is dropped: feed it to a [`PacketRing`](crate::PacketRing), which keeps what is not a
/// whole frame.
///
/// ```
/// use pool_ring::{PacketRing, UringEvent, UringReceiver, frame::Lines};
/// use std::io::Write;
/// use std::os::unix::net::UnixStream;
///
/// let Ok(mut receiver) = UringReceiver::try_new(64, 4096) else { return Ok(()) }; // not allowed here
/// let (mut client, server) = UnixStream::pair()?;
/// receiver.arm(&server, 7)?;
/// client.write_all(b"hello\nwor")?;
///
/// let mut ring = PacketRing::try_new()?;
/// let (mut conn, mut lines) = (ring.open(7), Lines::new(100));
/// assert!(receiver.wait(None)?);
/// while let Some(event) = receiver.next() {
///     let UringEvent::Received { token: 7, bytes, .. } = event else { panic!("{event:?}") };
///     let mut batch = ring.feed(&mut conn, &mut lines, &mut &bytes[..])?;
///     assert_eq!(batch.next()?, Some(&b"hello"[..]));
/// }
/// assert_eq!(ring.partial_len(&conn), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Out of buffers
/// When all buffers hold bytes that nobody has looked at, the kernel ends the receive ([`UringEvent::OutOfBuffers`]); the bytes
/// stay in the socket. All events before that one have given their buffers back by then, so it can be armed again at once.
///
/// # Dropping it
/// ends all receives and waits until the kernel has let go of the buffers, a second at most; then they are leaked
/// rather than freed under its hands. A forked child shares the kernel's side with its parent: there it must not be used
/// nor dropped.
pub struct UringReceiver<S: PageSource + Clone = DefaultSource> {
    /// Dropped before the buffers.
    uring: ManuallyDrop<IoUring>,
    /// Dropped when no operation is in flight.
    buffers: ManuallyDrop<Buffers<S>>,
    /// Whether the kernel knows of the buffers.
    registered: bool,
    /// Operations whose last completion has not come.
    in_flight: usize,
    /// The buffer of the last event, if it has not gone back.
    lent: Option<u16>,
}

/// What has happened.
#[derive(Debug)]
pub enum UringEvent<'u, S: PageSource + Clone = DefaultSource> {
    /// Bytes have come.
    Received {
        /// What [`UringReceiver::arm`] was told.
        token: u64,
        /// They.
        bytes: Received<'u, S>,
        /// Whether the receive goes on; otherwise arm it again.
        armed: bool,
    },
    /// The stream has ended, or the receive, or accepting, was cancelled.
    Ended {
        /// What it was armed with.
        token: u64,
    },
    /// Bytes have come, and there is no buffer for them: arm it again.
    OutOfBuffers {
        /// What [`UringReceiver::arm`] was told.
        token: u64,
    },
    /// Somebody has connected.
    Accepted {
        /// What [`UringReceiver::arm_accept`] was told.
        token: u64,
        /// The new connection.
        socket: OwnedFd,
        /// Whether accepting goes on; otherwise arm it again.
        armed: bool,
    },
    /// The receive, or accepting, has failed and is over.
    Failed {
        /// What it was armed with.
        token: u64,
        /// Why.
        error: io::Error,
    },
}

impl UringReceiver {
    /// `buffers` of `len` bytes over the process-wide source.
    ///
    /// # Errors
    /// As [`try_new_in`](Self::try_new_in).
    pub fn try_new(buffers: usize, len: usize) -> Result<Self, UringError> {
        Self::try_new_in(buffers, len, pool_core::Global)
    }
}

impl<S: PageSource + Clone + 'static> UringReceiver<S> {
    /// At least `buffers` (rounded up to a power of two) of `len` bytes over `source`, a handle that lives by itself
    /// (`Global`, an `Arc`): a receiver that is forgotten leaves its buffers to the kernel for ever.
    ///
    /// ```compile_fail,E0597
    /// # use pool_core::{Fixed, Heap};
    /// # use pool_ring::UringReceiver;
    /// let heap = Heap::new();
    /// std::mem::forget(UringReceiver::try_new_in(4, 64, &heap));
    /// ```
    ///
    /// # Errors
    /// [`UringError`]; on systems that do not allow it, what those say.
    pub fn try_new_in(buffers: usize, len: usize, source: S) -> Result<Self, UringError> {
        let too_large = UringError::TooLarge { asked: buffers, len };
        if buffers > 1 << 15 || len == 0 || len > i32::MAX as usize {
            return Err(too_large);
        }
        let count = buffers.next_power_of_two() as u16;
        let uring = IoUring::new(256).map_err(os("io_uring_setup"))?;
        let buffers = Buffers::new(&source, count, len as u32).map_err(UringError::Source)?;
        let mut this = Self {
            uring: ManuallyDrop::new(uring),
            buffers: ManuallyDrop::new(buffers),
            registered: false,
            in_flight: 0,
            lent: None,
        };
        let (address, group) = (this.buffers.address(), GROUP);
        let submitter = this.uring.submitter();
        // SAFETY: the entries are as many and live until the group is unregistered: `drop` does that
        // first, or leaks them.
        let registered =
            unsafe { submitter.register_buf_ring_with_flags(address, count, group, 0) };
        registered.map_err(os("io_uring_register"))?;
        this.registered = true;
        for buffer in 0..count {
            // SAFETY: each of them once, and nothing of them is lent; the buffers live as long as the
            // kernel may use them, see `drop`.
            unsafe { this.buffers.give(buffer) };
        }
        Ok(this)
    }
}

impl<S: PageSource + Clone> UringReceiver<S> {
    /// Receives from `socket` from now on, until an event says that it is over; those have this `token`, below
    /// 2^62. The socket may be closed before that, which ends nothing by itself: [`cancel`](Self::cancel) does, or the peer.
    ///
    /// # Errors
    /// [`UringError`]. If the kernel is busy the operation may begin later all the same, so expect its events.
    pub fn arm(&mut self, socket: impl AsFd, token: u64) -> Result<(), UringError> {
        let fd = Fd(socket.as_fd().as_raw_fd());
        self.submit(opcode::RecvMulti::new(fd, GROUP).build(), RECV, token)
    }

    /// Accepts connections of `listener` from now on, until an event says that it is over. Tokens of listeners are told apart from those
    /// of sockets only by the events, `Accepted` and `Received`: for the others they should differ.
    ///
    /// # Errors
    /// As [`arm`](Self::arm).
    pub fn arm_accept(&mut self, listener: impl AsFd, token: u64) -> Result<(), UringError> {
        let fd = Fd(listener.as_fd().as_raw_fd());
        self.submit(opcode::AcceptMulti::new(fd).build(), ACCEPT, token)
    }

    /// Ends receiving with this token, and no accepting; [`UringEvent::Ended`] says when it is over.
    ///
    /// # Errors
    /// As [`arm`](Self::arm).
    pub fn cancel(&mut self, token: u64) -> Result<(), UringError> {
        self.submit(opcode::AsyncCancel::new(RECV << 62 | token).build(), CANCEL, token)
    }

    /// Ends accepting with this token; [`UringEvent::Ended`] says when it is over. Connections that were accepted before come before it.
    ///
    /// # Errors
    /// As [`arm`](Self::arm).
    pub fn cancel_accept(&mut self, token: u64) -> Result<(), UringError> {
        self.submit(opcode::AsyncCancel::new(ACCEPT << 62 | token).build(), CANCEL, token)
    }

    fn submit(&mut self, entry: squeue::Entry, kind: u64, token: u64) -> Result<(), UringError> {
        if token >= TOKENS {
            return Err(UringError::Token { token });
        }
        let entry = entry.user_data(kind << 62 | token);
        // SAFETY: the operations that come here refer to no memory but the group's buffers, which live until
        // none is in flight.
        while unsafe { self.uring.submission().push(&entry) }.is_err() {
            self.enter()?;
        }
        self.in_flight += 1;
        self.enter()
    }

    /// Tells the kernel what there is to do.
    fn enter(&self) -> Result<(), UringError> {
        loop {
            match self.uring.submit() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result.map(drop).map_err(os("io_uring_enter")),
            }
        }
    }

    /// Waits until something has happened, at most for so long. `false`: nothing has.
    ///
    /// # Errors
    /// [`UringError::Os`].
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<bool, UringError> {
        if !self.uring.completion().is_empty() {
            return Ok(true);
        }
        let time = timeout.map(Timespec::from);
        let mut args = SubmitArgs::new();
        if let Some(time) = &time {
            args = args.timespec(time);
        }
        match self.uring.submitter().submit_with_args(1, &args) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(false),
            // ETIME, which is what a wait says whose time is over.
            Err(error) if error.raw_os_error() == Some(62) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            Err(error) => Err(os("io_uring_enter")(error)),
        }
    }

    /// What has happened next, if anything has. What it lends goes back to the kernel when it is dropped; forgotten, with
    /// the next call.
    #[allow(clippy::should_implement_trait, reason = "what it lends borrows the receiver")]
    pub fn next(&mut self) -> Option<UringEvent<'_, S>> {
        self.take_back();
        loop {
            let entry = self.uring.completion().next()?;
            let (kind, token) = (entry.user_data() >> 62, entry.user_data() & (TOKENS - 1));
            let armed = cqueue::more(entry.flags());
            self.in_flight -= usize::from(!armed);
            let (result, buffer) = (entry.result(), cqueue::buffer_select(entry.flags()));
            // Ours from here on, whatever else the completion says.
            self.lent = buffer.filter(|&buffer| kind == RECV && buffer < self.buffers.count());
            return Some(match (kind, result) {
                (CANCEL, _) => continue,
                (ACCEPT, 0..) => {
                    // SAFETY: the kernel has made this descriptor for whoever reaps the completion.
                    let socket = unsafe { OwnedFd::from_raw_fd(result) };
                    UringEvent::Accepted { token, socket, armed }
                }
                (RECV, 1..) if self.lent.is_some() => {
                    let bytes = Received { receiver: self, len: result as usize };
                    UringEvent::Received { token, bytes, armed }
                }
                (RECV, 0..) => UringEvent::Ended { token },
                (RECV, code) if code == -ENOBUFS => UringEvent::OutOfBuffers { token },
                (_, code) if code == -ECANCELED => UringEvent::Ended { token },
                (_, code) => {
                    let error = io::Error::from_raw_os_error(code.saturating_neg());
                    UringEvent::Failed { token, error }
                }
            });
        }
    }

    /// Gives the buffer of the last event to the kernel again.
    fn take_back(&mut self) {
        if let Some(buffer) = self.lent.take() {
            // SAFETY: a completion has named it, so it was ours, and what was lent of it has ended: that borrowed
            // `self`.
            unsafe { self.buffers.give(buffer) };
        }
    }

    /// Ends everything that is in flight. `false`: not all of it has ended in time.
    fn quiesce(&mut self) -> bool {
        let begin = std::time::Instant::now();
        while self.in_flight > 0 && begin.elapsed() < PATIENCE {
            let all = CancelBuilder::any();
            let _ = self.uring.submitter().register_sync_cancel(Some(PATIENCE.into()), all);
            let _ = self.wait(Some(Duration::from_millis(10)));
            // Connections that were accepted meanwhile are closed.
            while self.next().is_some() {}
        }
        self.in_flight == 0
            && (!self.registered || self.uring.submitter().unregister_buf_ring(GROUP).is_ok())
    }
}

impl<S: PageSource + Clone> Drop for UringReceiver<S> {
    fn drop(&mut self) {
        let idle = self.quiesce();
        // SAFETY: not used afterwards.
        unsafe { ManuallyDrop::drop(&mut self.uring) };
        if idle {
            // SAFETY: nothing is in flight and the group is unregistered, or never was registered, so the kernel refers to none of them;
            // not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.buffers) };
        }
    }
}

/// What one receive has brought; derefs to the bytes. Dropping it gives the buffer back to the kernel.
pub struct Received<'u, S: PageSource + Clone = DefaultSource> {
    /// Has lent a buffer.
    receiver: &'u mut UringReceiver<S>,
    len: usize,
}

impl<S: PageSource + Clone> Deref for Received<'_, S> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self.receiver.lent {
            // SAFETY: a completion has named it and said how many bytes are in it; it goes back when `self` is
            // dropped.
            Some(buffer) => unsafe { self.receiver.buffers.bytes(buffer, self.len) },
            None => &[],
        }
    }
}

impl<S: PageSource + Clone> Drop for Received<'_, S> {
    fn drop(&mut self) {
        self.receiver.take_back();
    }
}

fn os(call: &'static str) -> impl Fn(io::Error) -> UringError {
    move |error| UringError::Os { call, error }
}

impl<S: PageSource + Clone> fmt::Debug for UringReceiver<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UringReceiver").field("in_flight", &self.in_flight).finish_non_exhaustive()
    }
}

impl<S: PageSource + Clone> fmt::Debug for Received<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received").field("len", &self.len).finish_non_exhaustive()
    }
}
