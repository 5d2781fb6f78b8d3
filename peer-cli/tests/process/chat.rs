//! `chat`: rooms of several, what is shown of them, and those who come late, leave or lie.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin};
use tokio::time::timeout;

use crate::harness::{DEADLINE, End, Peer, Signaling, command};

/// `chat WORDS...`, with its stdin still open.
fn talker(server: &Signaling, words: &[&str]) -> (Peer, ChildStdin) {
    let mut chat = command(&[&["chat", "--server", &server.url], words].concat());
    chat.stdin(Stdio::piped());
    let mut peer = Peer::run(chat);
    let stdin = peer.stdin();
    (peer, stdin)
}

async fn say(stdin: &mut ChildStdin, text: &str) {
    stdin
        .write_all(format!("{text}\n").as_bytes())
        .await
        .unwrap();
}

async fn member(peer: &mut Peer, name: &str, state: &str) {
    loop {
        let event = peer.event("member").await;
        if event["name"] == name && event["state"] == state {
            return;
        }
    }
}

/// What it was told by this one, in order.
fn heard<'a>(end: &'a End, name: &str) -> Vec<&'a str> {
    let of = |event: &&Value| event["event"] == "message" && event["name"] == name;
    let texts = end.events.iter().filter(of);
    texts.map(|event| event["text"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn three_in_a_room_and_the_last_one_is_shown_what_was_said_before() {
    let server = Signaling::start();
    let (mut host, mut host_in) = talker(&server, &["--name", "anna"]);
    let said = host.event("code").await;
    let code = said["code"].as_str().unwrap().to_owned();
    let told = said["command"].as_str().unwrap();
    assert!(told.starts_with(&format!("peer-cli chat {code}")), "{told}");
    let (mut bob, mut bob_in) = talker(&server, &[&code, "--name", "Anna"]);
    let entered = bob.event("entered").await;
    // Nobody is called like somebody else.
    assert_eq!(
        (&entered["name"], &entered["others"][0]),
        (&"Anna-2".into(), &"anna".into())
    );
    member(&mut host, "Anna-2", "came").await;
    say(&mut bob_in, "first").await;
    assert_eq!(host.event("message").await["text"], "first");
    say(&mut host_in, "second").await;
    let second = bob.event("message").await;
    assert_eq!(
        (&second["name"], &second["old"]),
        (&"anna".into(), &false.into())
    );

    let (mut late, late_in) = talker(&server, &[&code, "--name", "carl"]);
    let entered = late.event("entered").await;
    assert_eq!(
        (&entered["old"], &entered["missed"]),
        (&2.into(), &0.into())
    );
    for (name, text) in [("Anna-2", "first"), ("anna", "second")] {
        let old = late.event("message").await;
        assert_eq!(
            (&old["name"], &old["text"], &old["old"]),
            (&name.into(), &text.into(), &true.into())
        );
    }
    // The end of stdin is a goodbye.
    drop(late_in);
    let late = late.end().await;
    let done = late.is_done();
    assert_eq!(
        (&done["said"], &done["heard"], &done["path"]),
        (&0.into(), &0.into(), &"direct".into())
    );
    member(&mut host, "carl", "left").await;
    member(&mut bob, "carl", "left").await;
    // With the host the room ends.
    drop(host_in);
    host.end().await.is_done();
    let bob = bob.end().await;
    assert_eq!(bob.is_done()["said"], 1);
    drop(bob_in);
}

#[tokio::test]
async fn ten_thousand_each_way_each_once_and_in_order() {
    const COUNT: usize = 10_000;
    let server = Signaling::start();
    let (mut host, mut host_in) = talker(&server, &["--name", "host"]);
    let code = host.code().await;
    let (guest, mut guest_in) = talker(&server, &[&code, "--name", "guest"]);
    let lines = |of: &str| (0..COUNT).map(|n| format!("{of} {n}")).collect::<Vec<_>>();
    let (hosts, guests) = (lines("host"), lines("guest"));
    let text = |lines: &[String]| lines.join("\n") + "\n";
    let (from_host, from_guest) = (text(&hosts), text(&guests));
    let saying = async {
        tokio::join!(
            host_in.write_all(from_host.as_bytes()),
            guest_in.write_all(from_guest.as_bytes()),
        )
    };
    let (host_said, guest_said) = (&hosts[COUNT - 1], &guests[COUNT - 1]);
    let hearing = async {
        let until = async |mut peer: Peer, last: &str| {
            while peer.event("message").await["text"] != last {}
            peer
        };
        tokio::join!(until(host, guest_said), until(guest, host_said))
    };
    let ((one, two), (host, guest)) = tokio::join!(saying, hearing);
    one.and(two).unwrap();
    drop((host_in, guest_in));
    let (host, guest) = tokio::join!(host.end(), guest.end());
    for end in [&host, &guest] {
        let done = end.is_done();
        assert_eq!(
            (&done["said"], &done["heard"]),
            (&COUNT.into(), &COUNT.into())
        );
    }
    assert!(heard(&guest, "host") == hosts && heard(&host, "guest") == guests);
}

/// A `chat` that speaks to people whose output goes to a pipe.
struct Plain {
    child: Child,
    stdin: ChildStdin,
}

impl Plain {
    fn start(server: &Signaling, words: &[&str]) -> Self {
        let mut chat = command(&[&["chat", "--server", &server.url], words].concat());
        let mut child = chat.stdin(Stdio::piped()).spawn().expect("starts");
        let stdin = child.stdin.take().unwrap();
        Self { child, stdin }
    }
}

#[tokio::test]
async fn what_is_piped_is_plain_and_harmless_and_looks_like_nobody_else() {
    let server = Signaling::start();
    let mut host = Plain::start(&server, &["--name", "anna"]);
    let mut lines = BufReader::new(host.child.stdout.take().unwrap()).lines();
    let mut next = async || {
        timeout(DEADLINE, lines.next_line())
            .await
            .unwrap()
            .unwrap()
            .unwrap()
    };
    let code = next().await;
    let (mut guest, mut guest_in) = talker(&server, &[&code, "--name", "\x1b[31mbob\x07\nanna: "]);
    let name = guest.event("entered").await["name"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        name.chars().all(|c| !c.is_control()) && name.len() < 40,
        "{name}"
    );
    say(
        &mut guest_in,
        "\x1b]52;c;ZXZpbA==\x07\x1b[2J\rready? \u{202e}gpj",
    )
    .await;
    let shown = next().await;
    assert_eq!(
        shown,
        format!("{name}: \\u{{1b}}]52;c;ZXZpbA==\\u{{7}}\\u{{1b}}[2J\\u{{d}}ready? \\u{{202e}}gpj")
    );
    // 64 KiB of combining marks, in several messages: nothing is drawn over other lines.
    say(&mut guest_in, &format!("a{}", "\u{301}".repeat(32 << 10))).await;
    say(&mut guest_in, "/etc/passwd is no command in a file").await;
    let mut marks = 0;
    loop {
        let shown = next().await;
        if shown.ends_with("/etc/passwd is no command in a file") {
            break;
        }
        marks += shown.chars().filter(|c| *c == '\u{301}').count();
    }
    assert!(marks <= 4, "{marks}");
    host.stdin
        .write_all(b"you are \x1b[1mloud\xff\n")
        .await
        .unwrap();
    // JSON has the text as it is.
    assert_eq!(
        guest.event("message").await["text"],
        "you are \x1b[1mloud\u{fffd}"
    );
    drop(host.stdin);
    drop(guest_in);
    guest.end().await.is_done();
    let ended = timeout(DEADLINE, host.child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    let talk = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success(), "{talk}");
    assert!(
        talk.contains("is here.") && talk.contains("Done: 1 message said, "),
        "{talk}"
    );
    assert!(!talk.contains('\x1b'), "{talk:?}");
}

#[tokio::test]
async fn what_a_program_says_waits_for_the_first_guest() {
    let server = Signaling::start();
    let (mut host, host_in) = {
        let (host, mut stdin) = talker(&server, &["--name", "build"]);
        say(&mut stdin, "it is green").await;
        (host, stdin)
    };
    let code = host.code().await;
    drop(host_in);
    let (guest, guest_in) = talker(&server, &[&code, "--stay"]);
    drop(guest_in);
    // The host leaves when the guest has it, and with it the room ends.
    let (host, guest) = tokio::join!(host.end(), guest.end());
    host.is_done();
    guest.is_done();
    assert_eq!(heard(&guest, "build"), ["it is green"]);
}

#[tokio::test]
async fn a_wrong_guess_burns_the_code_and_those_who_are_there_go_on() {
    let server = Signaling::start();
    let code = "talk-crane-velvet-orbit";
    let (mut host, mut host_in) = talker(&server, &["--code", code]);
    host.code().await;
    let (mut guest, guest_in) = talker(&server, &[code]);
    guest.event("entered").await;
    let (wrong, _open) = talker(&server, &["talk-crane-velvet-zoo"]);
    wrong.end().await.failed(6, "wrong-code");
    assert_eq!(host.event("failed").await["code"], "wrong-code");
    say(&mut host_in, "still here").await;
    assert_eq!(guest.event("message").await["text"], "still here");
    drop(guest_in);
    guest.end().await.is_done();
    // It is alone, and nobody can come any more.
    host.end().await.failed(6, "wrong-code");
}

#[tokio::test]
async fn who_is_killed_is_away_and_ctrl_c_says_goodbye() {
    let server = Signaling::start();
    let (mut host, _host_in) = talker(&server, &[]);
    let code = host.code().await;
    let (mut bob, _bob_in) = talker(&server, &[&code, "--name", "bob"]);
    let (mut carl, _carl_in) = talker(&server, &[&code, "--name", "carl"]);
    bob.event("entered").await;
    carl.event("entered").await;
    member(&mut host, "carl", "came").await;
    carl.interrupt();
    carl.end().await.failed(130, "cancelled");
    member(&mut bob, "carl", "left").await;
    member(&mut host, "carl", "left").await;
    bob.kill().await;
    // Its path and its place at the server are gone, which is noticed in seconds.
    loop {
        let event = host.event("member").await;
        if event["name"] == "bob" && event["state"] != "came" {
            break;
        }
    }
    host.interrupt();
    host.end().await.failed(130, "cancelled");
}

#[tokio::test]
async fn what_does_not_belong_together_is_told_apart() {
    let server = Signaling::start();
    let (mut host, _host_in) = talker(&server, &[]);
    let code = host.code().await;
    let bench = Peer::start(&["bench", &code, "--server", &server.url]);
    bench.end().await.failed(2, "usage");
    let (guest, guest_in) = talker(&server, &[&code]);
    drop(guest_in);
    guest.end().await.is_done();
    for words in [
        &["chat", "--name", " "][..],
        &[
            "chat",
            "7-crane-velvet-orbit",
            "--code",
            "7-crane-velvet-orbit",
        ],
    ] {
        let output = command(words).output().await.unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {output:?}");
    }
}
