//! `call` between two terminals: what is recorded, shown, refused, and passed through.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::harness::{End, Peer, Place, Signaling, command};
use crate::media_files::{check_sync, make, probe, text};

/// `call WORDS...` at this server.
fn call(server: &Signaling, words: &[&str]) -> Peer {
    Peer::start(&[&["call", "--server", &server.url], words].concat())
}

#[track_caller]
fn done<'a>(end: &'a End, reason: &str) -> &'a Value {
    assert_eq!(end.code, Some(0), "{end:#?}");
    assert_eq!(end.last()["event"], "call-done", "{end:#?}");
    assert_eq!(end.last()["reason"], reason);
    end.last()
}

#[tokio::test]
async fn two_terminals_see_hear_and_record_each_other() {
    let server = Signaling::start();
    let place = Place::new();
    let (a, b) = (place.path("a.webm"), place.path("b.mkv"));
    let sending = ["--video", "test", "--audio", "test"];
    let mut host = call(&server, &[&sending[..], &["--record", text(&a)]].concat());
    let code = host.code().await;
    let record = ["--record", text(&b), "--duration", "8"];
    let guest = call(&server, &[&[code.as_str()], &sending[..], &record].concat());
    let (host, guest) = tokio::join!(host.end(), guest.end());
    done(&host, "peer-hung-up");
    let summary = done(&guest, "duration");
    assert!((7.9..9.5).contains(&summary["seconds"].as_f64().unwrap()));
    for (path, end) in [(&a, &host), (&b, &guest)] {
        let recorded = end
            .events
            .iter()
            .find(|event| event["event"] == "recorded")
            .unwrap();
        let probed = probe(path);
        assert_eq!(probed.codecs, ["opus", "vp8"]);
        assert!((probed.seconds - recorded["seconds"].as_f64().unwrap()).abs() < 0.3);
        assert!((6.5..8.5).contains(&probed.seconds), "{}", probed.seconds);
        let rate = probed.pictures as f64 / probed.seconds;
        assert!((27.0..31.0).contains(&rate), "{rate} pictures a second");
        check_sync(path);
        let received = &end.last()["received"];
        assert_eq!(received["video"]["lost"], 0);
        assert!(received["audio"]["frames"].as_u64().unwrap() > 300);
    }
}

#[tokio::test]
async fn every_codec_is_passed_through_and_recorded_as_it_is() {
    let place = Place::new();
    let picture = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=320x180:rate=30:duration=4",
    ];
    let source = |name: &str, words: &[&str]| {
        let path = place.path(name);
        make(&path, &[&picture[..], words, &["-g", "30"]].concat());
        path
    };
    let rows = [
        (
            source(
                "a.ivf",
                &[
                    "-c:v",
                    "libvpx-vp9",
                    "-deadline",
                    "realtime",
                    "-cpu-used",
                    "8",
                    "-lag-in-frames",
                    "0",
                ],
            ),
            "vp9",
        ),
        (
            source(
                "b.ivf",
                &[
                    "-c:v",
                    "libaom-av1",
                    "-usage",
                    "realtime",
                    "-cpu-used",
                    "8",
                    "-lag-in-frames",
                    "0",
                ],
            ),
            "av1",
        ),
        (
            source(
                "c.h264",
                &[
                    "-c:v",
                    "libx264",
                    "-profile:v",
                    "baseline",
                    "-preset",
                    "ultrafast",
                    "-f",
                    "h264",
                ],
            ),
            "h264",
        ),
        // What cannot be sent as it is goes through an encoder.
        (source("d.mp4", &["-c:v", "mpeg4"]), "vp8"),
        (
            source(
                "e.webm",
                &["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"],
            ),
            "vp8",
        ),
    ];
    let server = Signaling::start();
    for (path, codec) in rows {
        let recording = place.path(&format!(
            "{codec}-{}.mkv",
            path.extension().unwrap().to_str().unwrap()
        ));
        let mut host = call(&server, &["--video", text(&path), "--audio", "none"]);
        let code = host.code().await;
        let words = [
            "call",
            "--server",
            &server.url,
            code.as_str(),
            "--video",
            "none",
            "--audio",
            "none",
            "--record",
            text(&recording),
        ];
        let mut guest = command(&words);
        guest.stdin(Stdio::piped());
        let mut guest = Peer::run(guest);
        // The whole file, however long that takes.
        while guest.event("track").await["state"] != "ended" {}
        guest.stdin().write_all(b"hangup\n").await.unwrap();
        let (host, guest) = tokio::join!(host.end(), guest.end());
        done(&host, "peer-hung-up");
        let received = &done(&guest, "hung-up")["received"]["video"];
        assert_eq!(
            (&received["lost"], &received["dropped"]),
            (&0.into(), &0.into()),
            "{codec}"
        );
        let probed = probe(&recording);
        assert_eq!(probed.codecs, [codec], "{}", path.display());
        assert!(
            (100..=121).contains(&probed.pictures),
            "{codec}: {}",
            probed.pictures
        );
        let ended = |event: &&Value| event["event"] == "track" && event["state"] == "ended";
        assert!(
            host.events.iter().any(|event| ended(&event)),
            "the file has an end"
        );
    }
}

