//! `tokio`: reading when a socket is ready, `RingBuf` as an asynchronous reader and writer, and
//! codecs out of decoders.
#![forbid(unsafe_code)]

use crate::error::ReadError;
use crate::frame::{Decoded, Decoder, Encoder};
use crate::packet::{Conn, PacketRing};
use crate::ring::RingBuf;
use bytes::{Buf, Bytes, BytesMut};
use pool_core::PageSource;
use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use thiserror::Error;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Why no frames were received.
#[derive(Debug, Error)]
pub enum RecvError<E> {
    /// Reading failed, or the stream has ended, or its bytes found no room.
    #[error("{0}")]
    Read(ReadError<io::Error>),
    /// The decoder gave the stream up.
    #[error("the stream is broken: {0}")]
    Decode(E),
}

/// Reads a socket that is ready, for as long as it takes no waiting.
struct Ready<'s>(&'s TcpStream);

impl io::Read for Ready<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(room)
    }
}

/// Waits until `socket` has something, reads it into the worker's ring and hands out each whole frame. Returns after
/// one read, with the number of frames.
///
/// While a task waits here it holds no buffer: 10,000 idle tasks share one scratch. The ring is borrowed for as long as a
/// read takes, never while waiting; `handle` must not borrow it. Tasks of one ring run on one thread (a
/// `LocalSet`), as connections belong to their ring's thread.
///
/// ```
/// use pool_ring::{PacketRing, frame::Lines, recv_frames};
/// use std::{cell::RefCell, rc::Rc};
/// # use tokio::net::{TcpListener, TcpStream};
///
/// async fn serve(ring: Rc<RefCell<PacketRing>>, socket: TcpStream, index: u32) {
///     let mut conn = ring.borrow_mut().open(index);
///     let mut lines = Lines::new(1024);
///     while recv_frames(&ring, &mut conn, &mut lines, &socket, |line| assert_eq!(line, b"hi")).await.is_ok() {}
///     ring.borrow_mut().close(&mut conn);
/// }
/// # tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
/// # let listener = TcpListener::bind("127.0.0.1:0").await?;
/// # let client = TcpStream::connect(listener.local_addr()?).await?;
/// # let (server, _) = listener.accept().await?;
/// # client.writable().await?;
/// # client.try_write(b"hi\nh")?;
/// # drop(client);
/// # let ring = Rc::new(RefCell::new(PacketRing::try_new().unwrap()));
/// # serve(ring.clone(), server, 0).await;
/// # assert_eq!(ring.borrow().stats().used, 0);
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Cancel safety
/// Dropped while it waits, it has read nothing: what has come and what comes is for the next call.
///
/// # Errors
/// [`RecvError`].
///
/// # Panics
/// If the ring is borrowed by somebody else meanwhile.
pub async fn recv_frames<S, D>(
    ring: &RefCell<PacketRing<S>>,
    conn: &mut Conn,
    decoder: &mut D,
    socket: &TcpStream,
    mut handle: impl FnMut(D::Frame<'_>),
) -> Result<usize, RecvError<D::Error>>
where
    S: PageSource + Clone,
    D: Decoder,
{
    loop {
        let ready = socket.readable().await;
        ready.map_err(|error| RecvError::Read(ReadError::Io(error)))?;
        let mut ring = ring.borrow_mut();
        match ring.read_from(conn, decoder, &mut Ready(socket)) {
            Ok(mut batch) => {
                let mut frames = 0;
                while let Some(frame) = batch.next().map_err(RecvError::Decode)? {
                    handle(frame);
                    frames += 1;
                }
                return Ok(frames);
            }
            Err(error) if error.is_would_block() => {}
            Err(error) => return Err(RecvError::Read(error)),
        }
    }
}

/// Takes bytes out of the front; always ready.
impl<S: PageSource + Clone + Unpin> AsyncRead for RingBuf<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let n = out.remaining().min(self.len());
        out.put_slice(&self.peek()[..n]);
        self.consume(n);
        Poll::Ready(Ok(()))
    }
}

impl<S: PageSource + Clone + Unpin> AsyncBufRead for RingBuf<S> {
    fn poll_fill_buf(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        Poll::Ready(Ok(self.get_mut().peek()))
    }

    fn consume(mut self: Pin<&mut Self>, n: usize) {
        RingBuf::consume(&mut self, n);
    }
}

/// Puts as much in as there is room for: 0 if the ring is full. Always ready.
impl<S: PageSource + Clone + Unpin> AsyncWrite for RingBuf<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(self.push(bytes)))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut put = 0;
        for part in parts {
            let len = self.push(part);
            put += len;
            if len < part.len() {
                break;
            }
        }
        Poll::Ready(Ok(put))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A codec of `tokio_util` out of a decoder whose frames are bytes (`&[u8]`), and its encoder. Whatever error the decoder has
