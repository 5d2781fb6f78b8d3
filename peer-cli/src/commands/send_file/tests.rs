use std::ffi::OsStr;

use clap::Parser;

use super::*;
use crate::cli::{Cli, Command};
use crate::exit::Exit;
use crate::ui::Audience;

fn resolve(paths: &[&Path]) -> Result<Plan, Failure> {
    let words = ["peer-cli", "send-file"].map(OsStr::new);
    let cli = Cli::try_parse_from(
        words
            .into_iter()
            .chain(paths.iter().map(|path| path.as_os_str())),
    );
    match cli.expect("parses").command {
        Command::SendFile(arguments) => arguments.resolve(&Ui::new(Audience::Quiet)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn files_and_directories_get_their_last_name() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("photos");
    fs::create_dir_all(directory.join("2024")).unwrap();
    fs::write(home.path().join("a b.txt"), "x").unwrap();
    for (path, name) in [
        ("a b.txt", "a b.txt"),
        ("photos/", "photos"),
        ("photos/2024/..", "photos"),
    ] {
        let path = home.path().join(path);
        assert_eq!(name_to_send(&path).as_deref(), Ok(name));
        let plan = resolve(&[&path]).expect("is there");
        assert!(matches!(plan.what, What::Paths(paths, _) if paths == [path]));
    }
}

#[test]
fn stdin_gets_a_name() {
    let words = |more: &[&str]| {
        let words = ["peer-cli", "send-file"]
            .into_iter()
            .chain(more.iter().copied());
        let cli = Cli::try_parse_from(words).expect("parses");
        match cli.command {
            Command::SendFile(arguments) => arguments.resolve(&Ui::new(Audience::Quiet)),
            other => panic!("{other:?}"),
        }
    };
    for (more, expected) in [(&["-"][..], "stdin"), (&["-", "--name", "a.tar"], "a.tar")] {
        let plan = words(more).expect("can be sent");
        assert!(matches!(plan.what, What::Stdin(name) if name == expected));
    }
    for (more, expected) in [
        (&["-", "--name", "a/b"][..], "it is a path"),
        (&["-", "--name", ".."], "cannot be used"),
        (&[".", "--name", "x"], "--name is for what comes from stdin"),
    ] {
        let failure = words(more).expect_err("must be refused");
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.contains(expected), "{failure}");
    }
}

#[test]
fn what_cannot_be_sent_is_a_usage_error_that_names_it() {
    let home = tempfile::tempdir().unwrap();
    let (one, two) = (home.path().join("one/x"), home.path().join("two/x"));
    for path in [&one, &two] {
        fs::create_dir_all(path).unwrap();
    }
    let missing = home.path().join("missing");
    let unsafe_name = home.path().join("a:b");
    fs::write(&unsafe_name, "x").unwrap();
    for (paths, expected) in [
        (
            &[missing.as_path()][..],
            "missing': no such file or directory",
        ),
        (
            &[one.as_path(), two.as_path()],
            "two of the paths end in 'x'",
        ),
        (&[Path::new("/")], "has no name"),
        (&[unsafe_name.as_path()], "cannot be sent under its name"),
        (&[Path::new("-"), one.as_path()], "stdin is sent alone"),
        #[cfg(unix)]
        (&[Path::new("/dev/null")], "neither a file nor a directory"),
    ] {
        let failure = resolve(paths).expect_err("must be refused");
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.contains(expected), "{failure}");
        assert!(!failure.hint.is_empty());
    }
}
