//! The calls to the system of this crate.
#![forbid(unsafe_code)]

use core::mem::MaybeUninit;
use std::io;
use std::os::fd::AsFd;

/// Reads once, and again if interrupted. Returns how many bytes from the front of `room` are initialised now.
#[inline]
pub(crate) fn read(fd: impl AsFd, room: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    loop {
        match rustix::io::read(fd.as_fd(), &mut *room) {
            Ok((filled, _)) => return Ok(filled.len()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The same where `room` is initialised.
#[inline]
pub(crate) fn read_over(fd: impl AsFd, room: &mut [u8]) -> io::Result<usize> {
    loop {
        match rustix::io::read(fd.as_fd(), &mut *room) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return Ok(result?),
        }
    }
}
