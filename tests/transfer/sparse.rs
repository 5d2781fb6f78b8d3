//! Files with holes.
#![cfg(target_os = "linux")]

use std::fs::{self, File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tempfile::{TempDir, tempdir};

use crate::harness::*;

const MIB: u64 = 1 << 20;

/// A file of 64 MiB and some, with data in the first, the 20th and the 40th MiB; or `None` where the file
/// system makes no holes.
fn sparse() -> Option<(TempDir, PathBuf)> {
    let from = tempdir().unwrap();
    let path = from.path().join("sparse");
    let mut file = File::create(&path).unwrap();
    file.set_len(64 * MIB + 12_345).unwrap();
    for (at, seed) in [(0, 1), (20 * MIB + 5, 2), (40 * MIB - 7, 3)] {
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(&noise(1000, seed)).unwrap();
    }
    file.sync_all().unwrap();
    if stored(&path) > 8 * MIB {
        eprintln!("no holes here: nothing to test");
        return None;
    }
    Some((from, path))
}

/// Bytes that a file takes.
fn stored(path: &Path) -> u64 {
    fs::metadata(path).unwrap().blocks() * 512
}

fn digest(path: &Path) -> String {
    peerline::transfer::Digest::of(&fs::read(path).unwrap()).to_string()
}

#[tokio::test]
async fn holes_are_not_sent_and_are_holes_again() {
    let Some((_from, path)) = sparse() else {
        return;
    };
    let (_parent, out) = place();
    let mut sent = 0;
    let count = |bytes: Bytes| {
        sent += bytes.len() as u64;
        Some(bytes)
    };
    let paths = [path.clone()];
    let (sender, receiver) = relayed_transfer(&paths, options(&out), count, |text| text).await;
    let (ours, theirs) = (sender.result.unwrap(), receiver.result.unwrap());
    assert_eq!(ours.digest, theirs.digest);
    assert_eq!(theirs.bytes, 64 * MIB + 12_345);
    let arrived = out.join("sparse");
    assert_eq!(digest(&arrived), digest(&path));
    assert!(sent < 6 * MIB, "{sent} bytes were sent");
    assert!(
        stored(&arrived) < 8 * MIB,
        "{} are stored",
        stored(&arrived)
    );
    let times = [&path, &arrived].map(|path| fs::metadata(path).unwrap().mtime());
    assert_eq!(times[0], times[1]);
}

/// A block that was data at the first attempt and is a hole now must not stay what it was.
#[tokio::test]
async fn a_hole_takes_the_place_of_what_was_there() {
    let Some((_from, path)) = sparse() else {
        return;
    };
    let (_parent, out) = place();
    let paths = [path.clone()];
    // Data everywhere between 41 and 60 MiB, cut before its end.
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(41 * MIB)).unwrap();
    file.write_all(&noise(19 << 20, 4)).unwrap();
    file.set_modified(modified).unwrap();
    let mut left = 15 * MIB;
    let cut = |bytes: Bytes| {
        left = left.checked_sub(bytes.len() as u64)?;
        Some(bytes)
    };
    let (_, receiver) = relayed_transfer(&paths, options(&out), cut, |text| text).await;
    receiver.result.unwrap_err();
    assert_eq!(kept(&out).len(), 1);

    // The same length and time, and a hole again.
    rustix::fs::fallocate(
        &file,
        rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE,
        41 * MIB,
        19 * MIB,
    )
    .unwrap();
    file.set_modified(modified).unwrap();
    let expected = digest(&path);
    let mut sent = 0;
    let count = |bytes: Bytes| {
        sent += bytes.len() as u64;
        Some(bytes)
    };
    let (sender, receiver) = relayed_transfer(&paths, options(&out), count, |text| text).await;
    assert_eq!(
        sender.result.unwrap().digest,
        receiver.result.unwrap().digest
    );
    assert_eq!(digest(&out.join("sparse")), expected);
    assert!(sent < 6 * MIB, "{sent} bytes were sent again");
    assert!(stored(&out.join("sparse")) < 8 * MIB);
}

/// What is kept of a large hole need not be read to go on, and counts as there.
#[tokio::test]
async fn a_file_that_is_mostly_hole_is_resumed() {
    let from = tempdir().unwrap();
    let path = from.path().join("huge");
    let mut file = File::create(&path).unwrap();
    // Reading it on either side would take longer than the deadline allows, and few machines have room for it.
    file.set_len(100 << 30).unwrap();
    file.seek(SeekFrom::End(-(8 << 20))).unwrap();
    file.write_all(&noise(8 << 20, 5)).unwrap();
    file.sync_all().unwrap();
    if stored(&path) > 16 * MIB {
        return;
    }
    let (_parent, out) = place();
    let paths = [path.clone()];
    let mut left = 5 * MIB;
    let cut = |bytes: Bytes| {
        left = left.checked_sub(bytes.len() as u64)?;
        Some(bytes)
    };
    let (_, receiver) = relayed_transfer(&paths, options(&out), cut, |text| text).await;
    receiver.result.unwrap_err();
    let there = kept(&out);
    assert!(there[0].1 > 99 << 30, "{there:?}");
    let mut sent = 0;
    let count = |bytes: Bytes| {
        sent += bytes.len() as u64;
        Some(bytes)
    };
    let (sender, receiver) = relayed_transfer(&paths, options(&out), count, |text| text).await;
    let summary = receiver.result.unwrap();
    assert_eq!(summary.digest, sender.result.unwrap().digest);
    assert!(summary.resumed > 99 << 30, "{summary:?}");
    assert!(sent < 9 * MIB, "{sent}");
    assert!(stored(&out.join("huge")) < 16 * MIB);
}
