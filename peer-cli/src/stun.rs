//! Questions and answers of STUN (RFC 8489), without sockets. Pure.

use std::net::SocketAddr;

use stun_types::attribute::XorMappedAddress;
#[cfg(any(target_os = "linux", test))]
use stun_types::attribute::{AttributeType, RawAttribute};
#[cfg(any(target_os = "linux", test))]
use stun_types::message::MessageClass;
use stun_types::message::{BINDING, Message, MessageWriteVec, TransactionId};
#[cfg(any(target_os = "linux", test))]
use stun_types::prelude::MessageWrite as _;
use stun_types::prelude::MessageWriteExt as _;

/// Answer from the other port, or from the other address as well (RFC 5780 section 7.2).
#[cfg(any(target_os = "linux", test))]
const CHANGE_REQUEST: AttributeType = AttributeType::new(0x0003);

/// A question for the address that the server sees.
pub(crate) fn question() -> (TransactionId, Vec<u8>) {
    let request = Message::builder_request(BINDING, MessageWriteVec::new());
    (request.transaction_id(), request.finish())
}

/// The same, with another way back.
#[cfg(any(target_os = "linux", test))]
pub(crate) fn question_with(change: [u8; 4]) -> (TransactionId, Vec<u8>) {
    let mut request = Message::builder_request(BINDING, MessageWriteVec::new());
    let change = RawAttribute::new(CHANGE_REQUEST, &change);
    request
        .add_attribute(&change)
        .expect("a new request has room for four bytes");
    (request.transaction_id(), request.finish())
}

/// What an answer tells, and to which question.
pub(crate) fn mapped(answer: &[u8]) -> Option<(TransactionId, SocketAddr)> {
    let message = Message::from_bytes(answer).ok()?;
    let id = message.transaction_id();
    let mapped = message.attribute::<XorMappedAddress>().ok()?;
    Some((id, mapped.addr(id)))
}

/// The socket that is to answer what `from` asked the one of this index, and what it says. Sockets of the same
/// address are beside each other.
#[cfg(any(target_os = "linux", test))]
pub(crate) fn response(request: &[u8], from: SocketAddr, index: usize) -> Option<(usize, Vec<u8>)> {
    let asked = Message::from_bytes(request).ok()?;
    if !asked.has_class(MessageClass::Request) || !asked.has_method(BINDING) {
        return None;
    }
    let change = asked.raw_attribute(CHANGE_REQUEST);
    let flags = change.and_then(|change| change.value.last().copied());
    let flags = flags.unwrap_or_default();
    let (port, address) = (usize::from(flags & 2 != 0), usize::from(flags & 4 != 0));
    let mut answer = Message::builder_success(&asked, MessageWriteVec::new());
    let mapped = XorMappedAddress::new(from, asked.transaction_id());
    answer.add_attribute(&mapped).ok()?;
    Some((index ^ port ^ (address << 1), answer.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_where_a_question_came_from() {
        let from: SocketAddr = "192.0.2.1:9".parse().unwrap();
        for (change, by) in [([0, 0, 0, 0], 1), ([0, 0, 0, 2], 0), ([0, 0, 0, 6], 2)] {
            let (id, question) = question_with(change);
            let (socket, answer) = response(&question, from, 1).unwrap();
            assert_eq!(socket, by);
            assert_eq!(mapped(&answer), Some((id, from)));
            assert_eq!(response(&answer, from, 1), None);
        }
        assert_eq!(mapped(&question().1), None);
    }

    #[test]
    fn noise_is_no_answer() {
        for bytes in [
            &b""[..],
            b"\x00",
            &[0xff; 2000],
            &[0; 20],
            b"\x01\x01\x00\x00\x21\x12\xa4\x42aaaaaaaaaaaa",
        ] {
            assert_eq!(mapped(bytes), None);
            assert_eq!(response(bytes, "192.0.2.1:9".parse().unwrap(), 0), None);
        }
    }
}
