//! What is already in the target directory, and disks that say no.

use std::fs::{self, create_dir, create_dir_all, write};
use std::path::{Path, PathBuf};

use peerline::transfer::{Code, Decision, Fault, Manifest, TransferError, receive};
use tempfile::{TempDir, tempdir};
use tokio_util::sync::CancellationToken;

use crate::harness::*;

/// `d/`, `d/new`, `d/old`, `d/sub/`, `d/sub/x` and `f`.
fn source() -> (TempDir, Vec<PathBuf>) {
    let from = tempdir().unwrap();
    create_dir_all(from.path().join("d/sub")).unwrap();
    for name in ["d/new", "d/old", "d/sub/x", "f"] {
        write(from.path().join(name), format!("sent {name}")).unwrap();
    }
    let paths = vec![from.path().join("d"), from.path().join("f")];
    (from, paths)
}

fn read(path: PathBuf) -> String {
    fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn nothing_is_replaced_unless_asked() {
    let (_from, paths) = source();
    for existing in ["f", "d"] {
        let (parent, out) = place();
        match existing {
            "f" => write(out.join("f"), "mine").unwrap(),
            _ => create_dir(out.join("d")).unwrap(),
        }
        let before = snapshot(parent.path());
        let (sender, receiver) = transfer(&paths, options(&out)).await;
        let error = receiver.result.unwrap_err();
        assert_eq!((error.code(), error.fault()), (Code::Exists, Fault::Us));
        assert_eq!(sender.result.unwrap_err().code(), Code::Exists);
        assert!(receiver.events.is_empty(), "the user is not even asked");
        assert_eq!(snapshot(parent.path()), before);
    }
}

#[tokio::test]
async fn with_overwrite_directories_are_merged() {
    let (_from, paths) = source();
    let (_parent, out) = place();
    create_dir_all(out.join("d/kept")).unwrap();
    write(out.join("d/old"), "mine, and longer than what comes").unwrap();
    write(out.join("d/kept/y"), "mine").unwrap();
    write(out.join("f"), "mine").unwrap();
    fs::hard_link(out.join("f"), out.join("other name of f")).unwrap();
    let (sender, receiver) = transfer(&paths, overwrite(&out)).await;
    assert_eq!(
        sender.result.unwrap().digest,
        receiver.result.unwrap().digest
    );
    for (name, content) in [
        ("d/new", "sent d/new"),
        ("d/old", "sent d/old"),
        ("d/sub/x", "sent d/sub/x"),
        ("d/kept/y", "mine"),
        ("f", "sent f"),
        ("other name of f", "mine"),
    ] {
        assert_eq!(read(out.join(name)), content, "{name}");
    }
    assert!(!out.join(".peerline").exists());
}

/// Something appears after the user was asked: the last check decides, and what was moved is moved
/// back.
#[tokio::test]
async fn a_file_that_appears_meanwhile_is_kept() {
    let (_from, paths) = source();
    let (parent, out) = place();
    let (near, far) = channels();
    let receiver = observe(async |events| {
        let decide = async |_: &Manifest| {
            write(out.join("f"), "just made").unwrap();
            Decision::Accept
        };
        receive(far, options(&out), decide, events, CancellationToken::new()).await
    });
    let sides = async { tokio::join!(run_sender(near, scan(&paths)), receiver) };
    let (sender, receiver) = deadline(sides).await;
    assert_eq!(receiver.result.unwrap_err().code(), Code::Exists);
    assert_eq!(sender.result.unwrap_err().code(), Code::Exists);
    assert_eq!(
        in_place(&out).into_keys().collect::<Vec<_>>(),
        [PathBuf::from("f")]
    );
    assert_eq!(read(out.join("f")), "just made");
    // Everything had arrived: once the file is out of the way, nothing is sent again.
    assert_eq!(kept(&out).len(), 1);
    let mut sent = 0;
    let count = |bytes: bytes::Bytes| {
        sent += bytes.len();
        Some(bytes)
    };
    let (_, receiver) = relayed_transfer(&paths, overwrite(&out), count, |text| text).await;
    receiver.result.unwrap();
    assert_eq!((sent, read(out.join("f"))), (0, "sent f".to_owned()));
    assert!(!out.join(".peerline").exists());
    drop(parent);
}

#[tokio::test]
async fn a_target_that_is_no_directory() {
    let (_from, paths) = source();
    let (parent, out) = place();
    for bad in [out.join("missing"), parent.path().join("neighbour")] {
        let before = snapshot(parent.path());
        let (sender, receiver) = transfer(&paths, options(&bad)).await;
        let error = receiver.result.unwrap_err();
        assert!(
            matches!(&error, TransferError::Io { path, .. } if *path == bad),
            "{error}"
        );
        assert_eq!(sender.result.unwrap_err().code(), Code::Io);
        assert_eq!(snapshot(parent.path()), before);
    }
}

#[cfg(unix)]
mod unix {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::os::unix::fs::symlink;
    use std::process::Command;

    fn make_fifo(path: &Path) {
        mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap();
    }

    /// What is in the way cannot be replaced, whatever the user said.
    #[tokio::test]
    async fn things_that_are_never_replaced() {
        type Prepare = fn(&Path, &Path);
        let cases: [(&str, Prepare); 8] = [
            ("fifo for a file", |out, _| make_fifo(&out.join("f"))),
            ("fifo for a directory", |out, _| make_fifo(&out.join("d"))),
            ("fifo inside", |out, _| {
                create_dir(out.join("d")).unwrap();
                make_fifo(&out.join("d/new"));
            }),
            ("directory for a file", |out, _| {
                create_dir(out.join("f")).unwrap()
            }),
            ("file for a directory", |out, _| {
                write(out.join("d"), "mine").unwrap()
            }),
            ("link for a directory", |out, outside| {
                symlink(outside, out.join("d")).unwrap()
            }),
            ("link inside, for a directory", |out, outside| {
                create_dir(out.join("d")).unwrap();
                symlink(outside, out.join("d/sub")).unwrap();
            }),
            ("link to a directory within", |out, _| {
                create_dir(out.join("e")).unwrap();
                symlink("e", out.join("d")).unwrap();
            }),
        ];
        let (_from, paths) = source();
        for (name, prepare) in cases {
            let (parent, out) = place();
            let outside = parent.path().join("outside");
            create_dir(&outside).unwrap();
            prepare(&out, &outside);
            let before = snapshot(parent.path());
            let (sender, receiver) = transfer(&paths, overwrite(&out)).await;
            assert_eq!(receiver.result.unwrap_err().code(), Code::Exists, "{name}");
            assert_eq!(sender.result.unwrap_err().code(), Code::Exists, "{name}");
            assert_eq!(snapshot(parent.path()), before, "{name}");
        }
    }

    #[tokio::test]
    async fn a_link_is_replaced_and_not_followed() {
        let (_from, paths) = source();
        for target in ["../outside", "../nowhere", "/dev/full"] {
            let (parent, out) = place();
            write(parent.path().join("outside"), "mine").unwrap();
            symlink(target, out.join("f")).unwrap();
            let (_, receiver) = transfer(&paths, options(&out)).await;
            assert_eq!(
                receiver.result.unwrap_err().code(),
                Code::Exists,
                "{target}"
            );
            let (_, receiver) = transfer(&paths, overwrite(&out)).await;
            receiver.result.unwrap();
            assert!(!fs::symlink_metadata(out.join("f")).unwrap().is_symlink());
            assert_eq!(read(out.join("f")), "sent f");
            assert_eq!(read(parent.path().join("outside")), "mine");
            assert!(!parent.path().join("nowhere").exists());
        }
    }

    /// A link swapped in after the checks, for a file, a directory and the staging area.
    #[tokio::test]
    async fn a_link_that_appears_meanwhile_leads_nowhere() {
        let (_from, paths) = source();
        for (link, expected) in [
            ("f", None),
            ("d", Some(Code::Exists)),
            (".peerline", Some(Code::Io)),
        ] {
            let (parent, out) = place();
            let outside = parent.path().join("outside");
            create_dir(&outside).unwrap();
            write(outside.join("f"), "mine").unwrap();
            let before = snapshot(&outside);
            let (near, far) = channels();
            let receiver = observe(async |events| {
                let decide = async |_: &Manifest| {
                    let target = if link == "f" {
                        outside.join("f")
                    } else {
                        outside.clone()
                    };
                    symlink(target, out.join(link)).unwrap();
                    Decision::Accept
                };
                receive(
                    far,
                    overwrite(&out),
                    decide,
                    events,
                    CancellationToken::new(),
                )
                .await
            });
            let sides = async { tokio::join!(run_sender(near, scan(&paths)), receiver) };
            let (_, receiver) = deadline(sides).await;
            assert_eq!(
                receiver.result.err().map(|error| error.code()),
                expected,
                "{link}"
            );
            assert_eq!(snapshot(&outside), before, "{link}");
        }
    }

    /// A file system of 1 MiB, where this user may mount one.
    struct SmallDisk(TempDir);

    impl SmallDisk {
        fn mount() -> Option<Self> {
            let dir = tempdir().unwrap();
            let mut mount = Command::new("mount");
            mount
                .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
                .arg(dir.path());
            let mounted = mount.output().is_ok_and(|output| output.status.success());
            if !mounted {
                eprintln!("not allowed to mount: the unit test of the space check has to do");
            }
            mounted.then_some(Self(dir))
        }

        fn make_read_only(&self) {
            let mut mount = Command::new("mount");
            mount.args(["-o", "remount,ro"]).arg(self.0.path());
            assert!(mount.status().unwrap().success());
        }
    }

    impl Drop for SmallDisk {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg(self.0.path()).status();
        }
    }

    #[tokio::test]
    async fn too_large_for_the_disk() {
        let Some(disk) = SmallDisk::mount() else {
            return;
        };
        let out = disk.0.path();
        let from = tempdir().unwrap();
        let file = from.path().join("file");
        write(&file, noise(2 << 20, 1)).unwrap();
        let (sender, receiver) = transfer(std::slice::from_ref(&file), options(out)).await;
        let error = receiver.result.unwrap_err();
        assert!(matches!(error, TransferError::NoSpace { needed, free, .. } if needed > free));
        assert!(receiver.events.is_empty(), "the user is not even asked");
        assert_eq!(sender.result.unwrap_err().code(), Code::NoSpace);

        // The space goes away after the check.
        write(&file, noise(900 << 10, 1)).unwrap();
        let (near, far) = channels();
        let receiver = observe(async |events| {
            let decide = async |_: &Manifest| {
                write(out.join("filler"), noise(500 << 10, 2)).unwrap();
                Decision::Accept
            };
            receive(far, options(out), decide, events, CancellationToken::new()).await
        });
        let sides = async { tokio::join!(run_sender(near, scan(&[file])), receiver) };
        let (sender, receiver) = deadline(sides).await;
        assert_eq!(receiver.result.unwrap_err().code(), Code::NoSpace);
        assert_eq!(sender.result.unwrap_err().code(), Code::NoSpace);
        assert_eq!(snapshot(out).len(), 1, "only the filler is left");
    }

    #[tokio::test]
    async fn a_read_only_disk() {
        let Some(disk) = SmallDisk::mount() else {
            return;
        };
        disk.make_read_only();
        let (_from, paths) = source();
        let (sender, receiver) = transfer(&paths, options(disk.0.path())).await;
        let error = receiver.result.unwrap_err();
        assert_eq!(
            (error.code(), error.fault(), error.retry()),
            (Code::Io, Fault::Us, false)
        );
        assert!(error.to_string().contains("Read-only"), "{error}");
        assert_eq!(sender.result.unwrap_err().code(), Code::Io);
    }
}

/// Transfers into one directory at the same time share the staging area.
#[tokio::test]
async fn two_at_once() {
    let (_from, paths) = source();
    let (_parent, out) = place();
    let [directory, file] = &paths[..] else {
        panic!()
    };
    let (one, other) = tokio::join!(
        transfer(std::slice::from_ref(directory), options(&out)),
        transfer(std::slice::from_ref(file), options(&out))
    );
    one.1.result.unwrap();
    other.1.result.unwrap();
    assert_eq!(read(out.join("f")), "sent f");
    assert_eq!(read(out.join("d/sub/x")), "sent d/sub/x");
    assert!(!out.join(".peerline").exists());
}
