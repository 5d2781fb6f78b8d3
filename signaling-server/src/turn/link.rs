//! The way between a client and its task: a socket that all clients share, or a stream of its own.

use super::{
    frames::{self, MAX_FRAME},
    queue::Receiver,
};
use bytes::{Buf, Bytes, BytesMut};
use std::{io, net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf},
    net::UdpSocket,
};

/// Bytes that wait for a client's stream; what comes while there are more is dropped, as a full socket
/// buffer does. Twice what a second of a call takes.
const MAX_UNSENT: usize = 1 << 20;

/// Bytes read from a stream at once.
const READ: usize = 64 * 1024;

/// How frames come from a client and go to it.
pub(super) enum Link {
    Datagrams {
        from_client: Receiver<Bytes>,
        socket: Arc<UdpSocket>,
        client: SocketAddr,
    },
    Stream(Box<Stream>),
}

/// Whether a client is listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Take {
    Frames,
    /// It has sent more than it may for the moment.
    Nothing,
}

/// TCP or TLS.
pub(super) struct Stream {
    read: ReadHalf<Box<dyn Duplex>>,
    write: WriteHalf<Box<dyn Duplex>>,
    received: BytesMut,
    unsent: BytesMut,
    /// TLS keeps a record back until it is asked for it.
    held_back: bool,
}

/// Something to read from and to write to.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

impl Link {
    pub(super) fn stream(stream: Box<dyn Duplex>) -> Self {
        let (read, write) = tokio::io::split(stream);
        Self::Stream(Box::new(Stream {
            read,
            write,
            received: BytesMut::new(),
            unsent: BytesMut::new(),
            held_back: false,
        }))
    }

    /// Waits until there are frames, if it may `take` any, or until what waits for the stream has moved.
    /// Cancelled, it has lost nothing.
    ///
    /// # Errors
    /// The client is gone, or sent what is no TURN.
    pub(super) async fn ready(&mut self, frames: &mut Vec<Bytes>, take: Take) -> io::Result<()> {
        match self {
            Self::Datagrams { .. } if take == Take::Nothing => std::future::pending().await,
            Self::Datagrams { from_client, .. } => {
                let received = from_client.receive(frames, 64).await;
                received.then_some(()).ok_or_else(gone)
            }
            Self::Stream(stream) => stream.ready(frames, take).await,
        }
    }

    /// Whether the client takes in what it is sent; if not, its relayed sockets can wait.
    pub(super) fn has_room(&self) -> bool {
        match self {
            Self::Datagrams { .. } => true,
            Self::Stream(stream) => stream.unsent.len() < MAX_UNSENT,
        }
    }

    /// Sends a frame, or drops it.
    pub(super) fn send(&mut self, frame: &[u8]) {
        match self {
            // overflow: a full socket buffer drops it.
            Self::Datagrams { socket, client, .. } => drop(socket.try_send_to(frame, *client)),
            // overflow: dropped, see MAX_UNSENT.
            Self::Stream(stream) => {
                if stream.unsent.len() < MAX_UNSENT {
                    stream.unsent.extend_from_slice(frame);
                    stream.unsent.extend_from_slice(frames::padding(frame));
                }
            }
        }
    }
}

impl Stream {
    async fn ready(&mut self, frames: &mut Vec<Bytes>, take: Take) -> io::Result<()> {
        self.received.reserve(READ);
        tokio::select! {
            read = self.read.read_buf(&mut self.received), if take == Take::Frames => {
                if read? == 0 {
                    return Err(gone());
                }
                self.cut(frames)
            }
            written = write(&mut self.write, &self.unsent),
                if self.held_back || !self.unsent.is_empty() =>
            {
                let written = written?;
                self.unsent.advance(written);
                self.held_back = written > 0;
                Ok(())
            }
            else => std::future::pending().await,
        }
    }

    fn cut(&mut self, frames: &mut Vec<Bytes>) -> io::Result<()> {
        while let Some((length, padded)) = frames::first(&self.received)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?
        {
            let mut frame = self.received.split_to(padded).freeze();
            frame.truncate(length);
            frames.push(frame);
        }
        debug_assert!(self.received.len() < MAX_FRAME + 4, "longer ones were cut");
        Ok(())
    }
}

/// Writes some of it, or, if there is nothing, sees that all that was written leaves. Cancelled, it has
/// done nothing that is not done again.
async fn write(stream: &mut WriteHalf<Box<dyn Duplex>>, unsent: &[u8]) -> io::Result<usize> {
    if unsent.is_empty() {
        return stream.flush().await.map(|()| 0);
    }
    stream.write(unsent).await
}

fn gone() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}
