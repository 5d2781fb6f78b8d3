use super::*;
use crate::transfer::manifest::{BlockSize, Entry};
use crate::transfer::safe_path::SafePath;
use proptest::prelude::*;

const MIB: u32 = 1 << 20;

/// 0: directory, 1: three bytes, 2: nothing, 3: a block and five bytes.
fn assembler() -> Assembler {
    let entry = |path, kind| Entry {
        path: SafePath::parse(path).unwrap(),
        kind,
        mtime: None,
        mode: None,
    };
    let entries = vec![
        entry("d", Kind::Directory),
        entry("d/three", Kind::File { size: 3 }),
        entry("d/none", Kind::File { size: 0 }),
        entry(
            "d/two",
            Kind::File {
                size: u64::from(MIB) + 5,
            },
        ),
    ];
    let manifest = Manifest::new("d", BlockSize::for_largest(0), entries).unwrap();
    let (assembler, steps) = Assembler::new(&Arc::new(manifest));
    assert!(matches!(steps[..], [Step::File { file: 2, .. }]));
    assembler
}

fn record(file: u32, block: u32, offset: u32, data: &[u8], digest: Option<Digest>) -> Vec<u8> {
    let flag = u32::from(digest.is_some()) << 31;
    let words = [file, block, offset, flag | data.len() as u32];
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    bytes.extend_from_slice(data);
    bytes.extend(digest.iter().flat_map(|digest| digest.as_bytes()));
    bytes
}

fn whole(file: u32, block: u32, data: &[u8]) -> Vec<u8> {
    record(file, block, 0, data, Some(Digest::of(data)))
}

