//! Joins a stream of a tunnel with something that is read and written here.

use super::error::RelayError;
use super::stream::{Reader, Stream, Writer};
use bytes::BytesMut;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What has gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moved {
    /// Bytes from here, that were read.
    pub sent: u64,
    /// Bytes to here, that were written.
    pub received: u64,
}

impl Moved {
    /// Both directions together.
    pub fn total(self) -> u64 {
        self.sent + self.received
    }
}

/// What is joined with a stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    /// What is read, and what is written, for errors.
    pub(super) input: &'static str,
    pub(super) output: &'static str,
    /// Bytes that are read at a time.
    pub(super) chunk: usize,
}

/// What has gone through so far, counted by both directions.
#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    received: AtomicU64,
}

impl Counts {
    fn add(count: &AtomicU64, bytes: usize) {
        count.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn now(&self) -> Moved {
        Moved {
            sent: self.sent.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
        }
    }
}

/// Moves `input` to the peer and what comes to `output`, until both directions have ended and the peer has
/// taken everything. Whatever fails here is told the peer. `tell` is told of each piece that has gone through.
/// Returns what has gone through, and whether that was all.
pub(super) async fn relay(
    stream: Stream,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin,
    ends: Ends,
    tell: impl Fn(Moved),
) -> (Moved, Result<(), RelayError>) {
    let (mut reader, mut writer) = stream.split();
    let counts = Counts::default();
    let sent = |bytes| {
        Counts::add(&counts.sent, bytes);
        tell(counts.now());
    };
    let received = |bytes| {
        Counts::add(&counts.received, bytes);
        tell(counts.now());
    };
    let result = tokio::try_join!(
        outward(&mut writer, input, ends, sent),
        inward(&mut reader, output, ends.output, received),
    );
    if let Err(error) = &result {
        writer.reset(error.reset());
    }
    (counts.now(), result.map(|((), ())| ()))
}

async fn outward(
    writer: &mut Writer,
    mut input: impl AsyncRead + Unpin,
    Ends {
        input: what, chunk, ..
    }: Ends,
    note: impl Fn(usize),
) -> Result<(), RelayError> {
    let mut chunk = BytesMut::with_capacity(chunk);
    loop {
        chunk.clear();
        let read = tokio::select! {
            biased;
            read = input.read_buf(&mut chunk) => read,
            // Nobody else would notice while nothing comes.
            error = writer.broken() => return Err(error.into()),
        };
        match read {
            Ok(0) => break,
            Ok(bytes) => {
                writer.write(&chunk).await?;
                note(bytes);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(RelayError::Read { what, source }),
        }
    }
    writer.end();
    Ok(writer.taken().await?)
}

async fn inward(
    reader: &mut Reader,
    mut output: impl AsyncWrite + Unpin,
    what: &'static str,
    note: impl Fn(usize),
) -> Result<(), RelayError> {
    let failed = |source| RelayError::Write { what, source };
    while let Some(bytes) = reader.read().await? {
        output.write_all(&bytes).await.map_err(failed)?;
        note(bytes.len());
    }
    // Only then is it where it belongs.
    output.flush().await.map_err(failed)?;
    output.shutdown().await.map_err(failed)?;
    reader.take();
    Ok(())
}
