//! Transfers that are interrupted and go on.

use std::fs::{self, create_dir_all, write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use peerline::transfer::{
    Code, Digest, DiscardError, Event, PartialState, TransferId, discard, partials,
};
use proptest::prelude::*;
use tempfile::{TempDir, tempdir};

use crate::harness::*;

const MIB: u64 = 1 << 20;

/// What may be on its way when the connection ends: the window, the sender's queue, and a block.
const IN_FLIGHT: u64 = 7 * MIB;

/// `d/` with a file of 20 MiB and some, small files, an empty one and an empty directory.
fn tree() -> (TempDir, Vec<PathBuf>) {
    let from = tempdir().unwrap();
    let at = |name: &str| from.path().join("d").join(name);
    create_dir_all(at("empty")).unwrap();
    create_dir_all(at("small/er")).unwrap();
    write(at("large"), noise((20 << 20) + 12_345, 1)).unwrap();
    write(at("none"), "").unwrap();
    for n in 0..40 {
        write(at(&format!("small/{n}")), noise(5000 + n, n as u64)).unwrap();
        write(at(&format!("small/er/{n}")), noise(90_000 + n, n as u64)).unwrap();
    }
    let paths = vec![from.path().join("d")];
    (from, paths)
}

/// One attempt, cut after `most` bytes of the lane; what went over it, and how it ended.
async fn attempt(paths: &[PathBuf], out: &Path, most: u64) -> (u64, Side, Side) {
    let mut sent = 0;
    let count = |bytes: Bytes| {
        sent += bytes.len() as u64;
        (sent <= most).then_some(bytes)
    };
    let (sender, receiver) = relayed_transfer(paths, options(out), count, |text| text).await;
    (sent, sender, receiver)
}

fn size(root: &Path) -> u64 {
    let mut bytes = 0;
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        bytes += if path.is_dir() {
            size(&path)
        } else {
            fs::metadata(&path).unwrap().len()
        };
    }
    bytes
}

fn changed(side: &Side) -> Vec<&str> {
    let paths = side.events.iter().filter_map(|event| match event {
        Event::Changed { path } => Some(path.as_str()),
        _ => None,
    });
    paths.collect()
}

fn resumed(side: &Side) -> u64 {
    let bytes = side.events.iter().find_map(|event| match event {
        Event::Resuming { bytes, .. } => Some(*bytes),
        _ => None,
    });
    bytes.unwrap_or_default()
}

/// Whatever the points at which it is cut, it arrives as it was, and little is sent twice.
async fn cut_and_resumed(cuts: &[u64]) {
    let (from, paths) = tree();
    let (_parent, out) = place();
    let total = size(from.path());
    let mut sent_in_all = 0;
    for (number, cut) in cuts.iter().enumerate() {
        let before: u64 = kept(&out).iter().map(|(_, bytes)| bytes).sum();
        let (sent, sender, receiver) = attempt(&paths, &out, *cut).await;
        sent_in_all += sent;
        assert_eq!(resumed(&receiver), before, "cut {number} of {cuts:?}");
        assert_eq!(resumed(&sender), before);
        if receiver.result.is_ok() {
            break;
        }
        assert!(in_place(&out).is_empty());
        assert_eq!(kept(&out), said_kept(&receiver));
    }
    if !out.join("d").exists() {
        let (sent, sender, receiver) = attempt(&paths, &out, u64::MAX).await;
        sent_in_all += sent;
        let (ours, theirs) = (sender.result.unwrap(), receiver.result.unwrap());
        assert_eq!((ours.digest, ours.resumed), (theirs.digest, theirs.resumed));
    }
    assert_eq!(snapshot(&out), snapshot(from.path()));
    // A header and a digest for each record, and what was on its way at each cut.
    let most = total + total / 100 + cuts.len() as u64 * IN_FLIGHT;
    assert!(sent_in_all <= most, "{sent_in_all} of {total}: {cuts:?}");
}

#[tokio::test]
async fn cut_at_the_edges() {
    cut_and_resumed(&[0, 1, 64 << 10, MIB, MIB + 1, 20 * MIB]).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, max_shrink_iters: 4, ..ProptestConfig::default() })]
    #[test]
    fn cut_anywhere(cuts in proptest::collection::vec(0..12 * MIB, 1..5)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(cut_and_resumed(&cuts));
    }
}

