use super::super::manifest_builder::ManifestBuilder;
use super::super::message::{ControlMessage, WireEntry, WireKind, entries_messages};
use super::*;
use crate::channel::MAX_MESSAGE;
use proptest::prelude::*;

fn entry(path: &str) -> Entry {
    // A trailing slash marks a directory in these tables.
    let (name, kind) = match path.strip_suffix('/') {
        Some(name) => (name, Kind::Directory),
        None => (path, Kind::File { size: 1 }),
    };
    Entry {
        path: SafePath::parse(name).unwrap(),
        kind,
        mtime: None,
        mode: None,
    }
}

fn manifest(entries: Vec<Entry>) -> Result<Manifest, ManifestError> {
    Manifest::new("test", BlockSize::for_largest(0), entries)
}

fn check(paths: &[&str]) -> &'static str {
    match manifest(paths.iter().map(|path| entry(path)).collect()) {
        Ok(_) => "ok",
        Err(ManifestError::Collision { .. }) => "collision",
        Err(ManifestError::ThroughFile { .. }) => "through file",
        Err(_) => "other",
    }
}

#[test]
fn the_table() {
    for (paths, expected) in [
        (&["a", "b", "c/", "c/a", "d/e/f"][..], "ok"),
        (&["c/a", "c/"], "ok"),
        (&["c/a", "c/b", "c/d/"], "ok"),
        (&["a", "a"], "collision"),
        (&["a/", "a/"], "collision"),
        (&["README", "readme"], "collision"),
        (&["d/README", "d/readme"], "collision"),
        (&["é", "e\u{301}"], "collision"),
        (&["straße", "STRASSE"], "collision"),
        (&["a", "a/"], "collision"),
        (&["a/", "a"], "collision"),
        (&["a", "a/b"], "through file"),
        (&["a/b", "a"], "through file"),
        (&["a", "A/b"], "collision"),
        (&["A/x", "a/y"], "collision"),
        (&["A/", "a/y"], "collision"),
        (&[], "other"),
    ] {
        assert_eq!(check(paths), expected, "{paths:?}");
    }
}

#[test]
fn limits() {
    let many = |count| (0..count).map(|n| entry(&format!("f{n}"))).collect();
    assert!(manifest(many(MAX_ENTRIES)).is_ok());
    assert_eq!(manifest(many(MAX_ENTRIES + 1)), Err(ManifestError::TooMany));

    // 2,000 entries that imply 63 directories each.
    let deep = (0..2_000)
        .map(|n| entry(&format!("{n}{}", "/d".repeat(63))))
        .collect();
    assert_eq!(manifest(deep), Err(ManifestError::TooMany));

    let name = |n: usize| vec![format!("{n:0>250}"); 16].join("/");
    let long = (0..4_200).map(|n| entry(&name(n))).collect();
    assert_eq!(manifest(long), Err(ManifestError::TooLong));

    let sized = |sizes: &[u64]| {
        let file = |(n, size): (usize, &u64)| {
            let kind = Kind::File { size: *size };
            Entry {
                kind,
                ..entry(&n.to_string())
            }
        };
        manifest(sizes.iter().enumerate().map(file).collect())
    };
    let half = MAX_BYTES / 2;
    assert!(sized(&[1 << 50; 8]).is_ok());
    assert_eq!(sized(&[half, half, 1]), Err(ManifestError::TooLarge));
    assert_eq!(sized(&[u64::MAX, u64::MAX]), Err(ManifestError::TooLarge));
}

#[test]
fn block_sizes() {
    assert_eq!(BlockSize::for_largest(1 << 36).bytes(), 1 << 20);
    assert_eq!(BlockSize::for_largest((1 << 36) + 1).bytes(), 1 << 21);
    assert_eq!(BlockSize::for_largest(u64::MAX).bytes(), 1 << 24);
    for bad in [0, 1, 1 << 15, (1 << 20) + 1, 1 << 25] {
        assert_eq!(BlockSize::new(bad), None);
    }
    let manifest = manifest(vec![entry("a")]).unwrap();
    let mib = 1 << 20;
    assert_eq!(manifest.block(0, 0), None);
    assert_eq!(manifest.block(1, 0), Some((0, 1)));
    assert_eq!(manifest.block(2 * mib, 1), Some((mib, 1 << 20)));
    assert_eq!(manifest.block(2 * mib, 2), None);
    assert_eq!(manifest.block(2 * mib + 5, 2), Some((2 * mib, 5)));
    assert_eq!(manifest.block(5, u32::MAX), None);
}

