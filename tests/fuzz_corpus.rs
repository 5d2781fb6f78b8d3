//! The kept corpus of `fuzz/`, through the targets, without a fuzzer: seeds and earlier finds. `peer-cli` has a
//! test of its own.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Those of `peer-cli`.
const OTHERS: [&str; 3] = ["command_line", "scenario_file", "stun_datagram"];

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn targets() -> impl Iterator<Item = (&'static str, fn(&[u8]))> {
    let ours = peerline::fuzzing::TARGETS.into_iter();
    ours.chain(signaling_server::fuzzing::TARGETS)
}

#[test]
fn the_kept_corpus_passes() {
    for (name, target) in targets() {
        let kept = fs::read_dir(fuzz().join("corpus").join(name)).expect(name);
        let kept: Vec<_> = kept.map(|entry| entry.unwrap().path()).collect();
        assert!(!kept.is_empty(), "{name} has seeds");
        for path in kept {
            println!("{}", path.display());
            target(&fs::read(path).unwrap());
        }
    }
}

/// A target that is not run, and seeds of none, would go unnoticed.
#[test]
fn targets_and_seeds_belong_together() {
    let names = |directory: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(fuzz().join(directory)).unwrap();
        let names = entries.map(|entry| entry.unwrap().path());
        names
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect()
    };
    let known = targets().map(|(name, _)| name).chain(OTHERS);
    let known: BTreeSet<String> = known.map(str::to_owned).collect();
    assert_eq!(names("fuzz_targets"), known);
    assert_eq!(names("corpus"), known);
    assert!(names("dictionaries").is_subset(&known));
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for name in known {
        let bin = format!("[[bin]]\nname = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"");
        assert!(manifest.contains(&bin), "{name}");
    }
}
