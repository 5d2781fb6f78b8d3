//! Frames, SOCKS and addresses, for `fuzz/`.

use super::frame::{Body, Frame, Reset, ResetCode, Word};
use super::lane::{Coming, Leaving};
use super::message::frames;
use super::mux::{Mux, Side};
use super::service::Listed;
use super::socks::{Reply, answer, request};
use super::{Address, ServiceName};
use crate::channel::MAX_MESSAGE;
use crate::fuzzing::pieces;
use bytes::Bytes;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::{future::Future, io};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a peer sends on a tunnel, and what is done with it here. Each step is a byte that says what, and one
/// that says how many follow or which stream is meant.
pub fn tunnel_frames(data: &[u8]) {
    crate::channel::fuzzing::frame(data);
    let Some((side, mut rest)) = data.split_first() else {
        return;
    };
    let mut mux = Mux::new(match side & 1 {
        0 => Side::Opener,
        _ => Side::Acceptor,
    });
    let (mut leaving, mut coming) = (Leaving::new(), Coming::new());
    while let [what, number, after @ ..] = rest {
        let id = u32::from(*number);
        rest = after;
        match what % 16 {
            0 => drop(mux.open("web".to_owned())),
            1 => {
                while let Some((id, _)) = mux.arrival() {
                    mux.accept(id);
                }
            }
            2 => drop(mux.write(id, &[*what; 300])),
            3 => mux.end(id),
            4 => drop(mux.read(id)),
            5 => mux.take(id),
            6 => mux.reset(id, Reset::new(ResetCode::Failed, "fuzzing")),
            7 => mux.release(id),
            8 => {
                while let Some(message) = next(&mut mux, &mut leaving, &mut coming) {
                    assert!(message.len() <= MAX_MESSAGE);
                    assert!(Frame::read(message).is_some(), "our own frame");
                }
            }
            9 => drop(coming.arrived(id)),
            10 => {
                // Enough that a lane is worth while.
                let data = Body::Data(Bytes::from_static(&[0; 60_000]));
                let long = Frame::new(id, data).write();
                for _ in 0..70 {
                    leaving.leaves(&long);
                }
                leaving.wanted();
                leaving.opened();
            }
            11 => drop(leaving.lost()),
            _ => {
                let (message, after) = rest.split_at(rest.len().min(usize::from(*number)));
                rest = after;
                let mut message = Bytes::copy_from_slice(message);
                if coming.lane().is_some() && what % 2 == 0 {
                    coming.on_lane(&message);
                } else {
                    message = match coming.on_channel(message) {
                        Ok(Some(message)) => message,
                        Ok(None) => continue,
                        Err(_) => return,
                    };
                }
                for frame in frames(message) {
                    let Some(frame) = frame else {
                        return;
                    };
                    assert_eq!(Frame::read(frame.write()).as_ref(), Some(&frame));
                    if let Body::Open(target) = &frame.body {
                        assert!(target.len() <= super::MAX_TARGET);
                    }
                    if let Body::Lane(word) = frame.body {
                        let heard = match word {
                            Word::Awaited => leaving.awaited(frame.stream),
                            Word::Moving => coming.moving(frame.stream),
                            Word::Got(count) => leaving.got(frame.stream, count),
                            Word::Back(_) => return,
                        };
                        match heard {
                            Ok(()) => continue,
                            Err(_) => return,
                        }
                    }
                    if mux.handle(frame).is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// The next frame to send, whether or not there is room for it.
fn next(mux: &mut Mux, leaving: &mut Leaving, coming: &mut Coming) -> Option<Bytes> {
    if let Some(message) = leaving.before() {
        return Some(message);
    }
    let message = coming.word().or_else(|| Some(mux.transmit()?.1))?;
    leaving.leaves(&message);
    Some(message)
}

/// What a SOCKS client says, at once and in pieces.
pub fn tunnel_socks(data: &[u8]) {
    let whole = asked(&mut Client::new(std::iter::once(data)));
    let in_pieces = asked(&mut Client::new(pieces(data)));
    assert_eq!(in_pieces, whole);
}

/// What it asks for, and what it was answered.
fn asked<'a>(
    client: &mut Client<'a, impl Iterator<Item = &'a [u8]> + Unpin>,
) -> (Option<String>, Vec<u8>) {
    let words = now(request(client)).ok().map(|request| {
        let listed: Vec<Listed> =
            serde_json::from_str(r#"[{"name":"web","kind":"tcp"}]"#).expect("a list of services");
        let _ = request.service(&listed);
        request.words()
    });
    if words.is_some() {
        now(answer(client, Reply::Connected)).expect("there is room");
    }
    (words, std::mem::take(&mut client.answered))
}

/// A socket that brings these pieces, and is then closed.
struct Client<'a, I> {
    pieces: I,
    piece: &'a [u8],
    answered: Vec<u8>,
}

impl<'a, I: Iterator<Item = &'a [u8]>> Client<'a, I> {
    fn new(pieces: I) -> Self {
        Self {
            pieces,
            piece: &[],
            answered: Vec::new(),
        }
    }
}

impl<'a, I: Iterator<Item = &'a [u8]> + Unpin> AsyncRead for Client<'a, I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.piece.is_empty() {
            self.piece = self.pieces.next().unwrap_or_default();
        }
        let (now, later) = self
            .piece
            .split_at(self.piece.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.piece = later;
        Poll::Ready(Ok(()))
    }
}

impl<I: Unpin> AsyncWrite for Client<'_, I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.answered.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What never waits.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits for nothing"),
    }
}

/// What stands for a service or a place.
pub(crate) fn address(text: &str) {
    if let Ok(address) = text.parse::<Address>() {
        assert_eq!(address.to_string().parse(), Ok(address), "{text}");
    }
    if let Ok(name) = text.parse::<ServiceName>() {
        assert_eq!(name.as_str(), text);
        assert!(Frame::new(1, Body::Open(text.to_owned())).write().len() <= 5 + 64);
    }
}