/// One file of 8 MiB, of which 5 MiB or so are there.
async fn half() -> (TempDir, PathBuf, TempDir, PathBuf) {
    let from = tempdir().unwrap();
    let file = from.path().join("file");
    write(&file, noise(8 << 20, 1)).unwrap();
    let (parent, out) = place();
    let (_, _, receiver) = attempt(std::slice::from_ref(&file), &out, 6 * MIB).await;
    assert_eq!(receiver.result.unwrap_err().code(), Code::Closed);
    let [(_, bytes)] = kept(&out)[..] else {
        panic!("one transfer is kept")
    };
    assert!((3 * MIB..8 * MIB).contains(&bytes), "{bytes}");
    (from, file, parent, out)
}

fn digest(path: &Path) -> Digest {
    Digest::of(&fs::read(path).unwrap())
}

fn modified(path: &Path) -> SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

fn set_modified(path: &Path, time: SystemTime) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(time).unwrap();
}

#[tokio::test]
async fn a_source_with_other_bytes_under_the_same_size_and_time_is_not_mixed() {
    let (from, file, _parent, out) = half().await;
    let time = modified(&file);
    let mut content = fs::read(&file).unwrap();
    content[(2 << 20) + 7] ^= 1;
    write(&file, &content).unwrap();
    set_modified(&file, time);
    let before = kept(&out)[0].1;
    let (_, sender, receiver) = attempt(&[file], &out, u64::MAX).await;
    assert_eq!(changed(&sender), ["file"]);
    assert_eq!(changed(&receiver), ["file"]);
    assert_eq!(receiver.result.unwrap().resumed, before - MIB);
    sender.result.unwrap();
    assert_eq!(snapshot(&out), snapshot(from.path()));
}

/// What the receiver said stays, as [`kept`] shows it.
fn said_kept(side: &Side) -> Vec<(TransferId, u64)> {
    let left = side.events.iter().filter_map(|event| match event {
        Event::Kept(left) => Some((left.id.clone(), left.bytes)),
        _ => None,
    });
    left.collect()
}

#[tokio::test]
async fn a_source_that_cannot_be_compared_costs_nothing() {
    type Harm = fn(&Path);
    let later =
        |file: &Path| set_modified(file, modified(file) + std::time::Duration::from_secs(9));
    let rows: [(&str, Code, Harm); 3] = [
        ("touched", Code::SourceChanged, later),
        ("gone", Code::SourceChanged, |file| {
            fs::rename(file, file.with_extension("away")).unwrap();
        }),
        ("cut short", Code::SourceChanged, |file| {
            let all = fs::read(file).unwrap();
            write(file.with_extension("away"), all).unwrap();
            let short = fs::File::options().write(true).open(file).unwrap();
            short.set_len(1).unwrap();
        }),
    ];
    for (name, code, harm) in rows {
        let (_from, file, _parent, out) = half().await;
        let (time, earlier) = (modified(&file), kept(&out));
        // The offer is made of what was scanned, so this comes between the scan and the comparison.
        let on_control = |text: String| {
            if text.contains(r#""type":"offer""#) {
                harm(&file);
            }
            text
        };
        let paths = std::slice::from_ref(&file);
        let (sender, receiver) = relayed_transfer(paths, options(&out), Some, on_control).await;
        assert_eq!(sender.result.as_ref().unwrap_err().code(), code, "{name}");
        assert!(changed(&sender).is_empty(), "{name}");
        assert_eq!(kept(&out), earlier, "{name}");
        assert_eq!(said_kept(&receiver), earlier, "{name}");
        assert_eq!(receiver.result.unwrap_err().code(), code, "{name}");

        let away = file.with_extension("away");
        if away.exists() {
            fs::rename(away, &file).unwrap();
        }
        set_modified(&file, time);
        let (_, _, receiver) = attempt(paths, &out, u64::MAX).await;
        assert_eq!(receiver.result.unwrap().resumed, earlier[0].1, "{name}");
        assert_eq!(digest(&out.join("file")), digest(&file), "{name}");
    }
}

/// Whatever a sender says of what is kept, only what it sends takes its place.
#[tokio::test]
async fn what_is_called_changed_stays_until_it_is_written_again() {
    for most in [0, MIB + 4096, 3 * MIB + 4096] {
        let (_from, file, _parent, out) = half().await;
        let (time, earlier, content) = (modified(&file), kept(&out), fs::read(&file).unwrap());
        write(&file, noise(8 << 20, 2)).unwrap();
        set_modified(&file, time);
        let paths = std::slice::from_ref(&file);
        let (_, sender, receiver) = attempt(paths, &out, most).await;
        assert_eq!(changed(&sender), ["file"], "{most}");
        assert_eq!((resumed(&sender), resumed(&receiver)), (0, 0), "{most}");
        assert_eq!(receiver.result.as_ref().unwrap_err().code(), Code::Closed);
        assert_eq!(kept(&out), earlier, "{most}");
        assert_eq!(said_kept(&receiver), earlier, "{most}");

        write(&file, content).unwrap();
        set_modified(&file, time);
        let (_, _, receiver) = attempt(paths, &out, u64::MAX).await;
        let overwritten = most.div_ceil(MIB) * MIB;
        let resumed = receiver.result.unwrap().resumed;
        assert!(resumed + overwritten >= earlier[0].1, "{most}: {resumed}");
        assert_eq!(digest(&out.join("file")), digest(&file), "{most}");
    }
}

