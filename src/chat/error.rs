//! Why somebody's line of a room ended.

/// A line of a room has ended, or cannot begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChatError {
    /// The channel closed; the session says why.
    #[error("the connection closed")]
    Closed,
    /// The other side broke the protocol.
    #[error("the other side broke the protocol: {0}")]
    Protocol(&'static str),
    /// The other side is there, and does not begin.
    #[error("the other side is connected but does not take part")]
    Silent,
    /// There are as many as can be.
    #[error("the room is full")]
    Full,
    /// It took nothing for so long that the others had to wait, or it has come back on another line.
    #[error("the other side took nothing for too long, or has come back on another connection")]
    GivenUp,
    /// A message is longer than [`MAX_TEXT`](super::MAX_TEXT).
    #[error("the message is too long")]
    TooLong,
}
