//! One request that was refused, whatever the transport.

use signaling_protocol::{ErrorCode, ParseError, ServerMessage};
use std::borrow::Cow;

/// Why something was refused, for programs and for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    pub(crate) message: Cow<'static, str>,
}

impl Refusal {
    pub(crate) fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// To whoever wants in while the server goes away.
    pub(crate) fn draining() -> Self {
        let message = "the server is going away; connect again in a moment";
        Self::new(ErrorCode::Draining, message)
    }

    pub(crate) fn to_message(&self) -> ServerMessage {
        ServerMessage::error(self.code, self.message.as_ref())
    }
}

impl From<ParseError> for Refusal {
    fn from(error: ParseError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}
