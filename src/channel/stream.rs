//! A byte stream with backpressure and half-close over a channel.

use super::frame::{Frame, MAX_DATA};
use super::{Channel, ChannelReceiver, Message};
use bytes::{Buf, Bytes};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::PollSender;

/// The `protocol` of data channels that carry a stream.
pub const PROTOCOL: &str = "peerline-stream/1";

/// An ordered, reliable byte stream in both directions.
///
/// `shutdown` ends the writing direction and tells the peer how many bytes it must have received; the
/// other direction goes on. Reading yields end of file only if the peer has ended its direction with
/// the right count: a line that broke is [`io::ErrorKind::ConnectionReset`], never a silent
/// truncation. Dropping a stream that was not shut down resets it.
#[derive(Debug)]
pub struct Stream {
    sender: PollSender<Message>,
    receiver: ChannelReceiver,
    reading: Reading,
    writing: Writing,
}

#[derive(Debug)]
enum Reading {
    Open { unread: Bytes, received: u64 },
    Ended,
    Failed(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    Open { sent: u64 },
    Ended,
}

impl Stream {
    /// Speaks the stream protocol over `channel`; the peer must do the same.
    pub fn new(channel: Channel) -> Self {
        let (sender, receiver) = channel.split();
        Self {
            sender: PollSender::new(sender.queue),
            receiver,
            reading: Reading::Open {
                unread: Bytes::new(),
                received: 0,
            },
            writing: Writing::Open { sent: 0 },
        }
    }

    /// Ends both directions and tells the peer why.
    pub async fn reset(mut self, reason: &str) {
        if let Some(queue) = self.sender.get_ref().cloned() {
            let _ = queue.send(Message::Binary(Frame::reset(reason))).await;
        }
        self.writing = Writing::Ended;
    }

    /// Takes the next message; `Ready` when there is something new to tell the reader.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let message = ready!(self.receiver.queue.poll_recv(cx));
        let Reading::Open { unread, received } = &mut self.reading else {
            return Poll::Ready(());
        };
        let frame = match message {
            Some(Message::Binary(bytes)) => Frame::parse(&bytes),
            Some(Message::Text(_)) => None,
            None => {
                self.reading =
                    Reading::Failed("the line broke before the end of the stream".into());
                return Poll::Ready(());
            }
        };
        self.reading = match frame {
            Some(Frame::Data(bytes)) => {
                *received += bytes.len() as u64;
                *unread = bytes;
                return Poll::Ready(());
            }
            Some(Frame::End(total)) if total == *received => Reading::Ended,
            Some(Frame::End(total)) => Reading::Failed(format!(
                "the peer sent {total} bytes but {received} arrived"
            )),
            Some(Frame::Reset(reason)) => {
                Reading::Failed(format!("the peer reset the stream: {reason}"))
            }
            None => Reading::Failed("the peer sent something that is not a stream frame".into()),
        };
        Poll::Ready(())
    }

    fn send_frame(&mut self, frame: Bytes) -> io::Result<()> {
        self.sender
            .send_item(Message::Binary(frame))
            .map_err(|_| broken())
    }
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the line is closed")
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match &mut self.reading {
                Reading::Open { unread, .. } if !unread.is_empty() => {
                    let len = unread.len().min(buf.remaining());
                    buf.put_slice(&unread[..len]);
                    unread.advance(len);
                    return Poll::Ready(Ok(()));
                }
                Reading::Open { .. } => ready!(self.poll_frame(cx)),
                Reading::Ended => return Poll::Ready(Ok(())),
                Reading::Failed(reason) => {
                    let error = io::Error::new(io::ErrorKind::ConnectionReset, reason.clone());
                    return Poll::Ready(Err(error));
                }
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Writing::Open { sent } = self.writing else {
            return Poll::Ready(Err(broken()));
        };
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(self.sender.poll_reserve(cx)).map_err(|_| broken())?;
        let data = &buf[..buf.len().min(MAX_DATA)];
        self.send_frame(Frame::data(data))?;
        self.writing = Writing::Open {
            sent: sent + data.len() as u64,
        };
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Whatever was written is in the channel's queue, which the engine drains by itself.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Writing::Open { sent } = self.writing else {
            return Poll::Ready(Ok(()));
        };
        ready!(self.sender.poll_reserve(cx)).map_err(|_| broken())?;
        self.send_frame(Frame::end(sent))?;
        self.writing = Writing::Ended;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.writing == Writing::Ended {
            return;
        }
        if let Some(queue) = self.sender.get_ref() {
            // overflow: dropped; the peer then sees the channel close, which is an error to it too.
            let _ = queue.try_send(Message::Binary(Frame::reset("dropped")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn pair() -> (Stream, Stream) {
        let (left, right) = Channel::pair("stream");
        (Stream::new(left), Stream::new(right))
    }

    #[tokio::test]
    async fn bytes_cross_and_each_direction_ends_on_its_own() {
        let (mut left, mut right) = pair();
        let sent: Vec<u8> = (0..3_000_000u32).map(|n| n as u8).collect();
        let expected = sent.clone();
        let writer = async {
            left.write_all(&sent).await.unwrap();
            left.shutdown().await.unwrap();
            let mut answer = String::new();
            left.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let reader = async {
            let mut received = Vec::new();
            right.read_to_end(&mut received).await.unwrap();
            right.write_all(b"after your end").await.unwrap();
            right.shutdown().await.unwrap();
            received
        };
        let (answer, received) = tokio::join!(writer, reader);
        assert!(received == expected);
        assert_eq!(answer, "after your end");
    }

    #[tokio::test]
    async fn a_writer_waits_for_a_slow_reader() {
        let (mut left, right) = pair();
        let chunk = vec![7; MAX_DATA];
        let mut written = 0;
        while let Ok(result) =
            tokio::time::timeout(std::time::Duration::from_millis(50), left.write_all(&chunk)).await
        {
            result.unwrap();
            written += 1;
            assert!(written < 1000, "the queue must be bounded");
        }
        drop(right);
        assert_eq!(
            left.write_all(&chunk).await.unwrap_err().kind(),
            io::ErrorKind::BrokenPipe
        );
    }

    #[tokio::test]
    async fn an_unfinished_stream_never_looks_complete() {
        enum Act {
            DropStream,
            DropChannel,
            WrongCount,
            Reset,
            Text,
        }
        for act in [
            Act::DropStream,
            Act::DropChannel,
            Act::WrongCount,
            Act::Reset,
            Act::Text,
        ] {
            let (left, right) = Channel::pair("stream");
            let mut right = Stream::new(right);
            left.send(Frame::data(b"half")).await.unwrap();
            match act {
                Act::DropStream => drop(Stream::new(left)),
                Act::DropChannel => drop(left),
                Act::WrongCount => left.send(Frame::end(5)).await.unwrap(),
                Act::Reset => Stream::new(left).reset("disk full").await,
                Act::Text => left.send_text("hello".into()).await.unwrap(),
            }
            let mut received = Vec::new();
            let error = right.read_to_end(&mut received).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            assert_eq!(received, b"half");
        }
    }
}
