use super::*;
use std::fs::{create_dir, create_dir_all, write};
use tempfile::{TempDir, tempdir};

fn paths(source: &Source) -> Vec<&str> {
    source
        .manifest()
        .entries()
        .iter()
        .map(|entry| entry.path.as_str())
        .collect()
}

fn tree() -> TempDir {
    let dir = tempdir().unwrap();
    create_dir_all(dir.path().join("top/b/empty")).unwrap();
    write(dir.path().join("top/b/x"), "12").unwrap();
    write(dir.path().join("top/a"), "").unwrap();
    write(dir.path().join("single"), "123").unwrap();
    dir
}

#[test]
fn directories_are_walked_in_order() {
    let dir = tree();
    let source = Source::scan(&[dir.path().join("single"), dir.path().join("top")]).unwrap();
    assert_eq!(
        paths(&source),
        ["single", "top", "top/a", "top/b", "top/b/empty", "top/b/x"]
    );
    let manifest = source.manifest();
    assert_eq!(
        (manifest.files(), manifest.directories(), manifest.bytes()),
        (3, 3, 5)
    );
    assert_eq!(manifest.title(), "single and 1 more");
    for (index, expected) in [(0, "single"), (1, "top"), (2, "top/a"), (5, "top/b/x")] {
        assert_eq!(source.path(index), dir.path().join(expected));
    }
    assert!(source.open(5).unwrap().is_some());
}

#[test]
fn dots_get_the_name_of_the_directory() {
    let dir = tree();
    for (path, first) in [
        ("top/.", "top"),
        ("top/b/..", "top"),
        ("top/b/../b", "b"),
        ("top/", "top"),
    ] {
        let source = Source::scan(&[dir.path().join(path)]).unwrap();
        assert_eq!(paths(&source)[0], first, "{path}");
    }
    assert_eq!(arriving_name(Path::new("/")).unwrap().as_str(), "root");
    let here = std::env::current_dir().unwrap();
    let here = here.file_name().unwrap().to_str().unwrap();
    assert_eq!(arriving_name(Path::new(".")).unwrap().as_str(), here);
}

#[test]
fn a_changed_file_is_not_opened() {
    let dir = tree();
    let path = dir.path().join("single");
    let source = Source::scan(std::slice::from_ref(&path)).unwrap();
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let set = |time| {
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(time)
            .unwrap()
    };

    set(modified + std::time::Duration::from_millis(2));
    assert!(source.open(0).unwrap().is_none());
    write(&path, "1234").unwrap();
    set(modified);
    assert!(source.open(0).unwrap().is_none());
    write(&path, "321").unwrap();
    set(modified);
    assert!(source.open(0).unwrap().is_some());
    fs::remove_file(&path).unwrap();
    assert!(source.open(0).unwrap().is_none());
}

#[test]
fn what_cannot_be_sent_is_named() {
    let dir = tree();
    let at = |name: &str| dir.path().join(name);
    create_dir(at("other")).unwrap();
    write(at("other/single"), "").unwrap();
    write(at("bad:name"), "").unwrap();
    let check = |list: &[PathBuf], part: &str| {
        let error = Source::scan(list).unwrap_err().to_string();
        assert!(error.contains(part), "{error} should contain {part}");
    };
    check(&[at("missing")], "missing: No such file");
    check(
        &[at("single"), at("other/single")],
        "would both arrive as single",
    );
    check(&[at("single"), at("single")], "would both arrive as single");
    check(&[at("bad:name")], "bad:name cannot be sent");
    check(&[], "nothing in it");
    create_dir(at("case")).unwrap();
    write(at("case/README"), "").unwrap();
    write(at("case/readme"), "").unwrap();
    check(&[at("case")], "case/README and case/readme");
    let mut deep = at("deep");
    (0..70).for_each(|_| deep.push("d"));
    create_dir_all(&deep).unwrap();
    check(&[at("deep")], "deeper than 64");
}

#[cfg(unix)]
#[test]
fn links_and_special_files_are_skipped_unless_they_were_named() {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    let dir = tree();
    let at = |name: &str| dir.path().join(name);
    symlink("/etc/passwd", at("top/link")).unwrap();
    symlink("nowhere", at("top/b/dangling")).unwrap();
    create_dir_all(at("top/.peerline/abc")).unwrap();
    let source = Source::scan(&[at("top")]).unwrap();
    assert_eq!(
        paths(&source),
        ["top", "top/a", "top/b", "top/b/empty", "top/b/x"]
    );
    let skipped = |source: &Source| -> Vec<(PathBuf, &str)> {
        let skipped = source.skipped().iter();
        skipped.map(|it| (it.path.clone(), it.what)).collect()
    };
    let links = [
        (at("top/b/dangling"), "a symbolic link"),
        (at("top/link"), "a symbolic link"),
    ];
    assert_eq!(skipped(&source), links);
    assert_eq!(source.left_out(), 1, "what an unfinished transfer left");

    // Given by name, a link is what the user means.
    symlink(at("single"), at("named")).unwrap();
    let source = Source::scan(&[at("named")]).unwrap();
    assert_eq!(
        (paths(&source), source.manifest().bytes()),
        (vec!["named"], 3)
    );

    let _listener = UnixListener::bind(at("top/socket")).unwrap();
    let source = Source::scan(&[at("top")]).unwrap();
    assert!(skipped(&source).contains(&(at("top/socket"), "a socket")));
    assert!(matches!(
        Source::scan(&[at("top/socket")]).unwrap_err(),
        SourceError::Special {
            what: "a socket",
            ..
        }
    ));
    assert!(matches!(
        Source::scan(&["/dev/null".into()]).unwrap_err(),
        SourceError::Special {
            what: "a device",
            ..
        }
    ));
    create_dir(at("raw")).unwrap();
    write(at("raw").join(OsStr::from_bytes(b"x\xff")), "").unwrap();
    assert!(matches!(
        Source::scan(&[at("raw")]).unwrap_err(),
        SourceError::Name {
            reason: PathError::NotUtf8,
            ..
        }
    ));
}

