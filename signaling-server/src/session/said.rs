//! One message of a member, read as far as it has to be.

use signaling_protocol::{ClientMessage, Numbered, OpaqueMessage, ParseError};

/// What a member says.
pub(super) enum Said<'a> {
    /// For others, and of no interest here.
    Opaque(OpaqueMessage<'a>),
    /// Anything else.
    Read(ClientMessage),
}

impl<'a> Said<'a> {
    /// Of somebody who numbers nothing.
    pub(super) fn parse(text: &'a str) -> Result<Self, ParseError> {
        match OpaqueMessage::parse(text) {
            Some(message) => Ok(Self::Opaque(message)),
            None => ClientMessage::parse(text).map(Self::Read),
        }
    }

    /// Of somebody who may come back, with its number.
    pub(super) fn parse_numbered(text: &'a str) -> Result<(Option<u64>, Self), ParseError> {
        match OpaqueMessage::parse(text) {
            Some(message) => Ok((message.seq, Self::Opaque(message))),
            None => Numbered::<ClientMessage>::parse(text)
                .map(|Numbered { seq, message }| (seq, Self::Read(message))),
        }
    }

    pub(super) fn is_numbered(&self) -> bool {
        match self {
            Self::Opaque(_) => true,
            Self::Read(message) => message.is_numbered(),
        }
    }
}
