//! What somebody, or a broken disk, did to what is kept of a transfer. Whatever it was: what arrives
//! is what was sent, and nothing outside is touched.

use std::fs::{self, create_dir, write};
use std::path::{Path, PathBuf};

use peerline::transfer::{PartialState, discard, partials};
use tempfile::{TempDir, tempdir};

use crate::harness::*;

/// `d/one` and `d/two` of 3 MiB, all of `one` and some of `two` kept, and a directory beside `out`.
struct Kept {
    from: TempDir,
    parent: TempDir,
    out: PathBuf,
    outside: PathBuf,
}

impl Kept {
    async fn new() -> Self {
        Self::sent_with(|_| {}).await
    }

    /// Each of the files is prepared before it is sent.
    async fn sent_with(prepare: impl Fn(&Path)) -> Self {
        let from = tempdir().unwrap();
        create_dir(from.path().join("d")).unwrap();
        for (name, seed) in [("one", 1), ("two", 2)] {
            let file = from.path().join("d").join(name);
            write(&file, noise(3 << 20, seed)).unwrap();
            prepare(&file);
        }
        let (parent, out) = place();
        let mut kept = Self {
            outside: parent.path().join("outside"),
            from,
            parent,
            out,
        };
        create_dir(&kept.outside).unwrap();
        write(kept.outside.join("one"), "mine").unwrap();
        kept.attempt(5 << 20).await.expect_err("is cut");
        kept
    }

    /// `.peerline/<id>`.
    fn area(&self) -> PathBuf {
        let base = self.out.join(".peerline");
        let id = partials(&self.out).unwrap().pop().unwrap().id;
        base.join(id.as_str())
    }

    /// Sends it again; the bytes that were resumed.
    async fn attempt(&mut self, most: usize) -> Result<u64, peerline::transfer::TransferError> {
        let mut sent = 0;
        let count = |bytes: bytes::Bytes| {
            sent += bytes.len();
            (sent <= most).then_some(bytes)
        };
        let paths = [self.from.path().join("d")];
        let (_, receiver) = relayed_transfer(&paths, options(&self.out), count, |text| text).await;
        receiver.result.map(|summary| summary.resumed)
    }
}

const MIB: u64 = 1 << 20;

/// Does something to the area, and sees what a whole transfer makes of it.
async fn check(name: &str, resumed: std::ops::RangeInclusive<u64>, harm: fn(&Path, &Path)) {
    let mut kept = Kept::new().await;
    let outside = snapshot(&kept.outside);
    harm(&kept.area(), &kept.outside);
    let outside_now = snapshot(&kept.outside);
    assert_eq!(outside_now, outside, "{name}: the test itself");
    let bytes = kept.attempt(usize::MAX).await.expect(name);
    assert!(resumed.contains(&bytes), "{name}: resumed {bytes}");
    assert_eq!(in_place(&kept.out), snapshot(kept.from.path()), "{name}");
    assert_eq!(snapshot(&kept.outside), outside, "{name}");
    let neighbour = fs::read(kept.parent.path().join("neighbour")).unwrap();
    assert_eq!(neighbour, b"untouched", "{name}");
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    write(path, bytes).unwrap();
}

const ALL: std::ops::RangeInclusive<u64> = 3 * MIB..=6 * MIB;
const NOTHING: std::ops::RangeInclusive<u64> = 0..=0;
/// `one` is gone, some of `two` is there.
const WITHOUT_ONE: std::ops::RangeInclusive<u64> = 0..=3 * MIB;

#[tokio::test]
async fn nothing_happened() {
    check("nothing", ALL, |_, _| {}).await;
}

#[tokio::test]
async fn files_that_are_not_what_the_journal_says() {
    check("missing", WITHOUT_ONE, |area, _| {
        fs::remove_file(area.join("tree/d/one")).unwrap();
    })
    .await;
    check("no directory", NOTHING, |area, _| {
        fs::remove_dir_all(area.join("tree/d")).unwrap();
    })
    .await;
    check("short", 2 * MIB..=5 * MIB, |area, _| {
        edit(&area.join("tree/d/one"), |bytes| {
            bytes.truncate(bytes.len() - 1)
        });
    })
    .await;
    check("long", ALL, |area, _| {
        edit(&area.join("tree/d/one"), |bytes| bytes.extend([1; 9999]));
    })
    .await;
    check("one bit", 2 * MIB..=5 * MIB, |area, _| {
        edit(&area.join("tree/d/one"), |bytes| bytes[1_500_000] ^= 4);
    })
    .await;
    check("a directory", WITHOUT_ONE, |area, _| {
        fs::remove_file(area.join("tree/d/one")).unwrap();
        create_dir(area.join("tree/d/one")).unwrap();
        write(area.join("tree/d/one/x"), "x").unwrap();
    })
    .await;
}

