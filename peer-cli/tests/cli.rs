//! The real binary, as a shell sees it: exit codes, streams, and what is left on disk.

mod common;

use std::fs;

use common::Home;
use serde_json::Value;

/// Wrong input: exit code 2, one line on stderr that says what to try, nothing made anywhere.
#[test]
fn every_wrong_input_is_one_clear_line_and_leaves_nothing_behind() {
    let home = Home::new();
    home.write("here.txt", b"content");
    home.write("a:b", b"content");
    home.write("one/same", b"1");
    home.write("two/same", b"2");
    #[cfg(unix)]
    std::os::unix::fs::symlink("loop", home.path().join("loop")).unwrap();
    let before = home.listing();

    const CODE: &str = "7-crane-velvet-orbit";
    let rows: &[(&[&str], &str)] = &[
        (&[], "no command was given"),
        (&["--flag"], "unexpected argument '--flag'"),
        (
            &["sendfile", "here.txt"],
            "unrecognized subcommand 'sendfile'",
        ),
        (&["dance"], "unrecognized subcommand 'dance'"),
        (&["send-file"], "<PATH>"),
        (&["send-file", ""], "<PATH>"),
        (
            &["send-file", "missing"],
            "cannot read 'missing': no such file or directory",
        ),
        (
            &["send-file", "here.txt", "missing"],
            "cannot read 'missing'",
        ),
        (
            &["send-file", "here.txt/below"],
            "cannot read 'here.txt/below': not a directory",
        ),
        (
            &["send-file", "bad\x1b[2Jname"],
            "cannot read 'bad\\u{1b}[2Jname'",
        ),
        #[cfg(unix)]
        (&["send-file", "loop"], "cannot read 'loop'"),
        #[cfg(unix)]
        (
            &["send-file", "/dev/null"],
            "neither a file nor a directory",
        ),
        (&["send-file", "/"], "no name"),
        (&["send-file", "a:b"], "cannot be sent under its name"),
        (&["send-file", "here.txt", "--verify"], "needs a terminal"),
        (&["receive-file", CODE, "--verify"], "needs a terminal"),
        (&["bench", CODE, "--lanes", "0"], "--lanes"),
        (&["call", "--room", "no room"], "--room"),
        (&["call", "--duration", "soon"], "--duration"),
        (&["send-file", "-", "x"], "stdin is sent alone"),
        (
            &["send-file", "here.txt", "--exclude", "{a"],
            "--exclude '{a' is not a pattern",
        ),
        (
            &["send-file", "here.txt", "--exclude", ""],
            "--exclude '' is not a pattern: it is empty",
        ),
        (
            &["send-file", "one/same", "two/same"],
            "two of the paths end in 'same'",
        ),
        (
            &["send-file", "here.txt", "--colour"],
            "unexpected argument '--colour'",
        ),
        (&["send-file", "here.txt", "--jsn"], "'--json'"),
        (
            &["send-file", "here.txt", "--code", "7-crane-velvet"],
            "3 part(s)",
        ),
        (
            &["send-file", "here.txt", "--code", "7-crane-velvit-orbit"],
            "did you mean velvet?",
        ),
        (
            &["send-file", "here.txt", "--timeout", "0"],
            "seconds above 0",
        ),
        (
            &["send-file", "here.txt", "--timeout", "abc"],
            "seconds above 0",
        ),
        (
            &["send-file", "here.txt", "--timeout", "-1"],
            "it is not a number of seconds above 0",
        ),
        (
            &["send-file", "here.txt", "--timeout", "1e12"],
            "up to a week",
        ),
        (
            &["send-file", "here.txt", "--server", "http://"],
            "not a server address",
        ),
        (
            &["send-file", "here.txt", "--server", "ftp://h"],
            "not with ftp",
        ),
        (
            &["send-file", "here.txt", "--server", "https://u:p@h"],
            "must not have a user name",
        ),
        (
            &["send-file", "here.txt", "--relay-only", "--direct-only"],
            "cannot be used with",
        ),
        (&["send-file", "here.txt", "--stun", "turn:h"], "stun:"),
        (
            &["send-file", "here.txt", "--turn", "turn:h?transport=ip"],
            "turn:",
        ),
        (
            &["send-file", "here.txt", "--turn-password", "p"],
            "that --turn names",
        ),
        (&["receive-file"], "no code was given"),
        (&["receive-file", ""], "the code is empty"),
        (&["receive-file", "hello"], "1 part(s)"),
        (
            &["receive-file", "é-crane-velvet-orbit"],
            "1 to 16 letters and digits",
        ),
        (
            &["receive-file", "7-\x1b]0;x\x07-velvet-orbit"],
            "\\u{1b}]0;x\\u{7}",
        ),
        (&["receive-file", "https://h.example/"], "no code"),
        (
            &["receive-file", "ftp://h/#7-crane-velvet-orbit"],
            "not with ftp",
        ),
        (
            &["receive-file", CODE, "extra"],
            "unexpected argument 'extra'",
        ),
        (
            &["receive-file", CODE, "--out", "here.txt"],
            "'here.txt' is not a directory",
        ),
        (
            &["receive-file", CODE, "--out", "here.txt/x"],
            "not a directory",
        ),
        (&["receive-file", CODE, "--out", ""], "--out"),
        #[cfg(unix)]
        (&["receive-file", CODE, "--out", "loop"], "--out 'loop'"),
        (&["completions"], "<SHELL>"),
        (&["completions", "tcsh"], "'tcsh'"),
    ];
    for (arguments, expected) in rows {
        let run = home.run(arguments);
        assert_eq!(run.code, Some(2), "{arguments:?}: {run:?}");
        assert_eq!(run.out, "", "{arguments:?}");
        assert_eq!(run.talk.lines().count(), 1, "{arguments:?}: {}", run.talk);
        assert!(
            run.talk.starts_with("error: "),
            "{arguments:?}: {}",
            run.talk
        );
        assert!(run.talk.contains(expected), "{arguments:?}: {}", run.talk);
        assert!(
            run.talk.contains("; "),
            "no advice for {arguments:?}: {}",
            run.talk
        );
        assert!(
            !run.talk.trim_end().chars().any(char::is_control),
            "{:?}",
            run.talk
        );
        assert_eq!(home.listing(), before, "{arguments:?} changed something");
    }
}

