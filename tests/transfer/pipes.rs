//! What is piped in, and what is piped out.

use std::fs::{create_dir, read, write};
use std::io::{self, Cursor, Read, Write};
use std::sync::{Arc, Mutex};

use peerline::channel::Message;
use peerline::transfer::{
    Channels, Code, Decision, Fault, Limits, Manifest, PathError, Source, SourceError,
    TransferError, receive, receive_into,
};
use tempfile::tempdir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::harness::*;

/// A block of a stream, and blocks around it.
const BLOCK: usize = 256 << 10;
const LENGTHS: [usize; 7] = [
    0,
    1,
    BLOCK - 1,
    BLOCK,
    BLOCK + 1,
    16 * BLOCK,
    16 * BLOCK + 3,
];

/// Gives its bytes in pieces that fit nothing.
struct Dripping(Cursor<Vec<u8>>);

impl Read for Dripping {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(7_777);
        self.0.read(&mut buffer[..most])
    }
}

fn piped(content: &[u8]) -> Source {
    Source::stream("piped", Dripping(Cursor::new(content.to_vec()))).unwrap()
}

/// Keeps what it is given, up to a length at which whoever reads it goes away.
#[derive(Clone)]
struct Reader {
    got: Arc<Mutex<Vec<u8>>>,
    most: usize,
}

impl Reader {
    fn new(most: usize) -> Self {
        let got = Arc::default();
        Self { got, most }
    }

    fn got(&self) -> Vec<u8> {
        self.got.lock().unwrap().clone()
    }
}

