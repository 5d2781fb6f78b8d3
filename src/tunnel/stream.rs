//! The handles of one stream of a tunnel.

use super::error::StreamError;
use super::frame::Reset;
use super::half;
use super::shared::{Bells, Shared};
use bytes::Bytes;
use std::sync::Arc;

/// One stream: bytes in order in both directions, each of which ends by itself. It is complete when both
/// sides have ended their direction and [taken](Reader::take) the other one; dropped before, it is reset.
#[derive(Debug)]
pub struct Stream {
    reader: Reader,
    writer: Writer,
}

/// The direction towards here.
#[derive(Debug)]
pub struct Reader(Arc<Handle>);

/// The direction away from here.
#[derive(Debug)]
pub struct Writer(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    id: u32,
    bells: Arc<Bells>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.with(self.id, |mux| mux.release(self.id));
    }
}

impl Handle {
    fn reset(&self, reset: Reset) {
        self.shared.with(self.id, |mux| mux.reset(self.id, reset));
        self.bells.reader.notify_one();
        self.bells.writer.notify_one();
    }
}

impl Stream {
    pub(super) fn new(shared: Arc<Shared>, id: u32, bells: Arc<Bells>) -> Self {
        let handle = Arc::new(Handle { shared, id, bells });
        Self {
            reader: Reader(handle.clone()),
            writer: Writer(handle),
        }
    }

    pub(super) fn accept(&self) {
        let Handle { shared, id, .. } = &*self.writer.0;
        shared.with(*id, |mux| mux.accept(*id));
    }

    /// Both directions, for different tasks.
    pub fn split(self) -> (Reader, Writer) {
        (self.reader, self.writer)
    }

    /// Waits until the peer has accepted it.
    ///
    /// # Errors
    /// It was refused, or the tunnel has ended.
    pub async fn accepted(&mut self) -> Result<(), StreamError> {
        self.writer.until(|mux, id| mux.is_accepted(id)).await
    }

    /// Ends both directions and tells the peer why.
    pub fn reset(&self, reset: Reset) {
        self.writer.reset(reset);
    }
}

impl Reader {
    /// The next bytes, or `None` when the peer has ended its direction and everything was read. Cancelled, it
    /// has lost nothing.
    ///
    /// # Errors
    /// The stream or the tunnel has ended before.
    pub async fn read(&mut self) -> Result<Option<Bytes>, StreamError> {
        let Handle { shared, id, bells } = &*self.0;
        loop {
            match shared
                .with(*id, |mux| mux.read(*id))
                .map_err(StreamError::Reset)?
            {
                half::Read::Bytes(bytes) => return Ok(Some(bytes)),
                half::Read::End => return Ok(None),
                half::Read::Nothing => {
                    shared.check()?;
                    bells.reader.notified().await;
                }
            }
        }
    }

    /// Tells the peer that everything that was read, up to the end, is where it belongs.
    pub fn take(&self) {
        let Handle { shared, id, .. } = &*self.0;
        shared.with(*id, |mux| mux.take(*id));
    }
}

impl Writer {
    /// Sends `bytes`; waits while the peer takes no more. Cancelled, it may have sent some of them.
    ///
    /// # Errors
    /// The stream or the tunnel has ended.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), StreamError> {
        let Handle { shared, id, bells } = &*self.0;
        while !bytes.is_empty() {
            let written = shared.with(*id, |mux| mux.write(*id, bytes));
            let written = written.map_err(StreamError::Reset)?;
            shared.check()?;
            match written {
                0 => bells.writer.notified().await,
                written => bytes = &bytes[written..],
            }
        }
        Ok(())
    }

    /// Ends the direction: there is nothing more.
    pub fn end(&mut self) {
        let Handle { shared, id, .. } = &*self.0;
        shared.with(*id, |mux| mux.end(*id));
    }

    /// Waits until the peer has taken everything up to the end.
    ///
    /// # Errors
    /// The stream or the tunnel has ended before.
    pub async fn taken(&mut self) -> Result<(), StreamError> {
        self.until(|mux, id| mux.is_taken(id)).await
    }

    /// Waits until the stream ends early.
    pub async fn broken(&mut self) -> StreamError {
        let never = self.until(|mux, id| mux.is_taken(id).map(|_| false));
        match never.await {
            Err(error) => error,
            Ok(()) => std::future::pending().await,
        }
    }

    /// Ends both directions and tells the peer why.
    pub fn reset(&self, reset: Reset) {
        self.0.reset(reset);
    }

    async fn until(
        &mut self,
        is: impl Fn(&mut super::mux::Mux, u32) -> Result<bool, Reset>,
    ) -> Result<(), StreamError> {
        let Handle { shared, id, bells } = &*self.0;
        while !shared
            .with(*id, |mux| is(mux, *id))
            .map_err(StreamError::Reset)?
        {
            shared.check()?;
            bells.writer.notified().await;
        }
        Ok(())
    }
}