#[tokio::test]
async fn sources_and_recordings_that_cannot_be_used_are_refused_before_anybody_is_called() {
    let server = Signaling::start();
    let place = Place::new();
    let taken = place.file("taken.webm", "");
    let broken = place.file("broken.ivf", "DKIF but not for long");
    let sound = place.path("sound.ogg");
    make(
        &sound,
        &["-f", "lavfi", "-i", "sine=duration=1", "-c:a", "libopus"],
    );
    let missing = place.path("missing.ivf");
    let film = place.path("x.mp4");
    for (video, audio, record, exit, kind, message) in [
        (
            "camera:/dev/no-camera",
            "none",
            None,
            9,
            "no-device",
            "there is no camera",
        ),
        (text(&missing), "none", None, 9, "local-io", "cannot read"),
        (text(&broken), "none", None, 9, "bad-media", "IVF"),
        (
            text(&sound),
            "none",
            None,
            2,
            "no-such-track",
            "has no video",
        ),
        ("-", "-", None, 2, "usage", "stdin cannot be both"),
        ("none", "none", Some(&taken), 9, "exists", "taken.webm"),
        ("none", "none", Some(&film), 2, "usage", ".webm or .mkv"),
    ] {
        let mut words = vec!["--video", video, "--audio", audio];
        if let Some(record) = record {
            words.extend(["--record", text(record)]);
        }
        let end = call(&server, &words).end().await;
        let error = end.failed(exit, kind);
        let said = error["message"].as_str().unwrap();
        assert!(said.contains(message), "{words:?}: {said}");
        assert!(!end.names().contains(&"code"), "{words:?}");
    }
}

#[tokio::test]
async fn without_ffmpeg_the_test_picture_works_and_everything_else_names_the_package() {
    let server = Signaling::start();
    let place = Place::new();
    let film = place.file("film.mp4", "not that it matters");
    let bare = |words: &[&str]| {
        let mut command = command(&[&["call", "--server", &server.url], words].concat());
        command.env("PATH", place.out());
        Peer::run(command)
    };
    for words in [
        &["--video", text(&film)][..],
        &["--view", "window"],
        &["--view", "terminal"],
    ] {
        let end = bare(words).end().await;
        let error = end.failed(9, "no-program");
        assert!(
            error["hint"]
                .as_str()
                .unwrap()
                .contains("install the package ffmpeg")
        );
    }
    let recording = place.path("x.webm");
    let mut host = bare(&["--video", "test", "--audio", "test"]);
    let code = host.code().await;
    let guest = bare(&[&code, "--record", text(&recording), "--duration", "4"]);
    let (host, guest) = tokio::join!(host.end(), guest.end());
    done(&host, "peer-hung-up");
    done(&guest, "duration");
    assert_eq!(probe(&recording).codecs, ["opus", "vp8"]);
}

#[tokio::test]
async fn commands_on_stdin_turn_things_off_and_on_and_the_picture_is_drawn() {
    let server = Signaling::start();
    let words = [
        "call",
        "--server",
        &server.url,
        "--video",
        "test",
        "--audio",
        "test",
    ];
    let mut host = command(&words);
    host.stdin(Stdio::piped());
    let mut host = Peer::run(host);
    let code = host.code().await;
    let mut stdin = host.stdin();
    let words = [
        code.as_str(),
        "--video",
        "none",
        "--audio",
        "none",
        "--view",
        "terminal",
        "--sound",
        "off",
    ];
    let mut guest = call(&server, &words);
    let mut say = async |line: &str| {
        stdin
            .write_all(format!("{line}\n").as_bytes())
            .await
            .unwrap()
    };
    for round in 1..=2 {
        while guest.event("track").await["kind"] != "video" {}
        let mut frames = 0;
        while frames < round * 60 {
            say("stats").await;
            frames = host.event("stats").await["sent"]["video"]["frames"]
                .as_u64()
                .unwrap();
        }
        say("mute").await;
        assert_eq!(host.event("media").await["on"], false);
        say("camera off").await;
        let off = host.event("media").await;
        assert_eq!((&off["kind"], &off["on"]), (&"video".into(), &false.into()));
        while guest.event("track").await["state"] != "ended" {}
        say("unmute").await;
        assert_eq!(host.event("media").await["on"], true);
        say("camera on").await;
        assert_eq!(host.event("media").await["on"], true);
    }
    say("hangup").await;
    let (host, guest) = tokio::join!(host.end(), guest.end());
    done(&host, "hung-up");
    done(&guest, "peer-hung-up");
    let pictures = guest.stderr.matches("\x1b7\x1b[1;1H\x1b[38;2;").count();
    assert!(
        pictures > 40,
        "4 s at 10 pictures a second and more, not {pictures}"
    );
    assert!(guest.stderr.contains('\u{2580}'));
}

#[tokio::test]
async fn two_terminals_meet_in_an_open_room() {
    let server = Signaling::start();
    let words = ["--room", "lobby", "--video", "test", "--audio", "test"];
    let mut first = call(&server, &words);
    first.event("waiting").await;
    let second = call(&server, &[&words[..], &["--duration", "4"]].concat());
    let (first, second) = tokio::join!(first.end(), second.end());
    done(&first, "peer-hung-up");
    for summary in [done(&second, "duration"), first.last()] {
        let received = &summary["received"];
        assert!(
            received["video"]["frames"].as_u64().unwrap() > 60,
            "{received}"
        );
        assert!(
            received["audio"]["frames"].as_u64().unwrap() > 100,
            "{received}"
        );
    }
}