impl Write for Reader {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut got = self.got.lock().unwrap();
        if got.len() + bytes.len() > self.most {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        got.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn into_pipe(channels: Channels, out: &Reader, limits: Limits) -> Side {
    let out = Box::new(out.clone());
    let (_, more) = mpsc::channel(1);
    let cancel = CancellationToken::new();
    observe(async |events| receive_into(channels, more, out, limits, accept, events, cancel).await)
        .await
}

/// From a source into a pipe.
async fn through(source: Source, out: &Reader) -> (Side, Side) {
    let (near, far) = channels();
    let receiving = into_pipe(far, out, Limits::default());
    deadline(async { tokio::join!(run_sender(near, source), receiving) }).await
}

#[tokio::test]
async fn what_is_piped_in_arrives_as_a_file_of_its_length() {
    for length in LENGTHS {
        let content = noise(length, length as u64);
        let (_parent, out) = place();
        let (near, far) = channels();
        let both = async {
            tokio::join!(
                run_sender(near, piped(&content)),
                run_receiver(far, options(&out))
            )
        };
        let (sender, receiver) = deadline(both).await;
        let (sent, received) = (sender.result.unwrap(), receiver.result.unwrap());
        assert_eq!(sent.digest, received.digest, "{length}");
        assert_eq!((sent.bytes, received.bytes), (length as u64, length as u64));
        assert!(read(out.join("piped")).unwrap() == content, "{length}");
        assert!(!out.join(".peerline").exists());
    }
}

#[tokio::test]
async fn what_is_piped_out_is_what_was_piped_in() {
    for length in LENGTHS {
        let content = noise(length, length as u64);
        let out = Reader::new(usize::MAX);
        let (sender, receiver) = through(piped(&content), &out).await;
        assert_eq!(receiver.result.unwrap().bytes, length as u64);
        sender.result.unwrap();
        assert!(out.got() == content, "{length}");
    }
}

#[tokio::test]
async fn a_file_can_be_piped_out() {
    let from = tempdir().unwrap();
    let (file, content) = (from.path().join("file"), noise((3 << 20) + 5, 1));
    write(&file, &content).unwrap();
    let out = Reader::new(usize::MAX);
    let (sender, receiver) = through(scan(&[file]), &out).await;
    assert_eq!(
        sender.result.unwrap().digest,
        receiver.result.unwrap().digest
    );
    assert!(out.got() == content);
}

#[tokio::test]
async fn only_a_single_file_can_be_piped_out_and_nobody_is_asked_about_others() {
    let from = tempdir().unwrap();
    let (one, other) = (from.path().join("one"), from.path().join("other"));
    write(&one, "x").unwrap();
    create_dir(&other).unwrap();
    for paths in [vec![one, other.clone()], vec![other]] {
        let (near, far) = channels();
        let (_, more) = mpsc::channel(1);
        let cancel = CancellationToken::new();
        let out = Reader::new(usize::MAX);
        let never = async |_: &Manifest| -> Decision { panic!("nobody is to be asked") };
        let receiving = observe(async |events| {
            let (out, limits) = (Box::new(out.clone()), Limits::default());
            receive_into(far, more, out, limits, never, events, cancel).await
        });
        let both = async { tokio::join!(run_sender(near, scan(&paths)), receiving) };
        let (sender, receiver) = deadline(both).await;
        let error = receiver.result.unwrap_err();
        assert!(matches!(
            error,
            TransferError::Declined { by: Fault::Us, .. }
        ));
        assert_eq!(sender.result.unwrap_err().code(), Code::Declined);
        assert!(out.got().is_empty());
    }
}

#[tokio::test]
async fn nobody_reads_any_more() {
    let out = Reader::new(3 * BLOCK);
    let (sender, receiver) = through(piped(&noise(20 * BLOCK, 1)), &out).await;
    let error = receiver.result.unwrap_err();
    assert_eq!(error.to_string(), "stdout: broken pipe");
    assert_eq!(sender.result.unwrap_err().code(), Code::Io);
    assert_eq!(out.got().len(), 3 * BLOCK, "whole blocks, up to there");
}

#[tokio::test]
async fn a_stream_that_breaks_is_not_taken_for_its_end() {
    struct Breaks(usize);
    impl Read for Breaks {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let length = buffer.len().min(self.0);
            self.0 -= length;
            buffer[..length].fill(7);
            Ok(length)
        }
    }
    let (_parent, out) = place();
    let (near, far) = channels();
    let source = Source::stream("piped", Breaks(5 * BLOCK + 1)).unwrap();
    let both = async { tokio::join!(run_sender(near, source), run_receiver(far, options(&out))) };
    let (sender, receiver) = deadline(both).await;
    assert_eq!(sender.result.unwrap_err().code(), Code::Io);
    assert_eq!(receiver.result.unwrap_err().code(), Code::Io);
    assert!(snapshot(&out).is_empty(), "nothing is kept of a stream");
}

/// The end of the connection is not the end of the stream, wherever it comes.
#[tokio::test]
async fn without_its_complete_a_stream_is_never_in_place() {
    let content = noise(9 * BLOCK, 1);
    let (_parent, out) = place();
    let (near, mut near_far) = channels();
    let (mut far_near, far) = channels();
    let relay = async {
        loop {
            tokio::select! {
                message = near_far.control.recv() => match message {
                    // All blocks went through; this is all that is missing.
                    Some(Message::Text(text)) if text.contains(r#""type":"complete""#) => break,
                    Some(Message::Text(text)) => far_near.control.send_text(text).await.unwrap(),
                    _ => break,
                },
                Some(Message::Text(text)) = far_near.control.recv() => {
                    near_far.control.send_text(text).await.unwrap();
                }
                Some(Message::Binary(bytes)) = near_far.lane.recv() => {
                    far_near.lane.send(bytes).await.unwrap();
                }
            }
        }
        drop((near_far, far_near));
    };
    let sides = async {
        tokio::join!(
            run_sender(near, piped(&content)),
            run_receiver(far, options(&out))
        )
    };
    let ((sender, receiver), ()) = deadline(async { tokio::join!(sides, relay) }).await;
    assert_eq!(sender.result.unwrap_err().code(), Code::Closed);
    assert_eq!(receiver.result.unwrap_err().code(), Code::Closed);
    assert!(snapshot(&out).is_empty());
}

#[tokio::test]
async fn more_than_the_receiver_takes_ends_it_on_both_sides() {
    let (_parent, out) = place();
    let limits = Limits {
        stream: Some(3 * BLOCK as u64),
        ..Limits::default()
    };
    for (length, expected) in [(3 * BLOCK, None), (3 * BLOCK + 1, Some(Code::TooLarge))] {
        let (near, far) = channels();
        let mut options = options(&out);
        options.limits = limits;
        let receiving = observe(async |events| {
            receive(far, options, accept, events, CancellationToken::new()).await
        });
        let source = piped(&noise(length, 1));
        let both = async { tokio::join!(run_sender(near, source), receiving) };
        let (sender, receiver) = deadline(both).await;
        let codes = [sender, receiver].map(|side| side.result.err().map(|error| error.code()));
        assert_eq!(codes, [expected, expected], "{length}");
        let _ = std::fs::remove_file(out.join("piped"));
        assert!(snapshot(&out).is_empty());
    }
}

#[test]
fn a_stream_has_a_plain_name() {
    for (name, reason) in [("", PathError::Empty), ("..", PathError::Dots)] {
        let error = Source::stream(name, io::empty()).unwrap_err();
        assert!(matches!(error, SourceError::Name { reason: found, .. } if found == reason));
    }
    assert_eq!(piped(b"").manifest().bytes(), 0);
    assert!(piped(b"").manifest().is_stream());
}
