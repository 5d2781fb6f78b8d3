//! What reaches which stream, for each kind of listener.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use super::palette::Palette;
use super::voice::Surroundings;
use super::*;
use crate::exit::Failure;

/// A stream that can be read back, or fails with the given error.
#[derive(Clone, Default)]
struct Tape(Arc<Mutex<Vec<u8>>>, Option<io::ErrorKind>);

impl Write for Tape {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(kind) = self.1 {
            return Err(kind.into());
        }
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Tape {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

const PIPES: Surroundings = Surroundings {
    stdout_is_terminal: false,
    screen: None,
    can_ask: false,
};
const TERMINAL: Surroundings = Surroundings {
    stdout_is_terminal: true,
    screen: Some(Palette::Plain),
    can_ask: true,
};

fn all_said(audience: Audience, surroundings: Surroundings) -> (String, String) {
    let (out, talk) = (Tape::default(), Tape::default());
    let ui = Ui::with(
        audience,
        surroundings,
        Box::new(out.clone()),
        Box::new(talk.clone()),
    );
    ui.say(event::Code {
        code: "7-a-b-c".into(),
        link: "LINK".into(),
        command: "RUN".into(),
    });
    ui.note("waiting");
    ui.progress(1, 2);
    ui.progress(2, 2);
    ui.say(event::File {
        path: "x\x1b".into(),
        size: 2,
        digest: "d".into(),
    });
    ui.fail(&Failure::usage("wrong").hint("try"));
    writeln!(ui.log(), "logged").unwrap();
    ui.finish().unwrap();
    (out.text(), talk.text())
}

#[test]
fn people_get_words_on_stderr_and_a_pipe_gets_the_code() {
    let words = "Code: 7-a-b-c\nLink: LINK\n\nOn the other side:\n\n  RUN\n\nwaiting\n";
    let end = "error: wrong; try\nlogged\n";
    let (out, talk) = all_said(Audience::People, PIPES);
    assert_eq!(out, "7-a-b-c\n");
    assert_eq!(talk, format!("{words}x\\u{{1b}}  2 B\n{end}"));

    // On a terminal the bar stands for the files, and nothing is said twice.
    let (out, talk) = all_said(Audience::People, TERMINAL);
    assert_eq!(out, "");
    assert!(talk.ends_with(&format!("{words}{end}")), "{talk}");
}

#[test]
fn quiet_is_the_code_and_the_error() {
    let (out, talk) = all_said(Audience::Quiet, PIPES);
    assert_eq!(out, "7-a-b-c\nLINK\n");
    assert_eq!(talk, "error: wrong; try\nlogged\n");
}

#[test]
fn scripts_get_json_and_nothing_but_logs_elsewhere() {
    let (out, talk) = all_said(Audience::Scripts, PIPES);
    let events: Vec<String> = out
        .lines()
        .map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            value["event"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(events, ["code", "progress", "progress", "file", "error"]);
    assert_eq!(talk, "logged\n");
}

#[test]
fn a_reader_that_left_is_no_failure_but_a_full_disk_is() {
    for (kind, ok) in [
        (io::ErrorKind::BrokenPipe, true),
        (io::ErrorKind::StorageFull, false),
    ] {
        let out = Tape(Arc::default(), Some(kind));
        let ui = Ui::with(
            Audience::Scripts,
            PIPES,
            Box::new(out),
            Box::new(Tape::default()),
        );
        ui.progress(1, 2);
        ui.progress(2, 2);
        assert_eq!(ui.finish().is_ok(), ok, "{kind:?}");
    }
}

#[tokio::test]
async fn with_nobody_to_ask_there_is_no_answer() {
    for (audience, surroundings) in [(Audience::People, PIPES), (Audience::Scripts, TERMINAL)] {
        let talk = Tape::default();
        let ui = Ui::with(
            audience,
            surroundings,
            Box::new(io::sink()),
            Box::new(talk.clone()),
        );
        assert_eq!(ui.confirm("Really?").await, Answer::Nobody);
        assert_eq!(ui.ask("Code: ").await, None);
        assert_eq!(talk.text(), "");
    }
}

#[test]
fn what_is_about_one_of_several_receivers_says_so() {
    for audience in [Audience::Scripts, Audience::People] {
        let (out, talk) = (Tape::default(), Tape::default());
        let ui = Ui::with(
            audience,
            PIPES,
            Box::new(out.clone()),
            Box::new(talk.clone()),
        );
        let all = Receivers::new(2);
        let second = ui.about(2, &all);
        second.say(event::Peer {
            agent: "x".into(),
            engine: "native".into(),
            device: None,
        });
        second.progress(10, 10);
        ui.note("all");
        match audience {
            Audience::Scripts => {
                let text = out.text();
                let lines: Vec<serde_json::Value> = text
                    .lines()
                    .map(|line| serde_json::from_str(line).unwrap())
                    .collect();
                assert_eq!(lines.len(), 2, "{text}");
                assert!(lines.iter().all(|line| line["receiver"] == 2), "{text}");
                assert_eq!(lines[1]["bytes"], 10);
            }
            _ => assert_eq!(talk.text(), "Receiver 2: Other side: x\nall\n"),
        }
    }
}