fn run(assembler: &mut Assembler, message: Vec<u8>) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    match assembler.message(0, message.into(), &mut steps) {
        Ok(()) => Ok(steps),
        Err(TransferError::Protocol(what)) => Err(what),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn blocks_in_any_order_complete_the_transfer() {
    let mut assembler = assembler();
    let steps = run(&mut assembler, whole(3, 1, b"12345")).unwrap();
    assert!(matches!(
        steps[..],
        [
            Step::Write {
                file: 3,
                position: 1_048_576,
                ..
            },
            Step::Verified { bytes: 5, .. }
        ]
    ));
    let big = vec![7; MIB as usize];
    for offset in (0..MIB).step_by(1 << 15) {
        let piece = &big[offset as usize..][..1 << 15];
        let last = (offset + (1 << 15) == MIB).then(|| Digest::of(&big));
        let message = record(3, 0, offset, piece, last);
        let steps = run(&mut assembler, message).unwrap();
        assert_eq!(steps.len(), if last.is_some() { 3 } else { 1 });
    }
    let steps = run(&mut assembler, whole(1, 0, b"abc")).unwrap();
    let blocks = [Digest::of(&big), Digest::of(b"12345")];
    let joined: Vec<u8> = blocks
        .iter()
        .flat_map(|digest| *digest.as_bytes())
        .collect();
    let mut expected = TransferDigest::default();
    expected.directory("d");
    expected.file("d/three", 3, Digest::of(Digest::of(b"abc").as_bytes()));
    expected.file("d/none", 0, Digest::of(b""));
    expected.file("d/two", u64::from(MIB) + 5, Digest::of(&joined));
    assert_eq!(steps.last(), Some(&Step::Complete(expected.finish())));
}

#[test]
fn a_damaged_block_may_come_again() {
    let mut assembler = assembler();
    let bad = record(1, 0, 0, b"abx", Some(Digest::of(b"abc")));
    let id = BlockId { file: 1, block: 0 };
    for _ in 0..2 {
        let steps = run(&mut assembler, bad.clone()).unwrap();
        assert_eq!(steps.last(), Some(&Step::Damaged(id)));
    }
    let steps = run(&mut assembler, whole(1, 0, b"abc")).unwrap();
    assert!(matches!(steps.last(), Some(Step::File { file: 1, .. })));
}

#[test]
fn lanes_carry_different_blocks_and_one_that_ends_gives_its_block_back() {
    let mut assembler = assembler();
    let mut steps = Vec::new();
    let mut message = |assembler: &mut Assembler, lane, message: Vec<u8>| {
        steps.clear();
        assembler
            .message(lane, message.into(), &mut steps)
            .map(|()| steps.len())
    };
    let begin = || record(1, 0, 0, b"ab", None);
    assert_eq!(message(&mut assembler, 1, begin()).unwrap(), 1);
    assert!(message(&mut assembler, 2, whole(3, 1, b"12345")).is_ok());
    let twice = message(&mut assembler, 2, begin()).unwrap_err();
    assert!(matches!(twice, TransferError::Protocol(what) if what == "a block on two lanes"));
    assembler.lane_ended(1);
    assert!(message(&mut assembler, 2, whole(1, 0, b"abc")).is_ok());
    assert!(assembler.is_verified(BlockId { file: 1, block: 0 }));
}

#[test]
fn hostile_records() {
    let digest = Some(Digest::of(b"abc"));
    let cut = whole(1, 0, b"abc")[..20].to_vec();
    let two = [record(1, 0, 0, b"ab", None), record(1, 0, 1, b"bc", digest)].concat();
    let gap = [record(3, 0, 0, b"ab", None), record(3, 0, 3, b"c", None)].concat();
    let mixed = [record(3, 0, 0, b"ab", None), whole(1, 0, b"abc")].concat();
    let twice = [whole(1, 0, b"abc"), whole(1, 0, b"abc")].concat();
    for (name, message, expected) in [
        ("empty message", vec![], "a message without records"),
        ("cut", cut, "a record is cut short"),
        (
            "directory",
            whole(0, 0, b"abc"),
            "data for something not a file",
        ),
        (
            "no such entry",
            whole(4, 0, b"abc"),
            "data for something not a file",
        ),
        (
            "entry u32::MAX",
            whole(u32::MAX, 0, b"a"),
            "data for something not a file",
        ),
        ("size 0", whole(2, 0, b"a"), "a block beyond the file"),
        (
            "no such block",
            whole(1, 1, b"a"),
            "a block beyond the file",
        ),
        (
            "block u32::MAX",
            whole(3, u32::MAX, b"a"),
            "a block beyond the file",
        ),
        (
            "begins late",
            record(3, 0, 5, b"a", None),
            "a gap or an overlap in a block",
        ),
        (
            "offset u32::MAX",
            record(3, 0, u32::MAX, b"a", None),
            "a gap or an overlap in a block",
        ),
        ("overlap", two, "a gap or an overlap in a block"),
        ("gap", gap, "a gap or an overlap in a block"),
        (
            "no data",
            record(1, 0, 0, b"", None),
            "a record without data",
        ),
        (
            "no data, last",
            record(1, 0, 0, b"", digest),
            "a record without data",
        ),
        (
            "too long",
            whole(1, 0, b"abcd"),
            "a block of the wrong length",
        ),
        (
            "too short",
            whole(1, 0, b"ab"),
            "a block of the wrong length",
        ),
        (
            "no digest",
            record(1, 0, 0, b"abc", None),
            "a block of the wrong length",
        ),
        ("interleaved", mixed, "a block began inside another"),
        ("twice", twice, "a block came twice"),
    ] {
        assert_eq!(
            run(&mut assembler(), message),
            Err(expected.to_owned()),
            "{name}"
        );
    }
}

proptest! {
    #[test]
    fn any_message_is_handled_and_writes_stay_inside(
        records in proptest::collection::vec(
            (0u32..5, 0u32..3, 0u32..4, 0usize..8, any::<bool>(), any::<bool>()), 0..12),
        tail in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut assembler = assembler();
        for (file, block, offset, length, last, right) in records {
            let data = vec![1; length];
            let digest = if right { Digest::of(&data) } else { Digest::of(b"") };
            let message = record(file, block, offset, &data, last.then_some(digest));
            let mut steps = Vec::new();
            let result = assembler.message(0, message.into(), &mut steps);
            for step in &steps {
                if let Step::Write { file, position, data } = step {
                    let size = assembler.manifest.entries()[*file as usize].size();
                    prop_assert!(position + data.len() as u64 <= size);
                }
            }
            if result.is_err() {
                return Ok(());
            }
        }
        let _ = assembler.message(0, tail.into(), &mut Vec::new());
    }
}
