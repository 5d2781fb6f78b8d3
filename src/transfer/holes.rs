//! Where a file has no data: blocks in there are zeros, and need neither be read nor sent.
//!
//! Systems that cannot say (`SEEK_DATA` of Linux, macOS and the BSDs) have no holes as far as we know.

use std::fs::{File, Metadata};
use std::io;

use super::digest::Digest;

/// What is known of the holes of one file, as it is gone through from its start.
#[derive(Debug)]
pub(super) enum Holes {
    /// It has none, or they cannot be found.
    None,
    /// The last extent that was looked at, without its start: everything before `end` behind the last
    /// question is a hole, or is not.
    Some { start: u64, end: u64, hole: bool },
}

impl Holes {
    /// Asks the system nothing more if the file has as many blocks as it needs for its length.
    pub(super) fn of(file: &File) -> Self {
        match file.metadata().is_ok_and(|metadata| is_short(&metadata)) {
            true => Self::Some {
                start: 0,
                end: 0,
                hole: false,
            },
            false => Self::None,
        }
    }

    /// Bytes of the blocks that are not in a hole, of a file of this length: what is sent of it, unless it changes.
    pub(super) fn data(mut self, file: &File, length: u64, block: u32) -> u64 {
        if !self.may_be() {
            return length;
        }
        let mut data = 0;
        let mut at = 0;
        while at < length {
            let here = u32::try_from((length - at).min(block.into())).expect("at most a block");
            if !self.cover(file, at, here) {
                data += u64::from(here);
            }
            at += u64::from(here);
        }
        data
    }

    /// Whether there may be any.
    pub(super) fn may_be(&self) -> bool {
        matches!(self, Self::Some { .. })
    }

    /// Whether these bytes of the file are all in a hole. Moves the position of the file.
    pub(super) fn cover(&mut self, file: &File, from: u64, length: u32) -> bool {
        let Self::Some { start, end, hole } = self else {
            return false;
        };
        if from < *start || from >= *end {
            match extent(file, from) {
                Ok(found) => (*start, *end, *hole) = (from, found.end, found.hole),
                Err(error) => {
                    tracing::debug!(%error, "holes cannot be found");
                    *self = Self::None;
                    return false;
                }
            }
        }
        *hole && from + u64::from(length) <= *end
    }
}

/// Whether a file takes less room than its length, as one with holes does, or one that is compressed.
#[cfg(unix)]
pub(super) fn is_short(metadata: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    // The unit of `st_blocks` is 512 bytes everywhere that matters.
    metadata.blocks() * 512 < metadata.len()
}

#[cfg(not(unix))]
pub(super) fn is_short(_: &Metadata) -> bool {
    false
}

struct Extent {
    end: u64,
    hole: bool,
}

/// What is at `from`, and up to where.
#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "macos",
    target_os = "freebsd"
))]
fn extent(file: &File, from: u64) -> io::Result<Extent> {
    use rustix::fs::{SeekFrom, seek};
    use rustix::io::Errno;
    match seek(file, SeekFrom::Data(from)) {
        Ok(data) if data > from => Ok(Extent {
            end: data,
            hole: true,
        }),
        Ok(_) => Ok(Extent {
            end: seek(file, SeekFrom::Hole(from))?,
            hole: false,
        }),
        // Nothing but a hole up to the end.
        Err(Errno::NXIO) => Ok(Extent {
            end: u64::MAX,
            hole: true,
        }),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_os = "macos",
    target_os = "freebsd"
)))]
fn extent(_: &File, _: u64) -> io::Result<Extent> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Makes these bytes of a file zeros, as far as there are bytes: a hole where the system can make one.
pub(super) fn make_hole(file: &mut File, from: u64, length: u64) -> io::Result<()> {
    let there = file.metadata()?.len();
    let length = length.min(there.saturating_sub(from));
    if length == 0 {
        return Ok(());
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(&*file, flags, from, length) {
            // A file system that cannot do it: below.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
            result => return Ok(result?),
        }
    }
    write_zeros(file, from, length)
}

fn write_zeros(file: &mut File, from: u64, length: u64) -> io::Result<()> {
    use io::{Read as _, Seek as _};
    file.seek(io::SeekFrom::Start(from))?;
    io::copy(&mut io::repeat(0).take(length), file).map(drop)
}

/// The digest of so many zeros; computed again only for another length.
#[derive(Debug, Default)]
pub(super) struct ZeroDigest(Option<(u32, Digest)>);

impl ZeroDigest {
    pub(super) fn of(&mut self, length: u32) -> Digest {
        match self.0 {
            Some((known, digest)) if known == length => digest,
            _ => {
                let digest = Digest::of(&vec![0; length as usize]);
                self.0 = Some((length, digest));
                digest
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

    use super::*;

    const MIB: u64 = 1 << 20;

    fn file() -> File {
        tempfile::tempfile().unwrap()
    }

    #[test]
    fn a_file_without_holes_is_not_looked_into() {
        let mut file = file();
        file.write_all(&[0; 8192]).unwrap();
        file.sync_all().unwrap();
        let mut holes = Holes::of(&file);
        assert!(
            !holes.cover(&file, 0, 8192),
            "zeros that were written are data"
        );
        assert_eq!(holes.data(&file, 8192, 4096), 8192);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn holes_are_found_between_data_and_up_to_the_end() {
        let mut file = file();
        file.set_len(64 * MIB).unwrap();
        for at in [8 * MIB, 32 * MIB] {
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(&[7; 100]).unwrap();
        }
        let mut holes = Holes::of(&file);
        let mut covered = Vec::new();
        for block in 0..64 {
            if holes.cover(&file, block * MIB, MIB as u32) {
                covered.push(block);
            }
        }
        let expected: Vec<u64> = (0..64).filter(|block| ![8, 32].contains(block)).collect();
        assert_eq!(covered, expected);
        assert_eq!(Holes::of(&file).data(&file, 64 * MIB, MIB as u32), 2 * MIB);
        // In any order.
        assert!(holes.cover(&file, 2 * MIB, MIB as u32));
        assert!(!holes.cover(&file, 7 * MIB, 2 * MIB as u32));
    }

    #[test]
    fn what_becomes_a_hole_reads_as_zeros_and_nothing_else_changes() {
        for punch in [make_hole, write_zeros] {
            let mut file = file();
            file.write_all(&[7; 20_000]).unwrap();
            punch(&mut file, 1000, 10_000).unwrap();
            make_hole(&mut file, 15_000, 1 << 40).unwrap();
            make_hole(&mut file, 1 << 40, 5).unwrap();
            let mut content = Vec::new();
            file.seek(SeekFrom::Start(0)).unwrap();
            file.read_to_end(&mut content).unwrap();
            let mut expected = vec![7; 20_000];
            expected[1000..11_000].fill(0);
            expected[15_000..].fill(0);
            assert!(content == expected);
        }
    }

    #[test]
    fn digests_of_zeros() {
        let mut zeros = ZeroDigest::default();
        for length in [5, 5, 70_000, 5] {
            assert_eq!(zeros.of(length), Digest::of(&vec![0; length as usize]));
        }
    }
}