#[test]
fn wrong_input_in_the_environment_is_wrong_input() {
    let home = Home::new();
    home.write("here.txt", b"content");
    for (name, value, arguments, expected) in [
        (
            "PEERLINE_SERVER",
            "no sense",
            &["send-file", "here.txt"][..],
            "--server <URL>",
        ),
        (
            "PEERLINE_CODE",
            "7-crane-velvit-orbit",
            &["receive-file"],
            "did you mean velvet?",
        ),
        (
            "PEERLINE_CODE",
            "hello",
            &["send-file", "here.txt"],
            "1 part(s)",
        ),
    ] {
        let run = home.run_with(arguments, &[(name, value)]);
        assert_eq!(
            (run.code, run.talk.lines().count()),
            (Some(2), 1),
            "{run:?}"
        );
        assert!(run.talk.contains(expected), "{}", run.talk);
    }
}

/// Empty variables are switched off, and credentials in a profile wait for the commands that use them:
/// what is missing here is the code alone.
#[test]
fn what_waits_in_the_environment_is_no_mistake() {
    let home = Home::new();
    for (name, value) in [
        ("PEERLINE_SERVER", ""),
        ("PEERLINE_CODE", ""),
        ("PEERLINE_TURN_USER", "u"),
        ("PEERLINE_TURN_PASSWORD", "p"),
    ] {
        let run = home.run_with(&["receive-file"], &[(name, value)]);
        assert_eq!(run.code, Some(2), "{name}: {run:?}");
        assert!(
            run.talk.contains("no code was given"),
            "{name}: {}",
            run.talk
        );
    }
}

#[test]
fn scripts_get_mistakes_as_one_event() {
    let home = Home::new();
    for arguments in [
        &["send-file", "--json"][..],
        &["send-file", "missing", "--json"],
        &["send-file", "missing", "--json", "--quiet"],
    ] {
        let run = home.run(arguments);
        assert_eq!((run.code, run.talk.as_str()), (Some(2), ""), "{run:?}");
        let event: Value = serde_json::from_str(run.out.trim_end()).expect("one JSON object");
        assert_eq!(event["event"], "error");
        assert_eq!(event["code"], "usage");
        assert_eq!(event["retry"], false);
        assert_eq!(event["exit"], 2);
    }
}

#[test]
fn help_and_completions_are_results() {
    let home = Home::new();
    for (arguments, expected) in [
        (&["--help"][..], "receive-file"),
        (&["send-file", "--help"], "--relay-only"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
        (&["completions", "bash"], "send-file"),
    ] {
        let run = home.run(arguments);
        assert_eq!((run.code, run.talk.as_str()), (Some(0), ""), "{run:?}");
        assert!(run.out.contains(expected), "{arguments:?}: {}", run.out);
    }
}

#[test]
fn a_reader_that_had_enough_is_a_success_and_a_full_disk_is_not() {
    let home = Home::new();
    for arguments in [&["completions", "bash"][..], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let run = home.run_into(arguments, writer.into());
        assert_eq!((run.code, run.talk.as_str()), (Some(0), ""), "{run:?}");
    }
    #[cfg(target_os = "linux")]
    {
        let full = fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let run = home.run_into(&["completions", "bash"], full.into());
        assert_eq!(run.code, Some(9), "{run:?}");
        assert!(run.talk.contains("cannot write to stdout"), "{}", run.talk);
    }
}

/// Files that the permissions hide are wrong input too; an administrator may read everything.
#[cfg(unix)]
#[test]
fn an_unreadable_path_is_named_before_anything_starts() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let path = home.write("secret.txt", b"content");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    let readable = fs::File::open(&path).is_ok();
    let run = home.run(&["send-file", "secret.txt", "missing"]);
    assert_eq!(run.code, Some(2));
    let culprit = if readable {
        "'missing': no such file"
    } else {
        "'secret.txt': permission denied"
    };
    assert!(run.talk.contains(culprit), "{}", run.talk);
}