/// that becomes a `Box<dyn Error + Send + Sync>` is within an [`io::Error`] of the kind `InvalidData`.
///
/// ```
/// use bytes::BytesMut;
/// use pool_ring::{Codec, frame::LengthPrefix};
/// use tokio_util::codec::{Decoder, Encoder};
/// let mut codec = Codec::new(LengthPrefix::u16(1000));
/// let mut bytes = BytesMut::new();
/// codec.encode(&b"hello"[..], &mut bytes)?;
/// codec.encode(&b"world"[..], &mut bytes)?;
/// assert_eq!(codec.decode(&mut bytes)?.unwrap(), "hello");
/// assert_eq!(codec.decode(&mut bytes)?.unwrap(), "world");
/// assert_eq!(codec.decode(&mut bytes)?, None);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Codec<D> {
    decoder: D,
    /// How many bytes of the buffer are known to be no whole frame.
    seen: usize,
    /// Whose knowledge that is.
    seen_by: u64,
    copy_below: usize,
}

impl<D: Clone> Clone for Codec<D> {
    /// A codec for another stream: it knows nothing of this one's buffer.
    fn clone(&self) -> Self {
        Self { decoder: self.decoder.clone(), seen: 0, seen_by: 0, copy_below: self.copy_below }
    }
}

impl<D> Codec<D> {
    /// The codec of this decoder. Frames of less than 512 bytes are copied.
    pub const fn new(decoder: D) -> Self {
        Self { decoder, seen: 0, seen_by: 0, copy_below: 512 }
    }

    /// The same, but frames of less than `bytes` are copied out of the buffer that they were received in; longer ones are slices
    /// of it, and keep all of it alive. 0: none is copied.
    ///
    /// ```
    /// use pool_ring::{Codec, frame::Lines};
    /// use tokio_util::codec::Decoder;
    /// let mut buffer = bytes::BytesMut::from("short\n");
    /// let place = buffer.as_ptr();
    /// let line = Codec::new(Lines::new(100)).copy_below(0).decode(&mut buffer)?.unwrap();
    /// assert_eq!(line.as_ptr(), place);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn copy_below(self, bytes: usize) -> Self {
        Self { copy_below: bytes, ..self }
    }
}

fn broken(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Long frames are slices of the buffer, and keep it alive; see [`Codec::copy_below`].
impl<D> tokio_util::codec::Decoder for Codec<D>
where
    D: for<'a> Decoder<Frame<'a> = &'a [u8]>,
    D::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Item = Bytes;
    type Error = io::Error;

    fn decode(&mut self, bytes: &mut BytesMut) -> io::Result<Option<Bytes>> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let seen = core::mem::take(&mut self.seen).min(bytes.len());
        let identity = self.decoder.identity();
        let seen = if identity != 0 && identity == self.seen_by { seen } else { 0 };
        let (frame, consumed) = match self.decoder.decode_after(bytes, seen) {
            Ok(Decoded::Frame { frame, consumed }) => (frame, consumed.clamp(1, bytes.len())),
            Ok(Decoded::NeedMore(_)) => {
                (self.seen, self.seen_by) = (bytes.len(), identity);
                return Ok(None);
            }
            Err(error) => return Err(broken(error)),
        };
        let len = frame.len();
        // Elsewhere than in what it took only if it is empty, or static, or its decoder lies.
        let from = frame.as_ptr().addr().wrapping_sub(bytes.as_ptr().addr());
        if len < self.copy_below || from > consumed || len > consumed - from {
            let frame = Bytes::copy_from_slice(frame);
            bytes.advance(consumed);
            return Ok(Some(frame));
        }
        Ok(Some(bytes.split_to(consumed).freeze().slice(from..from + len)))
    }
}

impl<D: Encoder> tokio_util::codec::Encoder<&[u8]> for Codec<D> {
    type Error = io::Error;

    fn encode(&mut self, payload: &[u8], bytes: &mut BytesMut) -> io::Result<()> {
        let len = self.decoder.encoded_len(payload).map_err(broken)?;
        let at = bytes.len();
        bytes.resize(at + len, 0);
        let written = self.decoder.encode(payload, &mut bytes[at..]);
        // What the encoder has not written is not sent.
        bytes.truncate(at.saturating_add(*written.as_ref().unwrap_or(&0)));
        written.map(drop).map_err(broken)
    }
}