#[tokio::test]
async fn a_source_of_another_time_or_size_is_begun_anew() {
    type Change = fn(&Path);
    let changes: [Change; 2] = [
        |file| set_modified(file, modified(file) - std::time::Duration::from_secs(9)),
        |file| {
            let time = modified(file);
            write(file, noise((8 << 20) + 1, 1)).unwrap();
            set_modified(file, time);
        },
    ];
    for change in changes {
        let (from, file, _parent, out) = half().await;
        change(&file);
        let earlier = kept(&out);
        let (_, sender, receiver) = attempt(&[file], &out, u64::MAX).await;
        assert_eq!(changed(&receiver), ["file"]);
        assert_eq!(receiver.result.unwrap().resumed, 0);
        sender.result.unwrap();
        assert_eq!(in_place(&out), snapshot(from.path()));
        // Nobody asked for it to be deleted.
        assert_eq!(kept(&out), earlier);
        discard(&out, &earlier[0].0).unwrap();
        assert!(!out.join(".peerline").exists());
    }
}

#[tokio::test]
async fn a_tree_in_which_some_files_changed() {
    let (from, paths) = tree();
    let (_parent, out) = place();
    let (_, _, receiver) = attempt(&paths, &out, 23 * MIB).await;
    receiver.result.unwrap_err();
    let at = |name: &str| from.path().join("d").join(name);
    write(at("small/0"), "another content").unwrap();
    // The last of all, of which nothing came.
    fs::remove_file(at("small/er/9")).unwrap();
    write(at("added"), noise(100_000, 77)).unwrap();
    fs::remove_file(at("none")).unwrap();
    create_dir_all(at("none/is/a/directory")).unwrap();
    let (_, sender, receiver) = attempt(&paths, &out, u64::MAX).await;
    assert!(receiver.result.unwrap().resumed > 16 * MIB);
    sender.result.unwrap();
    assert_eq!(snapshot(&out), snapshot(from.path()));
}

/// What an offer leaves out may be wanted the next time.
#[tokio::test]
async fn what_is_not_offered_this_time_stays() {
    let from = tempdir().unwrap();
    let at = |name: &str| from.path().join("d").join(name);
    create_dir_all(from.path().join("d")).unwrap();
    write(at("one.raw"), noise(3 << 20, 1)).unwrap();
    write(at("two"), noise(5 << 20, 2)).unwrap();
    let paths = [from.path().join("d")];
    let (_parent, out) = place();
    let (_, _, receiver) = attempt(&paths, &out, 6 * MIB).await;
    receiver.result.unwrap_err();
    let earlier = kept(&out);
    assert!(earlier[0].1 >= 3 * MIB, "{earlier:?}");

    let aside = from.path().join("aside");
    fs::rename(at("one.raw"), &aside).unwrap();
    for most in [MIB, u64::MAX] {
        let (_, _, receiver) = attempt(&paths, &out, most).await;
        assert!(kept(&out).contains(&earlier[0]), "{most}");
        if most == u64::MAX {
            assert!(receiver.result.unwrap().resumed < 5 * MIB);
        }
    }
    assert_eq!(kept(&out), earlier);
    fs::remove_dir_all(out.join("d")).unwrap();

    fs::rename(&aside, at("one.raw")).unwrap();
    let (_, _, receiver) = attempt(&paths, &out, u64::MAX).await;
    assert_eq!(receiver.result.unwrap().resumed, earlier[0].1);
    assert_eq!(snapshot(&out.join("d")), snapshot(&from.path().join("d")));
}