#[tokio::test]
async fn things_that_do_not_belong_there() {
    check("more files", ALL, |area, _| {
        write(area.join("tree/d/three"), "planted").unwrap();
        write(area.join("tree/four"), "planted").unwrap();
        create_dir(area.join("tree/d/five")).unwrap();
        write(area.join("tree/d/five/six"), "planted").unwrap();
        write(area.join("journal.new"), "planted").unwrap();
    })
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn links_lead_nowhere() {
    use std::os::unix::fs::symlink;
    check("for a file", WITHOUT_ONE, |area, outside| {
        fs::remove_file(area.join("tree/d/one")).unwrap();
        symlink(outside.join("one"), area.join("tree/d/one")).unwrap();
    })
    .await;
    check("another name of a file", WITHOUT_ONE, |area, outside| {
        fs::remove_file(area.join("tree/d/one")).unwrap();
        fs::hard_link(outside.join("one"), area.join("tree/d/one")).unwrap();
    })
    .await;
    check("for a directory", NOTHING, |area, outside| {
        fs::remove_dir_all(area.join("tree/d")).unwrap();
        symlink(outside, area.join("tree/d")).unwrap();
    })
    .await;
    check("for the tree", NOTHING, |area, outside| {
        fs::remove_dir_all(area.join("tree")).unwrap();
        symlink(outside, area.join("tree")).unwrap();
    })
    .await;
    check("for the journal", NOTHING, |area, outside| {
        fs::remove_file(area.join("journal")).unwrap();
        symlink(outside.join("one"), area.join("journal")).unwrap();
    })
    .await;
    check("for the next journal", ALL, |area, outside| {
        symlink(outside.join("one"), area.join("journal.new")).unwrap();
    })
    .await;
    check("for the lock", NOTHING, |area, outside| {
        fs::remove_file(area.join("lock")).unwrap();
        symlink(outside.join("one"), area.join("lock")).unwrap();
    })
    .await;
    check("for all of it", NOTHING, |area, outside| {
        fs::remove_dir_all(area).unwrap();
        symlink(outside, area).unwrap();
    })
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_pipe_for_the_journal_blocks_nobody() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    check("pipe", NOTHING, |area, _| {
        fs::remove_file(area.join("journal")).unwrap();
        mknodat(CWD, area.join("journal"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    })
    .await;
}

#[tokio::test]
async fn journals_that_say_less_or_nothing() {
    check("gone", NOTHING, |area, _| {
        fs::remove_file(area.join("journal")).unwrap()
    })
    .await;
    check("empty", NOTHING, |area, _| {
        write(area.join("journal"), "").unwrap()
    })
    .await;
    check("another version", NOTHING, |area, _| {
        edit(&area.join("journal"), |bytes| bytes[17] = b'2');
    })
    .await;
    check("damaged manifest", NOTHING, |area, _| {
        edit(&area.join("journal"), |bytes| bytes[60] ^= 1);
    })
    .await;
    check("torn", 0..=6 * MIB, |area, _| {
        edit(&area.join("journal"), |bytes| {
            bytes.truncate(bytes.len() - 1)
        });
    })
    .await;
    check("longer", ALL, |area, _| {
        edit(&area.join("journal"), |bytes| bytes.extend([0x55; 1000]));
    })
    .await;
}

/// A file that was finished may not be readable or writable any more.
#[cfg(unix)]
#[tokio::test]
async fn modes_that_forbid_to_go_on() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut kept = Kept::sent_with(|file| {
        fs::set_permissions(file, fs::Permissions::from_mode(0o444)).unwrap();
    })
    .await;
    let finished = kept.area().join("tree/d/one");
    let mode = fs::metadata(&finished).unwrap().permissions().mode();
    assert_eq!(mode & 0o222, 0);
    fs::set_permissions(&finished, fs::Permissions::from_mode(0o0)).unwrap();
    assert!(kept.attempt(usize::MAX).await.unwrap() >= 3 * MIB);
    assert_eq!(snapshot(&kept.out), snapshot(kept.from.path()));
    let mode = |name: &str| {
        let metadata = fs::metadata(kept.out.join("d").join(name)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    // What this offer wants counts, and neither may be written to.
    assert_eq!((mode("one") & 0o333, mode("two") & 0o333), (0, 0));
}

/// The modes of this offer count, not those of the attempt before it.
#[cfg(unix)]
#[tokio::test]
async fn modes_that_changed_in_between() {
    use std::os::unix::fs::PermissionsExt as _;
    let set = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let modes = |d: &Path| {
        ["", "one", "two"].map(|name| {
            let metadata = fs::metadata(d.join(name)).unwrap();
            metadata.permissions().mode() & 0o777
        })
    };
    for [d, one, two] in [
        [0o700, 0o600, 0o600],
        [0o755, 0o755, 0o644],
        [0o750, 0o400, 0o664],
    ] {
        let mut kept = Kept::sent_with(|file| set(file, 0o640)).await;
        let from = kept.from.path().join("d");
        for (name, mode) in [("one", one), ("two", two), ("", d)] {
            set(&from.join(name), mode);
        }
        assert!(kept.attempt(usize::MAX).await.unwrap() >= 3 * MIB);
        // As they would have arrived at once.
        let (_parent, out) = place();
        let (_, whole) = transfer(std::slice::from_ref(&from), options(&out)).await;
        whole.result.unwrap();
        assert_eq!(modes(&kept.out.join("d")), modes(&out.join("d")));
    }
}

#[tokio::test]
async fn what_cannot_be_used_is_listed_and_can_be_discarded() {
    let kept = Kept::new().await;
    let area = kept.area();
    for harm in ["journal", "lock"] {
        let broken = kept.out.join(".peerline/broken00").join(harm);
        fs::create_dir_all(broken.parent().unwrap()).unwrap();
        fs::create_dir_all(area.with_file_name("broken00/tree")).unwrap();
        write(area.with_file_name("broken00/lock"), "").unwrap();
        write(area.with_file_name("broken00/journal"), "x").unwrap();
        write(area.with_file_name("broken00/tree/part"), "x").unwrap();
        fs::remove_file(&broken).unwrap();
        let found = partials(&kept.out).unwrap();
        let one = found
            .iter()
            .find(|one| one.id.as_str() == "broken00")
            .unwrap();
        assert!(
            matches!(one.state, PartialState::Unusable(_)),
            "{harm}: {one:?}"
        );
        discard(&kept.out, &one.id).unwrap();
        assert_eq!(partials(&kept.out).unwrap().len(), 1, "{harm}");
        // It may be killed while it does that, and is repeated.
        let rest = area.with_file_name("broken00.gone");
        fs::create_dir_all(rest.join("tree")).unwrap();
        write(rest.join("tree/part"), "x").unwrap();
        discard(&kept.out, &one.id).unwrap();
        assert!(!rest.exists());
        discard(&kept.out, &one.id).unwrap_err();
    }
}

/// A receiver may be killed when its directory is not complete yet, or not quite removed.
#[tokio::test]
async fn what_has_nothing_in_it_goes_with_the_next_transfer() {
    let mut kept = Kept::new().await;
    let area = kept.area();
    let husks = [
        &[][..],
        &["lock"],
        &["lock", "tree"],
        &["lock", "tree", "journal"],
        &["tree", "journal"],
        &["lock", "journal"],
        // All of it is in place.
        &["lock", "tree", "journal of what was kept"],
    ];
    let husks: Vec<_> = husks
        .iter()
        .enumerate()
        .map(|(number, names)| {
            let husk = area.with_file_name(format!("husk000{number}"));
            create_dir(&husk).unwrap();
            for &name in *names {
                match name {
                    "tree" => create_dir(husk.join(name)).unwrap(),
                    "journal of what was kept" => {
                        fs::copy(area.join("journal"), husk.join("journal")).unwrap();
                    }
                    _ => write(husk.join(name), "").unwrap(),
                }
            }
            husk
        })
        .collect();
    let gone = area.with_file_name("removed0.gone");
    fs::create_dir_all(gone.join("tree")).unwrap();
    write(gone.join("tree/part"), "x").unwrap();
    let listed = partials(&kept.out).unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert!(matches!(listed[0].state, PartialState::Resumable { .. }));
    kept.attempt(usize::MAX).await.unwrap();
    for husk in husks.into_iter().chain([gone]) {
        assert!(!husk.exists(), "{}", husk.display());
    }
    assert!(!kept.out.join(".peerline").exists());
}
