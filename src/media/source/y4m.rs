//! Pictures that are not encoded, as programs hand them to each other: YUV4MPEG2 with planes of 4:2:0.
//!
//! Only what [`program`](super::program) asks `ffmpeg` for is read.

use std::io::{self, BufRead, Read};

/// Longest line in front of the pictures, or of one of them.
const LINE: u64 = 256;

/// Most rows and columns; 8K.
const MOST: usize = 8192;

/// A stream of pictures.
#[derive(Debug)]
pub(super) struct Pictures<R> {
    input: R,
    /// The line in front, which the next program wants to read as well.
    header: Vec<u8>,
    size: usize,
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// `420p10` and such have more than 8 bits; `420jpeg`, `420mpeg2` and `420paldv` only say where colours are.
fn is_deep(planes: &str) -> bool {
    let depth = planes.strip_prefix("420p").unwrap_or_default();
    depth.starts_with(|first: char| first.is_ascii_digit())
}

/// A line with its end; empty at the end of the stream.
fn line(input: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    input.by_ref().take(LINE).read_until(b'\n', &mut line)?;
    if line.last() == Some(&b'\n') {
        return Ok(line);
    }
    match line.len() as u64 {
        LINE => Err(invalid("a line in front of a picture is too long")),
        _ => Ok(Vec::new()),
    }
}

impl<R: BufRead> Pictures<R> {
    /// Reads what stands in front; `None` if there is nothing.
    pub(super) fn open(mut input: R) -> io::Result<Option<Self>> {
        let header = line(&mut input)?;
        if header.is_empty() {
            return Ok(None);
        }
        let text = str::from_utf8(&header).map_err(|_| invalid("it is not text"))?;
        let mut words = text.split_ascii_whitespace();
        if words.next() != Some("YUV4MPEG2") {
            return Err(invalid("it is not YUV4MPEG2"));
        }
        let (mut width, mut height) = (0, 0);
        for word in words {
            match word.split_at_checked(1) {
                Some(("W", number)) => width = number.parse().unwrap_or(0),
                Some(("H", number)) => height = number.parse().unwrap_or(0),
                Some(("C", planes)) if !planes.starts_with("420") || is_deep(planes) => {
                    return Err(invalid("its planes are not 4:2:0 of 8 bits"));
                }
                _ => {}
            }
        }
        if !(1..=MOST).contains(&width) || !(1..=MOST).contains(&height) {
            return Err(invalid("its size is none"));
        }
        Ok(Some(Self {
            input,
            header,
            size: width * height + 2 * width.div_ceil(2) * height.div_ceil(2),
        }))
    }

    pub(super) fn header(&self) -> &[u8] {
        &self.header
    }

    /// Puts the next picture with the line in front of it into `picture`; `false` at the end, or if it is cut off.
    pub(super) fn next(&mut self, picture: &mut Vec<u8>) -> io::Result<bool> {
        let head = line(&mut self.input)?;
        if head.is_empty() {
            return Ok(false);
        }
        if !head.starts_with(b"FRAME") {
            return Err(invalid("something else is where a picture should be"));
        }
        picture.clear();
        picture.extend_from_slice(&head);
        // What a header promises is not set aside before it comes.
        let mut input = self.input.by_ref().take(self.size as u64);
        Ok(input.read_to_end(picture)? == self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pictures_are_read_one_by_one() {
        let bytes = [
            &b"YUV4MPEG2 W3 H2 F30:1 Ip A1:1 C420jpeg\n"[..],
            b"FRAME\n0123456789",
            b"FRAME Ip\nabcdefghij",
            b"FRAME\n012",
        ]
        .concat();
        let mut pictures = Pictures::open(&bytes[..]).unwrap().unwrap();
        assert!(pictures.header().ends_with(b"C420jpeg\n"));
        let mut picture = Vec::new();
        assert!(pictures.next(&mut picture).unwrap());
        assert_eq!(picture, b"FRAME\n0123456789");
        assert!(pictures.next(&mut picture).unwrap());
        assert_eq!(picture, b"FRAME Ip\nabcdefghij");
        assert!(!pictures.next(&mut picture).unwrap(), "it is cut off");
        assert!(Pictures::open(&b""[..]).unwrap().is_none());
    }

    #[test]
    fn a_header_alone_takes_no_memory() {
        let mut pictures = Pictures::open(&b"YUV4MPEG2 W8192 H8192\nFRAME\n01"[..])
            .unwrap()
            .unwrap();
        let mut picture = Vec::new();
        assert!(!pictures.next(&mut picture).unwrap());
        assert!(picture.capacity() < 1 << 20);
    }

    #[test]
    fn what_is_no_stream_of_pictures_is_refused() {
        for text in [
            "RIFF\n",
            "YUV4MPEG2 W0 H2\n",
            "YUV4MPEG2 W2\n",
            "YUV4MPEG2 W2 H99999\n",
            "YUV4MPEG2 W2 H2 C444\n",
            "YUV4MPEG2 W2 H2 C420p10\n",
        ] {
            assert!(Pictures::open(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Pictures::open(&[b'x'; 300][..]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(size in "W[0-9]{1,2} H[0-9]{1,2}", bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let bytes = [format!("YUV4MPEG2 {size}\n").into_bytes(), bytes].concat();
            if let Ok(Some(mut pictures)) = Pictures::open(&bytes[..]) {
                let mut picture = Vec::new();
                while let Ok(true) = pictures.next(&mut picture) {}
            }
        }
    }
}