fn collect(offer: Offer, parts: impl Iterator<Item = String>) -> Result<Manifest, ManifestError> {
    let mut builder = ManifestBuilder::new(offer)?;
    for part in parts {
        assert!(part.len() <= MAX_MESSAGE);
        let ControlMessage::Entries { from, entries } = ControlMessage::parse(&part).unwrap()
        else {
            panic!("not entries: {part}")
        };
        builder.push(from, entries)?;
    }
    assert!(builder.is_complete());
    builder.finish()
}

#[test]
fn what_was_announced_must_come() {
    let wire = |path: &str| WireEntry {
        path: path.to_owned(),
        kind: WireKind::File,
        size: Some(1),
        mtime: None,
        mode: Some(0o4755),
    };
    let offer = manifest(vec![entry("a"), entry("b")]).unwrap().offer();
    let start = || ManifestBuilder::new(offer.clone()).unwrap();

    let mut builder = start();
    builder.push(0, vec![wire("a")]).unwrap();
    assert!(!builder.is_complete());
    assert_eq!(builder.push(0, vec![wire("b")]), Err(ManifestError::Counts));
    assert_eq!(builder.push(2, vec![wire("b")]), Err(ManifestError::Counts));
    assert_eq!(builder.push(1, vec![]), Err(ManifestError::Counts));
    assert_eq!(
        builder.push(1, vec![wire("b"), wire("c")]),
        Err(ManifestError::Counts)
    );
    builder.push(1, vec![wire("b")]).unwrap();
    assert_eq!(builder.finish().unwrap().entries()[0].mode, Some(0o755));

    let mut builder = start();
    let directory = WireEntry {
        kind: WireKind::Directory,
        ..wire("b")
    };
    builder.push(0, vec![wire("a"), directory]).unwrap();
    assert_eq!(builder.finish(), Err(ManifestError::Counts));

    let sizeless = WireEntry {
        size: None,
        ..wire("a")
    };
    let error = ManifestError::NoSize {
        path: "a".to_owned(),
    };
    assert_eq!(start().push(0, vec![sizeless]), Err(error));
    let climbing = start().push(0, vec![wire("../a")]);
    assert!(matches!(
        climbing,
        Err(ManifestError::Path {
            reason: PathError::Dots,
            ..
        })
    ));

    for (bad, error) in [
        (
            Offer {
                entries: 100_001,
                files: 100_001,
                ..offer.clone()
            },
            ManifestError::TooMany,
        ),
        (
            Offer {
                entries: u32::MAX,
                ..offer.clone()
            },
            ManifestError::TooMany,
        ),
        (
            Offer {
                entries: 3,
                ..offer.clone()
            },
            ManifestError::Counts,
        ),
        (
            Offer {
                files: u32::MAX,
                directories: 3,
                ..offer.clone()
            },
            ManifestError::Counts,
        ),
        (
            Offer {
                entries: 0,
                files: 0,
                ..offer.clone()
            },
            ManifestError::Empty,
        ),
        (
            Offer {
                bytes: MAX_BYTES + 1,
                ..offer.clone()
            },
            ManifestError::TooLarge,
        ),
        (
            Offer {
                block_size: 0,
                resume: false,
                share: false,
                ..offer.clone()
            },
            ManifestError::BlockSize(0),
        ),
    ] {
        assert_eq!(ManifestBuilder::new(bad).err(), Some(error));
    }
}

proptest! {
    #[test]
    fn a_manifest_survives_the_wire(
        names in proptest::collection::btree_set("[a-z\"é]{1,60}(/[a-z]{2,40}){0,3}", 1..400),
        size in 0u64..1 << 40,
        mtime in proptest::option::of(any::<i64>()),
        mode in proptest::option::of(0u16..0o1000),
    ) {
        let entries = names.iter().filter_map(|name| {
            let path = SafePath::parse(name).ok()?;
            Some(Entry { path, kind: Kind::File { size }, mtime, mode })
        });
        if let Ok(sent) = manifest(entries.collect()) {
            let received = collect(sent.offer(), entries_messages(&sent));
            prop_assert_eq!(received, Ok(sent));
        }
    }

    #[test]
    fn any_entries_are_handled(
        paths in proptest::collection::vec("[aA/.é]{0,6}", 0..20),
        size in any::<Option<u64>>(),
        from in 0u32..3,
    ) {
        let offer = Offer {
            version: 1, title: String::new(), files: 20, directories: 0, bytes: 0, data: None, entries: 20,
            block_size: 1 << 20,
            resume: false,
            share: false,
            stream: false,
        };
        let mut builder = ManifestBuilder::new(offer).unwrap();
        let part = paths.into_iter().map(|path| WireEntry {
            path, kind: WireKind::File, size, mtime: None, mode: None,
        });
        if builder.push(from, part.collect()).is_ok() && builder.is_complete() {
            let _ = builder.finish();
        }
    }
}
