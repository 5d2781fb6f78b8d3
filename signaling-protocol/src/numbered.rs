//! Messages with a number, so that a connection that broke can go on where it stopped.

use crate::{ClientMessage, ParseError, ServerMessage, parse};

/// A message and its number. Both directions of a resumable membership count from 1; what is about the
/// connection itself (`join`, `joined`, `resumed`, `ack`, `ping`, `pong`, `draining`, `leave` and errors
/// that end it) has no number.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbered<M> {
    /// The number, if there is one.
    pub seq: Option<u64>,
    /// The message.
    pub message: M,
}

impl Numbered<ClientMessage> {
    /// Reads one text frame of a client. The caller has already limited its size.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let message = ClientMessage::parse(text)?;
        let seq = match message {
            // Its `seq` is a field of its own.
            ClientMessage::Ack { .. } => None,
            _ => parse::sequence(text)?,
        };
        Ok(Self { seq, message })
    }
}

impl Numbered<ServerMessage> {
    /// Reads one text frame of a server.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let message = ServerMessage::parse(text)?;
        let seq = match message {
            ServerMessage::Ack { .. } => None,
            _ => parse::sequence(text)?,
        };
        Ok(Self { seq, message })
    }
}

/// The number of a text that may be a message of another version: it counts even if nobody understands it.
pub fn seq_of(text: &str) -> Option<u64> {
    parse::sequence(text).ok().flatten()
}

/// The text of a message with a number put in front. `json` is a JSON object with at least one field and
/// without `seq`, as `to_json` makes it.
pub fn with_seq(json: &str, seq: u64) -> String {
    let rest = json.strip_prefix('{').unwrap_or(json);
    format!("{{\"seq\":{seq},{rest}")
}
