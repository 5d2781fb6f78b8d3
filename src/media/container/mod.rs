//! Files of encoded media that are read without help: IVF, Ogg with Opus, and H.264 byte streams; and
//! Matroska, which is written.
//!
//! Readers block, hold one frame, and refuse what makes no sense with an error that says what it is.

mod annex_b;
pub(crate) mod ebml;
mod ivf;
pub mod matroska;
mod ogg;

use super::codec::Codec;
use super::frame::Frame;
use std::io::{self, Read};

/// Largest frame that is read. Key frames of 4K at high rates stay below 2 MiB.
const MAX_FRAME: usize = 8 << 20;

/// Bytes that are enough to tell what a stream is.
const MAGIC: usize = 4;

/// A stream of frames.
pub(crate) enum Reader {
    Ivf(ivf::Ivf<Input>),
    Ogg(ogg::Ogg<Input>),
    AnnexB(annex_b::AnnexB<Input>),
}

/// Where the bytes come from.
pub(crate) type Input = Box<dyn Read + Send>;

/// What the first bytes of a stream say.
pub(crate) enum Opened {
    /// Something that is read here.
    Known(Reader),
    /// Something else; all of it.
    Other(Input),
}

/// Looks at the first bytes of `input`.
///
/// # Errors
/// It cannot be read, or is a known container with an unknown codec.
pub(crate) fn open(mut input: Input) -> io::Result<Opened> {
    let mut magic = Vec::with_capacity(MAGIC);
    input.by_ref().take(MAGIC as u64).read_to_end(&mut magic)?;
    let kind: [u8; MAGIC] = match magic.as_slice().try_into() {
        Ok(kind) => kind,
        Err(_) => return Err(invalid("it ends after less than four bytes")),
    };
    let whole: Input = Box::new(io::Cursor::new(magic).chain(input));
    Ok(Opened::Known(match &kind {
        b"DKIF" => Reader::Ivf(ivf::Ivf::open(whole)?),
        b"OggS" => Reader::Ogg(ogg::Ogg::open(whole)?),
        [0, 0, 0, 1] | [0, 0, 1, _] => Reader::AnnexB(annex_b::AnnexB::new(whole)),
        _ => return Ok(Opened::Other(whole)),
    }))
}

impl Reader {
    /// How the frames are encoded.
    pub(crate) fn codec(&self) -> Codec {
        match self {
            Self::Ivf(ivf) => ivf.codec(),
            Self::Ogg(_) => Codec::Opus,
            Self::AnnexB(_) => Codec::H264,
        }
    }

    /// The next frame; `None` at the end. A stream that ends in the middle of a frame has ended before it.
    pub(crate) fn next(&mut self) -> io::Result<Option<Frame>> {
        match self {
            Self::Ivf(ivf) => ivf.next(),
            Self::Ogg(ogg) => ogg.next(),
            Self::AnnexB(stream) => stream.next(),
        }
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Fills `buffer`; `false` if the stream ended before it was full.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match input.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            magic in 0usize..4, bytes in proptest::collection::vec(any::<u8>(), 0..400),
        ) {
            let magic = [&b"DKIF\0\0\x20\0VP80"[..], b"OggS\0\x02", &[0, 0, 0, 1], b""][magic];
            let input = io::Cursor::new([magic, &bytes].concat());
            if let Ok(Opened::Known(mut reader)) = open(Box::new(input)) {
                while let Ok(Some(_)) = reader.next() {}
            }
        }
    }
}