/// A sender that knows nothing of this works as before, and what is kept stays.
#[tokio::test]
async fn a_sender_without_resume() {
    let (from, file, _parent, out) = half().await;
    let earlier = kept(&out);
    let old = |text: String| {
        let offer = text.replace(r#","resume":true"#, "");
        assert!(!offer.contains("resume"));
        offer
    };
    let (sender, receiver) = relayed_transfer(&[file], options(&out), Some, old).await;
    sender.result.unwrap();
    assert_eq!(receiver.result.unwrap().resumed, 0);
    assert_eq!(in_place(&out), snapshot(from.path()));
    assert_eq!(kept(&out), earlier);
}

/// More kept blocks than one message can name, some of them changed here and there.
#[tokio::test]
async fn a_great_many_small_files() {
    let from = tempdir().unwrap();
    create_dir_all(from.path().join("d")).unwrap();
    let at = |n: u64| from.path().join(format!("d/{n:04}"));
    for n in 0..3000 {
        write(at(n), noise(3000, n)).unwrap();
    }
    let paths = [from.path().join("d")];
    let (_parent, out) = place();
    let (_, _, receiver) = attempt(&paths, &out, 8 * MIB).await;
    receiver.result.unwrap_err();
    let had = kept(&out)[0].1;
    assert!(had > 2000 * 3000, "{had}");
    for n in (0..2000).step_by(50) {
        let time = modified(&at(n));
        write(at(n), noise(3000, n + 1_000_000)).unwrap();
        set_modified(&at(n), time);
    }
    let (_, sender, receiver) = attempt(&paths, &out, u64::MAX).await;
    assert_eq!((changed(&sender).len(), changed(&receiver).len()), (40, 40));
    assert_eq!(receiver.result.unwrap().resumed, had - 40 * 3000);
    assert_eq!(sender.result.unwrap().resumed, had - 40 * 3000);
    assert_eq!(snapshot(&out), snapshot(from.path()));
}

#[tokio::test]
async fn one_transfer_at_a_time_works_in_one_place() {
    let (from, file, _parent, out) = half().await;
    let [(id, _)] = &kept(&out)[..] else { panic!() };
    let (near, far) = channels();
    let (mut waiting, stalled) = channels();
    let first = run_receiver(stalled, options(&out));
    let second = async {
        // The first has told what it has, so it holds the lock until it is hung up.
        let source = scan(std::slice::from_ref(&file));
        let manifest = source.manifest().clone();
        let path = manifest.entries()[0].path.as_str().to_owned();
        let mtime = manifest.entries()[0].mtime.unwrap();
        let mode = manifest.entries()[0]
            .mode
            .map_or(String::new(), |mode| format!(r#","mode":{mode}"#));
        let offer = r#"{"type":"offer","version":1,"title":"file","files":1,"directories":0,"bytes":8388608,"entries":1,"blockSize":1048576,"resume":true}"#;
        waiting.control.send_text(offer.to_owned()).await.unwrap();
        let entries = format!(
            r#"{{"type":"entries","from":0,"entries":[{{"path":"{path}","kind":"file","size":8388608,"mtime":{mtime}{mode}}}]}}"#
        );
        waiting.control.send_text(entries).await.unwrap();
        let Some(peerline::channel::Message::Text(have)) = waiting.control.recv().await else {
            panic!("it says what it has")
        };
        assert!(
            have.contains(r#""type":"have""#) && have.contains(r#""last":true"#),
            "{have}"
        );
        let found = partials(&out).unwrap();
        assert!(matches!(found[..], [ref one] if matches!(one.state, PartialState::InUse)));
        assert!(matches!(discard(&out, id), Err(DiscardError::InUse(_))));
        let sides = tokio::join!(run_sender(near, source), run_receiver(far, options(&out)));
        drop(waiting);
        sides
    };
    let (first, (sender, receiver)) = deadline(async { tokio::join!(first, second) }).await;
    assert_eq!(first.result.unwrap_err().code(), Code::Closed);
    sender.result.unwrap();
    assert_eq!(receiver.result.unwrap().resumed, 0);
    assert_eq!(in_place(&out), snapshot(from.path()));
    assert_eq!(kept(&out).len(), 1);
}

#[tokio::test]
async fn unfinished_transfers_are_listed_and_discarded() {
    let (_from, _file, _parent, out) = half().await;
    let found = partials(&out).unwrap();
    let PartialState::Resumable {
        manifest, changed, ..
    } = &found[0].state
    else {
        panic!("{found:?}")
    };
    assert_eq!((manifest.title(), manifest.bytes()), ("file", 8 * MIB));
    assert!(changed.unwrap() <= SystemTime::now());
    discard(&out, &found[0].id).unwrap();
    assert!(matches!(
        discard(&out, &found[0].id),
        Err(DiscardError::Missing(_))
    ));
    assert!(snapshot(&out).is_empty());
    assert!(partials(&out.join("missing")).unwrap().is_empty());
}
