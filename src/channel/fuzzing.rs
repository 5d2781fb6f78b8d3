//! Frames of one stream, for `fuzz/`.

use super::frame::Frame;
use bytes::Bytes;

pub(crate) fn frame(data: &[u8]) {
    let message = Bytes::copy_from_slice(data);
    let again = match Frame::parse(&message) {
        None => return,
        Some(Frame::Data(bytes)) => Frame::data(&bytes),
        Some(Frame::End(total)) => Frame::end(total),
        Some(Frame::Reset(reason)) => Frame::reset(&reason),
    };
    assert_eq!(again, message);
}