#[test]
fn everything_wrong_in_a_tree_is_told_at_once() {
    let dir = tree();
    for n in 10..30 {
        write(dir.path().join(format!("top/{n}:00")), "").unwrap();
    }
    let error = Source::scan(&[dir.path().join("top")]).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("20 cannot be sent: "), "{text}");
    assert!(text.contains("10:00") && text.contains("19:00"), "{text}");
    assert!(!text.contains("20:00"), "{text}");
    assert!(text.ends_with("; and 10 more"), "{text}");
}

#[test]
fn times_before_1970_are_rounded_down() {
    let nanos = std::time::Duration::from_nanos;
    assert_eq!(milliseconds(UNIX_EPOCH + nanos(1_999_999)), Some(1));
    assert_eq!(milliseconds(UNIX_EPOCH - nanos(1)), Some(-1));
    assert_eq!(milliseconds(UNIX_EPOCH - nanos(2_000_000)), Some(-2));
}

fn selected(dir: &TempDir, patterns: &[&str], gitignore: bool) -> Source {
    let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.into()).collect();
    let selection = Selection::default().exclude(&patterns).unwrap();
    Source::select(&[dir.path().join("top")], &selection.gitignore(gitignore)).unwrap()
}

#[test]
fn patterns_mean_what_they_mean_in_a_gitignore() {
    let dir = tree();
    write(dir.path().join("top/b/a"), "1").unwrap();
    for (patterns, expected, left_out) in [
        (
            &[][..],
            &["top", "top/a", "top/b", "top/b/a", "top/b/empty", "top/b/x"][..],
            0,
        ),
        (&["a"], &["top", "top/b", "top/b/empty", "top/b/x"], 2),
        (
            &["/a"],
            &["top", "top/b", "top/b/a", "top/b/empty", "top/b/x"],
            1,
        ),
        (&["b/"], &["top", "top/a"], 1),
        (
            &["a/"],
            &["top", "top/a", "top/b", "top/b/a", "top/b/empty", "top/b/x"],
            0,
        ),
        (&["b/*", "!b/x"], &["top", "top/a", "top/b", "top/b/x"], 2),
        (&["**"], &["top"], 2),
        // What was named is sent.
        (
            &["top"],
            &["top", "top/a", "top/b", "top/b/a", "top/b/empty", "top/b/x"],
            0,
        ),
    ] {
        let source = selected(&dir, patterns, false);
        assert_eq!(paths(&source), expected, "{patterns:?}");
        assert_eq!(source.left_out(), left_out, "{patterns:?}");
    }
}

#[test]
fn a_senseless_pattern_is_named() {
    for pattern in ["[z-a]", "{a", " "] {
        let patterns = ["fine".to_owned(), pattern.to_owned()];
        let error = Selection::default().exclude(&patterns).unwrap_err();
        assert_eq!(error.pattern, pattern);
        assert!(!error.reason.is_empty());
    }
}

#[test]
fn gitignore_files_hold_where_git_says() {
    let dir = tree();
    let at = |path: &str| dir.path().join(path);
    // The repository begins above what is sent.
    create_dir_all(at(".git/info")).unwrap();
    write(at(".git/info/exclude"), "*.secret\n").unwrap();
    write(at(".gitignore"), "*.log\n/top/b/empty/\n").unwrap();
    write(at("top/b/.gitignore"), "!kept.log\nx\n").unwrap();
    for file in ["a.log", "b/kept.log", "b/other.log", "b/my.secret", "x"] {
        write(at("top").join(file), "").unwrap();
    }
    let source = selected(&dir, &[], true);
    let expected = [
        "top",
        "top/a",
        "top/b",
        "top/b/.gitignore",
        "top/b/kept.log",
        "top/x",
    ];
    assert_eq!(paths(&source), expected);
    assert_eq!(source.left_out(), 5);
    let everything = selected(&dir, &[], false);
    assert_eq!(paths(&everything).len(), 11);
    // Both together.
    let source = selected(&dir, &["a"], true);
    assert_eq!(paths(&source)[1], "top/b");
}

#[test]
fn the_repository_itself_is_left_out() {
    let dir = tree();
    create_dir_all(dir.path().join("top/.git/objects")).unwrap();
    write(dir.path().join("top/.git/HEAD"), "").unwrap();
    let source = selected(&dir, &[], true);
    assert_eq!(
        paths(&source),
        ["top", "top/a", "top/b", "top/b/empty", "top/b/x"]
    );
}
