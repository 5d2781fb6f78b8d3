//! The two directions of one stream: what may be sent, and what was received. Pure.

use super::frame::{Body, FULL_DATA};
use bytes::{Bytes, BytesMut};

/// What each side may send on a new stream before it is granted more.
pub(super) const FIRST_WINDOW: u64 = 64 << 10;

/// What waits of a stream to be sent; with more, its writer waits. One message: the channel holds more of
/// them, and a thousand streams have a thousand of these.
pub(super) const SEND_BUFFER: usize = FULL_DATA;

/// Most that one read hands out.
const READ: usize = 256 << 10;

/// The peer broke the protocol, in words.
pub(super) type Violation = &'static str;

/// The direction away from here.
#[derive(Debug)]
pub(super) struct Outgoing {
    unsent: BytesMut,
    sent: u64,
    limit: u64,
    end: Sent,
    /// Something was pushed for which there was no room.
    crowded: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// There may be more.
    Open,
    /// There is no more, which the peer has not been told.
    Ending,
    /// The peer was told.
    Ended,
    /// The peer has taken everything.
    Taken,
}

impl Outgoing {
    pub(super) fn new() -> Self {
        Self {
            unsent: BytesMut::new(),
            sent: 0,
            limit: FIRST_WINDOW,
            end: Sent::Open,
            crowded: false,
        }
    }

    /// Takes as much of `bytes` as there is room for; `None` if the end was announced.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.end != Sent::Open {
            return None;
        }
        let room = SEND_BUFFER - self.unsent.len();
        let taken = bytes.len().min(room);
        self.crowded = taken < bytes.len();
        self.unsent.extend_from_slice(&bytes[..taken]);
        Some(taken)
    }

    /// Whether there is room now for what there was none; said once.
    pub(super) fn made_room(&mut self) -> bool {
        self.unsent.len() < SEND_BUFFER && std::mem::replace(&mut self.crowded, false)
    }

    /// There is no more.
    pub(super) fn end(&mut self) {
        if self.end == Sent::Open {
            self.end = Sent::Ending;
        }
    }

    pub(super) fn granted(&mut self, limit: u64) {
        self.limit = self.limit.max(limit);
    }

    pub(super) fn taken(&mut self) -> Result<(), Violation> {
        if self.end != Sent::Ended {
            return Err("it took a stream before its end");
        }
        self.end = Sent::Taken;
        Ok(())
    }

    /// Whether the end was announced here, whether or not the peer knows.
    pub(super) fn is_ending(&self) -> bool {
        self.end != Sent::Open
    }

    pub(super) fn is_taken(&self) -> bool {
        self.end == Sent::Taken
    }

    /// Whether [`next`](Self::next) has something.
    pub(super) fn is_due(&self) -> bool {
        if self.unsent.is_empty() {
            self.end == Sent::Ending
        } else {
            self.sent < self.limit
        }
    }

    /// What to send next.
    pub(super) fn next(&mut self) -> Option<Body> {
        if !self.is_due() {
            return None;
        }
        if self.unsent.is_empty() {
            self.end = Sent::Ended;
            return Some(Body::End(self.sent));
        }
        let credit = usize::try_from(self.limit - self.sent).unwrap_or(usize::MAX);
        let length = self.unsent.len().min(credit).min(FULL_DATA);
        self.sent += length as u64;
        Some(Body::Data(self.unsent.split_to(length).freeze()))
    }
}

/// The direction towards here.
#[derive(Debug)]
pub(super) struct Incoming {
    unread: BytesMut,
    received: u64,
    limit: u64,
    /// A grant that the peer has not been told of.
    grant_due: bool,
    end: Received,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Received {
    /// There may be more.
    Open,
    /// There is no more than what is unread.
    Ended,
    /// All of it went where it belongs, which the peer has not been told.
    Taking,
    /// The peer was told.
    Taken,
}

/// What a reader gets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    Bytes(Bytes),
    End,
    /// Nothing yet.
    Nothing,
}

impl Incoming {
    pub(super) fn new() -> Self {
        Self {
            unread: BytesMut::new(),
            received: 0,
            limit: FIRST_WINDOW,
            grant_due: false,
            end: Received::Open,
        }
    }

    /// Small frames are joined, so that memory is what was granted and no more.
    pub(super) fn data(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        if self.end != Received::Open {
            return Err("it sent after the end of a stream");
        }
        self.received += bytes.len() as u64;
        if self.received > self.limit {
            return Err("it sent more on a stream than it may");
        }
        self.unread.extend_from_slice(bytes);
        Ok(())
    }

    pub(super) fn ended(&mut self, total: u64) -> Result<(), Violation> {
        if self.end != Received::Open {
            return Err("it ended a stream twice");
        }
        if total != self.received {
            return Err("it ended a stream with a wrong count");
        }
        self.end = Received::Ended;
        Ok(())
    }

