//! Reads all that has come at once, though a WebSocket asks for a kilobyte at a time: one system call for
//! what many messages would take many.

use bytes::{Buf, Bytes};
use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is read at once. Connections share it, so that ten thousand idle ones have none of it.
const SHARED_BYTES: usize = 32 * 1024;

thread_local! {
    static SHARED: RefCell<Vec<u8>> = RefCell::new(vec![0; SHARED_BYTES]);
}

/// A connection, and what was read of it and not taken yet.
#[derive(Debug)]
pub(super) struct Eager<S> {
    inner: S,
    rest: Bytes,
}

impl<S> Eager<S> {
    pub(super) fn new(inner: S) -> Self {
        Self {
            inner,
            rest: Bytes::new(),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Eager<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.rest.is_empty() {
            return SHARED.with_borrow_mut(|shared| {
                let mut read = ReadBuf::new(shared);
                ready!(Pin::new(&mut self.inner).poll_read(context, &mut read))?;
                let read = read.filled();
                let (now, later) = read.split_at(read.len().min(buffer.remaining()));
                buffer.put_slice(now);
                if !later.is_empty() {
                    self.rest = Bytes::copy_from_slice(later);
                }
                Poll::Ready(Ok(()))
            });
        }
        let count = self.rest.len().min(buffer.remaining());
        buffer.put_slice(&self.rest[..count]);
        self.rest.advance(count);
        if self.rest.is_empty() {
            // What is empty still holds what it was cut from.
            self.rest = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Eager<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn nothing_is_lost_or_kept_between_small_reads() {
        let sent: Vec<u8> = (0..100_000_u32).map(|index| (index % 251) as u8).collect();
        let mut eager = Eager::new(&sent[..]);
        let mut got = Vec::<u8>::new();
        let mut part = [0; 1000];
        loop {
            match eager.read(&mut part).await.unwrap() {
                0 => break,
                count => got.extend(&part[..count]),
            }
        }
        assert_eq!(got, sent);
        assert!(eager.rest.is_empty());
    }
}
