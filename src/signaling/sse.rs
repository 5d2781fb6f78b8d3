//! Reading an event stream (HTML Living Standard, "Parsing an event stream").

use super::error::Lost;

/// Bytes of the longest event that is taken.
const LONGEST: usize = 2 * signaling_protocol::limits::MESSAGE_BYTES;

/// What a stream said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The data of an event. Its number is in the message, so the id is not needed.
    Data(String),
    /// A comment, or an event without data.
    Nothing,
}

/// A stream that is read in pieces.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    data: String,
    has_data: bool,
    /// The last byte was a CR, which a LF may belong to.
    after_cr: bool,
}

impl Parser {
    /// Reads a piece; what it completes is added to `events`.
    pub(super) fn read(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), Lost> {
        for &byte in bytes {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.line);
                    self.end_line(&line, events)?;
                }
                _ => self.line.push(byte),
            }
            if self.line.len() + self.data.len() > LONGEST {
                return Err(Lost::Protocol("it sent an event without end".to_owned()));
            }
        }
        Ok(())
    }

    fn end_line(&mut self, line: &[u8], events: &mut Vec<Event>) -> Result<(), Lost> {
        let line = std::str::from_utf8(line)
            .map_err(|_| Lost::Protocol("it sent an event that is not text".to_owned()))?;
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            events.push(match std::mem::take(&mut self.has_data) {
                true => Event::Data(data),
                false => Event::Nothing,
            });
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        if field == "data" {
            if std::mem::replace(&mut self.has_data, true) {
                self.data.push('\n');
            }
            self.data += value.strip_prefix(' ').unwrap_or(value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pieces: &[&[u8]]) -> Result<Vec<Event>, Lost> {
        let (mut parser, mut events) = (Parser::default(), Vec::new());
        for piece in pieces {
            parser.read(piece, &mut events)?;
        }
        Ok(events)
    }

    #[test]
    fn every_way_to_write_an_event() {
        let data = |text: &str| Event::Data(text.to_owned());
        for (text, expected) in [
            ("data: a\n\n", vec![data("a")]),
            ("data:a\r\rdata:  b\r\n\r\n", vec![data("a"), data(" b")]),
            (
                "id: 7\nevent: x\ndata: a\ndata: b\ndata\n\n",
                vec![data("a\nb\n")],
            ),
            (":\n\nretry: 1000\n\n", vec![Event::Nothing, Event::Nothing]),
            ("data: cut", vec![]),
        ] {
            assert_eq!(parse(&[text.as_bytes()]).unwrap(), expected, "{text:?}");
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(parse(&bytes).unwrap(), expected, "{text:?} byte by byte");
        }
    }

    #[test]
    fn what_is_no_event_is_refused() {
        assert!(parse(&[b"data: \xff\n\n"]).is_err());
        let endless = [b'x'; 1024];
        assert!(parse(&[&endless[..]; 129]).is_err());
        let lines = b"data: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n";
        assert!(parse(&[&lines[..]; 4096]).is_err());
    }
}