    /// What came. The peer may then send up to `window` bytes that are not read.
    pub(super) fn read(&mut self, window: u64) -> Read {
        if self.unread.is_empty() {
            return match self.end {
                Received::Open => Read::Nothing,
                _ => Read::End,
            };
        }
        let length = self.unread.len().min(READ);
        let bytes = self.unread.split_to(length).freeze();
        let limit = self.received - self.unread.len() as u64 + window;
        // Half a window at a time, so that small reads cost no frame each.
        if self.end == Received::Open && limit >= self.limit + window / 2 {
            self.limit = limit;
            self.grant_due = true;
        }
        Read::Bytes(bytes)
    }

    /// What was read went where it belongs. Only at the end this means anything.
    pub(super) fn take(&mut self) {
        if self.end == Received::Ended && self.unread.is_empty() {
            self.end = Received::Taking;
        }
    }

    /// Whether everything was taken, whether or not the peer knows.
    pub(super) fn is_taking(&self) -> bool {
        matches!(self.end, Received::Taking | Received::Taken)
    }

    /// Whether everything was taken and the peer was told.
    pub(super) fn is_taken(&self) -> bool {
        self.end == Received::Taken
    }

    /// Whether [`next`](Self::next) has something.
    pub(super) fn is_due(&self) -> bool {
        self.end == Received::Taking || self.grant_due && self.end == Received::Open
    }

    /// What to tell the peer.
    pub(super) fn next(&mut self) -> Option<Body> {
        if self.end == Received::Taking {
            self.end = Received::Taken;
            return Some(Body::Taken);
        }
        if !self.is_due() {
            return None;
        }
        self.grant_due = false;
        Some(Body::Grant(self.limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_sent_beyond_what_was_granted() {
        let mut out = Outgoing::new();
        let mut sent = 0;
        let chunk = [7; 50_000];
        while out.push(&chunk).unwrap() > 0 {
            while let Some(Body::Data(bytes)) = out.next() {
                sent += bytes.len() as u64;
            }
        }
        assert_eq!(sent, FIRST_WINDOW);
        assert!(!out.is_due());
        out.granted(FIRST_WINDOW + 10);
        out.granted(5);
        assert_eq!(out.next(), Some(Body::Data(Bytes::from_static(&[7; 10]))));
        assert_eq!(out.next(), None);
    }

    #[test]
    fn the_end_comes_after_everything_and_is_taken_once() {
        let mut out = Outgoing::new();
        assert_eq!(out.push(b"last"), Some(4));
        out.end();
        assert_eq!(out.push(b"more"), None);
        assert!(out.taken().is_err());
        assert_eq!(out.next(), Some(Body::Data(Bytes::from_static(b"last"))));
        assert_eq!(out.next(), Some(Body::End(4)));
        assert_eq!(out.next(), None);
        assert_eq!(out.taken(), Ok(()));
        assert!(out.taken().is_err());
    }

    #[test]
    fn a_window_is_granted_anew_when_half_of_it_was_read() {
        let mut incoming = Incoming::new();
        incoming.data(&[1; 30_000]).unwrap();
        assert!(matches!(incoming.read(FIRST_WINDOW), Read::Bytes(_)));
        assert!(!incoming.is_due());
        incoming.data(&[1; 30_000]).unwrap();
        assert!(matches!(incoming.read(FIRST_WINDOW), Read::Bytes(_)));
        assert_eq!(incoming.next(), Some(Body::Grant(60_000 + FIRST_WINDOW)));
        assert_eq!(incoming.next(), None);
        let rest = vec![1; usize::try_from(FIRST_WINDOW).unwrap()];
        incoming.data(&rest).unwrap();
        assert!(incoming.data(&[1]).is_err());
    }

    #[test]
    fn the_end_is_read_last_and_taken_when_it_is_said() {
        let mut incoming = Incoming::new();
        incoming.data(b"ab").unwrap();
        assert!(incoming.ended(3).is_err());
        incoming.ended(2).unwrap();
        assert!(incoming.ended(2).is_err());
        assert!(incoming.data(b"c").is_err());
        incoming.take();
        assert!(!incoming.is_due(), "two bytes were not read");
        assert_eq!(
            incoming.read(FIRST_WINDOW),
            Read::Bytes(Bytes::from_static(b"ab"))
        );
        assert_eq!(incoming.read(FIRST_WINDOW), Read::End);
        assert!(!incoming.is_due());
        incoming.take();
        assert_eq!(incoming.next(), Some(Body::Taken));
        assert!(incoming.is_taken() && !incoming.is_due());
    }
}
