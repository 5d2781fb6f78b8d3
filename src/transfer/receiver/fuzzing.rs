//! Journals and blocks, for `fuzz/`.

use super::assembler::{Assembler, Step};
use super::journal::{Encoder, replay};
use crate::transfer::manifest::{BlockSize, Entry, Kind, Manifest};
use crate::transfer::safe_path::SafePath;
use crate::transfer::sender::BlockId;
use bytes::Bytes;
use std::collections::HashSet;
use std::sync::Arc;

pub use super::journal::fuzzing::transfer_journal;

/// Reads a journal; what it says is written anew and says the same.
pub(super) fn journal(bytes: &[u8]) {
    let Ok(read) = replay(bytes) else {
        return;
    };
    let (_, anew) = Encoder::begin(&read.manifest, read.kept.iter());
    let again = replay(&anew).expect("our own journal");
    assert_eq!(again.manifest, read.manifest);
    assert_eq!(again.kept, read.kept);
    assert!(read.kept.bytes(&read.manifest) <= read.manifest.bytes() || read.manifest.is_stream());
}

/// Messages of lanes, of a transfer of files or of a stream. Each begins with two bytes: what it is, and the
/// length of what follows, in units of 8 bytes.
pub fn transfer_blocks(data: &[u8]) {
    let Some((kind, mut rest)) = data.split_first() else {
        return;
    };
    let manifest = Arc::new(manifest(kind & 1 == 1));
    let (mut assembler, mut steps) = Assembler::new(&manifest);
    if kind & 2 == 2 {
        assembler.share();
    }
    let mut seen = Seen::default();
    while let [what, length, after @ ..] = rest {
        let (message, after) = after.split_at(after.len().min(usize::from(*length) * 8));
        rest = after;
        let number = |at: usize| {
            let bytes = message
                .get(at..at + 4)
                .and_then(|four| four.try_into().ok());
            u32::from_be_bytes(bytes.unwrap_or_default())
        };
        let lane = u16::from(what >> 4);
        let done = match what & 0x0f {
            0 => {
                let id = BlockId {
                    file: number(0),
                    block: number(4),
                };
                assembler.zeros(id, &mut steps)
            }
            1 => assembler.ended(number(0).into(), &mut steps),
            2 => {
                assembler.lane_ended(lane);
                Ok(())
            }
            _ => assembler.message(lane, Bytes::copy_from_slice(message), &mut steps),
        };
        steps.drain(..).for_each(|step| seen.step(&manifest, step));
        if done.is_err() {
            return;
        }
    }
}

/// What was done so far.
#[derive(Default)]
struct Seen {
    verified: HashSet<(u32, u32)>,
    files: HashSet<u32>,
    complete: bool,
}

impl Seen {
    /// Nothing is written outside a file, verified twice, or told after the end.
    fn step(&mut self, manifest: &Manifest, step: Step) {
        let within = |file: u32, position: u64, length: u64| {
            let (_, size) = manifest.file(file).expect("a file");
            assert!(manifest.is_stream() || position + length <= size);
        };
        assert!(!self.complete);
        match step {
            Step::Write {
                file,
                position,
                data,
            } => within(file, position, data.len() as u64),
            Step::Zeros {
                file,
                position,
                length,
            } => within(file, position, length.into()),
            Step::Verified {
                id, bytes, written, ..
            } => {
                assert!(written <= bytes && bytes <= manifest.block_size().bytes());
                assert!(self.verified.insert((id.file, id.block)));
            }
            Step::Damaged(id) => assert!(manifest.file(id.file).is_some()),
            Step::File { file, .. } => assert!(self.files.insert(file)),
            Step::Complete(_) => {
                assert_eq!(self.files.len(), manifest.files() as usize);
                self.complete = true;
            }
        }
    }
}

/// 0: directory, 1: three bytes, 2: nothing, 3: a block and five bytes. Or one stream.
fn manifest(is_stream: bool) -> Manifest {
    let entry = |path, kind| Entry {
        path: SafePath::parse(path).expect("a safe path"),
        kind,
        mtime: None,
        mode: None,
    };
    let block_size = BlockSize::new(1 << 16).expect("a block size");
    let file = |path, size| entry(path, Kind::File { size });
    match is_stream {
        true => Manifest::stream("s", block_size, vec![file("s", 0)]),
        false => {
            let files = [file("d/a", 3), file("d/b", 0), file("d/c", (1 << 16) + 5)];
            let entries = [entry("d", Kind::Directory)].into_iter().chain(files);
            Manifest::new("d", block_size, entries.collect())
        }
    }
    .expect("a manifest")
}
