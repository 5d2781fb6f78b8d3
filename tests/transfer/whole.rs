//! Transfers that succeed, or that a user or a disk ends.

use std::fs::{self, create_dir, create_dir_all, write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use peerline::transfer::{
    Code, Decision, Digest, Event, Fault, Manifest, TransferError, receive, send,
};
use sha2::Digest as _;
use tempfile::tempdir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::harness::*;

#[tokio::test]
async fn a_tree_arrives_as_it_was() {
    let from = tempdir().unwrap();
    let at = |name: &str| from.path().join(name);
    create_dir_all(at("tree/deep/er/empty")).unwrap();
    write(at("tree/none"), "").unwrap();
    write(at("tree/deep/small"), "abc").unwrap();
    write(at("tree/deep/er/odd"), noise(3 * (1 << 20) + 12_345, 1)).unwrap();
    write(at("tree/exact"), noise(2 << 20, 2)).unwrap();
    for name in [
        "-rf",
        " leading",
        "quote\"'",
        "日本語.txt",
        "e\u{301}",
        "*?<>|",
        "~",
        "..x",
        "😀",
    ] {
        write(at("tree").join(name), name).unwrap();
    }
    write(at("single"), noise(70_000, 3)).unwrap();
    let (parent, out) = place();

    let (sender, receiver) = transfer(&[at("tree"), at("single")], options(&out)).await;
    let (sent, received) = (sender.result.unwrap(), receiver.result.unwrap());
    assert_eq!(snapshot(&out), snapshot(from.path()));
    assert_eq!(
        (sent.digest, sent.bytes, sent.files),
        (received.digest, received.bytes, received.files)
    );
    assert_eq!((sent.files, sent.directories), (14, 4));
    assert_eq!(
        fs::read(parent.path().join("neighbour")).unwrap(),
        b"untouched"
    );
    for events in [sender.events, receiver.events] {
        assert!(matches!(events[0], Event::Offered(_)) && matches!(events[1], Event::Accepted));
        let files = events
            .iter()
            .filter(|event| matches!(event, Event::File { .. }))
            .count();
        assert_eq!(files, 14);
    }
}

/// Section 5.4 once more, by hand.
#[tokio::test]
async fn the_digest_is_the_one_of_the_protocol() {
    let sha = |bytes: &[u8]| -> [u8; 32] { sha2::Sha256::digest(bytes).into() };
    let from = tempdir().unwrap();
    let content = noise((1 << 20) + 7, 4);
    create_dir(from.path().join("d")).unwrap();
    write(from.path().join("d/f"), &content).unwrap();
    let (_parent, out) = place();

    let (_, receiver) = transfer(&[from.path().join("d")], options(&out)).await;
    let blocks = [sha(&content[..1 << 20]), sha(&content[1 << 20..])].concat();
    let mut all = b"\x02\0\0\0\x01d\x01\0\0\0\x03d/f".to_vec();
    all.extend((content.len() as u64).to_be_bytes());
    all.extend(sha(&blocks));
    assert_eq!(receiver.result.unwrap().digest, Digest::from(sha(&all)));
    let file = receiver.events.iter().find_map(|event| match event {
        Event::File { path, digest, .. } if path == "d/f" => Some(*digest),
        _ => None,
    });
    assert_eq!(file, Some(Digest::from(sha(&blocks))));
}

#[tokio::test]
async fn ten_thousand_small_files() {
    let from = tempdir().unwrap();
    for directory in 0..100 {
        let path = from.path().join(format!("many/{directory}"));
        create_dir_all(&path).unwrap();
        for file in 0..100 {
            write(
                path.join(file.to_string()),
                noise(4096, directory * 100 + file),
            )
            .unwrap();
        }
    }
    let (_parent, out) = place();
    let (sender, receiver) = transfer(&[from.path().join("many")], options(&out)).await;
    assert_eq!(
        sender.result.unwrap().digest,
        receiver.result.unwrap().digest
    );
    assert_eq!(snapshot(&out), snapshot(from.path()));
}

#[tokio::test]
async fn only_empty_things() {
    let from = tempdir().unwrap();
    create_dir(from.path().join("directory")).unwrap();
    write(from.path().join("file"), "").unwrap();
    for name in ["directory", "file"] {
        let (_parent, out) = place();
        let (sender, receiver) = transfer(&[from.path().join(name)], options(&out)).await;
        assert_eq!(
            sender.result.unwrap().digest,
            receiver.result.unwrap().digest
        );
        assert_eq!(snapshot(&out).len(), 1);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn times_and_modes_are_kept() {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let from = tempdir().unwrap();
    let at = |name: &str| from.path().join(name);
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let set_mode =
        |path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let set_time = |path, seconds: i64| {
        let distance = Duration::from_secs(seconds.unsigned_abs());
        let epoch = SystemTime::UNIX_EPOCH;
        let time = if seconds < 0 {
            epoch - distance
        } else {
            epoch + distance
        };
        fs::File::open(path).unwrap().set_modified(time).unwrap();
    };
    // What the umask takes away depends on who runs this.
    let mut all = fs::OpenOptions::new();
    all.write(true).create_new(true).mode(0o777);
    drop(all.open(at("all")).unwrap());
    let allowed = mode(at("all"));
    create_dir(at("d")).unwrap();
    for (name, bits) in [
        ("run", 0o755),
        ("plain", 0o644),
        ("mine", 0o600),
        ("still", 0o444),
        ("suid", 0o4755),
    ] {
        write(at("d").join(name), name).unwrap();
        set_mode(at("d").join(name), bits);
    }
    set_time(at("d/run"), 1_000_000_000);
    set_time(at("d/plain"), -86_400);
    set_mode(at("d"), 0o555);
    set_time(at("d"), 2_000_000_000);
    let (_parent, out) = place();

    let (_, receiver) = transfer(&[at("d")], options(&out)).await;
    receiver.result.unwrap();
    for (name, expected) in [
        ("run", 0o755),
        ("plain", 0o644),
        ("mine", 0o600),
        ("still", 0o444),
        ("suid", 0o755),
    ] {
        let received = mode(out.join("d").join(name));
        assert_eq!(received, expected & allowed, "{name}");
    }
    // Its owner may always write to a directory.
    assert_eq!(mode(out.join("d")), 0o755 & allowed);
    for name in ["d", "d/run", "d/plain"] {
        let time = |path: PathBuf| fs::metadata(path).unwrap().modified().unwrap();
        assert_eq!(time(out.join(name)), time(at(name)), "{name}");
    }
}

#[tokio::test]
async fn a_damaged_block_is_sent_again() {
    let from = tempdir().unwrap();
    let file = from.path().join("file");
    write(&file, noise(5 << 20, 5)).unwrap();
    let (_parent, out) = place();
    let mut count = 0;
    let (sender, receiver) =
        tampered_transfer(std::slice::from_ref(&file), options(&out), |message| {
            count += 1;
            if count == 20 {
                flip(&message, 5_000)
            } else {
                message
            }
        })
        .await;
    assert_eq!(
        sender.result.unwrap().digest,
        receiver.result.unwrap().digest
    );
    assert_eq!(snapshot(&out), snapshot(from.path()));
    for events in [sender.events, receiver.events] {
        let resent = events
            .iter()
            .filter(|event| matches!(event, Event::Resent { block: 1, .. }));
        assert_eq!(resent.count(), 1);
    }
}

#[tokio::test]
async fn a_block_that_stays_damaged_ends_the_transfer() {
    let from = tempdir().unwrap();
    let file = from.path().join("file");
    write(&file, noise(1000, 6)).unwrap();
    let (parent, out) = place();
    let before = snapshot(parent.path());
    let mut sent = 0;
    let (sender, receiver) =
        tampered_transfer(std::slice::from_ref(&file), options(&out), |message| {
            sent += 1;
            flip(&message, 500)
        })
        .await;
    let error = receiver.result.unwrap_err();
    assert_eq!(
        (error.code(), error.fault(), error.retry()),
        (Code::BadBlock, Fault::Path, true)
    );
    assert_eq!(sender.result.unwrap_err().code(), Code::BadBlock);
    assert_eq!(sent, 4, "once, and three times more");
    assert_eq!(snapshot(parent.path()), before);
}

fn flip(message: &bytes::Bytes, at: usize) -> bytes::Bytes {
    let mut bytes = message.to_vec();
    bytes[at] ^= 1;
    bytes.into()
}

#[tokio::test]
async fn a_user_declines() {
    let from = tempdir().unwrap();
    write(from.path().join("file"), "x").unwrap();
    let (parent, out) = place();
    let before = snapshot(parent.path());
    let (near, far) = channels();
    let receiver = observe(async |events| {
        let decide = async |manifest: &Manifest| {
            assert_eq!((manifest.title(), manifest.bytes()), ("file", 1));
            assert!(
                !out.join(".peerline").exists(),
                "nothing is created before consent"
            );
            Decision::Decline("not today".to_owned())
        };
        receive(far, options(&out), decide, events, CancellationToken::new()).await
    });
    let source = scan(&[from.path().join("file")]);
    let (sender, receiver) =
        deadline(async { tokio::join!(run_sender(near, source), receiver) }).await;
    let error = sender.result.unwrap_err();
    assert_eq!((error.code(), error.fault()), (Code::Declined, Fault::Peer));
    assert_eq!(error.to_string(), "declined: not today");
    let error = receiver.result.unwrap_err();
    assert_eq!((error.code(), error.fault()), (Code::Declined, Fault::Us));
    assert_eq!(snapshot(parent.path()), before);
}

/// Cancels one side when the nth event of that side arrives.
async fn cancelled_at(event: usize, sender_cancels: bool) {
    let from = tempdir().unwrap();
    create_dir(from.path().join("d")).unwrap();
    for n in 0..20 {
        write(from.path().join(format!("d/{n}")), noise(1 << 20, n)).unwrap();
    }
    let (parent, out) = place();
    let before = snapshot(parent.path());
    let (near, far) = channels();
    let source = scan(&[from.path().join("d")]);
    let (calm, hasty) = (CancellationToken::new(), CancellationToken::new());
    let (events, mut happening) = mpsc::channel(1);
    let (quiet, _) = mpsc::channel(1);
    let trigger = async {
        for _ in 0..event {
            happening.recv().await;
        }
        hasty.cancel();
        while happening.recv().await.is_some() {}
    };
    let (sent, received, ()) = deadline(async {
        if sender_cancels {
            let receiver = receive(far, options(&out), accept, quiet, calm.clone());
            tokio::join!(send(near, source, events, hasty.clone()), receiver, trigger)
        } else {
            let receiver = receive(far, options(&out), accept, events, hasty.clone());
            tokio::join!(send(near, source, quiet, calm.clone()), receiver, trigger)
        }
    })
    .await;
    let (ours, theirs) = if sender_cancels {
        (sent, received)
    } else {
        (received, sent)
    };
    assert!(
        matches!(ours, Err(TransferError::Cancelled)),
        "{event}: {ours:?}"
    );
    assert!(
        matches!(
            theirs,
            Err(TransferError::Peer {
                code: Code::Cancelled,
                ..
            })
        ),
        "{event}: {theirs:?}"
    );
    // Nothing is in place; what was verified is kept, and nothing is left where nothing was.
    assert_eq!(in_place(parent.path()), before, "{event}");
    let kept = kept(&out);
    assert!(
        kept.iter().all(|(_, bytes)| (1..=20 << 20).contains(bytes)),
        "{event}: {kept:?}"
    );
    assert_eq!(out.join(".peerline").exists(), !kept.is_empty(), "{event}");
}

#[tokio::test]
async fn a_user_cancels_at_any_time() {
    for event in [0, 1, 2, 3, 8, 15] {
        cancelled_at(event, true).await;
        cancelled_at(event, false).await;
    }
}

#[tokio::test]
async fn a_source_that_changes_is_not_sent() {
    type Change = fn(&std::path::Path);
    let changes: [(&str, Change); 4] = [
        ("removed", |file| fs::remove_file(file).unwrap()),
        ("shorter", |file| {
            fs::File::options()
                .write(true)
                .open(file)
                .unwrap()
                .set_len(5)
                .unwrap()
        }),
        ("longer", |file| write(file, noise(3 << 20, 9)).unwrap()),
        ("newer", |file| {
            let later = SystemTime::now() + Duration::from_secs(5);
            fs::File::open(file).unwrap().set_modified(later).unwrap();
        }),
    ];
    for (name, change) in changes {
        let from = tempdir().unwrap();
        let file = from.path().join("file");
        write(&file, noise(2 << 20, 8)).unwrap();
        let source = scan(std::slice::from_ref(&file));
        change(&file);
        let (parent, out) = place();
        let before = snapshot(parent.path());
        let (near, far) = channels();
        let sides =
            async { tokio::join!(run_sender(near, source), run_receiver(far, options(&out))) };
        let (sender, receiver) = deadline(sides).await;
        let error = sender.result.unwrap_err();
        assert_eq!(
            (error.code(), error.retry()),
            (Code::SourceChanged, true),
            "{name}"
        );
        assert_eq!(
            receiver.result.unwrap_err().code(),
            Code::SourceChanged,
            "{name}"
        );
        assert_eq!(snapshot(parent.path()), before, "{name}");
    }
}

/// The file is cut while it is being sent: a queue that nobody reads holds the sender in the
/// middle.
#[tokio::test]
async fn a_source_that_changes_while_it_is_sent() {
    let from = tempdir().unwrap();
    let file = from.path().join("file");
    write(&file, noise(16 << 20, 10)).unwrap();
    let (_parent, out) = place();
    let mut first = true;
    let (sender, receiver) =
        tampered_transfer(std::slice::from_ref(&file), options(&out), |message| {
            // No more than 6 MiB fit into the queues, so the end has not been read.
            if std::mem::take(&mut first) {
                fs::File::options()
                    .write(true)
                    .open(&file)
                    .unwrap()
                    .set_len(15 << 20)
                    .unwrap();
            }
            message
        })
        .await;
    assert_eq!(sender.result.unwrap_err().code(), Code::SourceChanged);
    assert_eq!(receiver.result.unwrap_err().code(), Code::SourceChanged);
    assert!(in_place(&out).is_empty());
}

/// Both futures must be fit for `tokio::spawn`, as a session needs them.
#[tokio::test]
async fn transfers_can_be_spawned() {
    let from = tempdir().unwrap();
    write(from.path().join("file"), "x").unwrap();
    let (_parent, out) = place();
    let (near, far) = channels();
    let (events, _) = mpsc::channel(1);
    let source = scan(&[from.path().join("file")]);
    let sending = tokio::spawn(send(near, source, events.clone(), CancellationToken::new()));
    let receiving = tokio::spawn(receive(
        far,
        options(&out),
        async |_: &Manifest| Decision::Accept,
        events,
        CancellationToken::new(),
    ));
    deadline(sending).await.unwrap().unwrap();
    deadline(receiving).await.unwrap().unwrap();
}
