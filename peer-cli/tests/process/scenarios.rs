//! `test`: scenario files, their results in every format, and what is told when one fails.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::harness::{DEADLINE, Place, command};

/// What is in the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// All scenarios of a directory.
fn scenarios(directory: &str) -> Vec<String> {
    let entries = std::fs::read_dir(repository(directory)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let scenarios = paths.filter(|path| {
        path.extension()
            .is_some_and(|extension| extension == "toml")
    });
    let mut scenarios: Vec<String> = scenarios
        .map(|path| path.to_str().unwrap().to_owned())
        .collect();
    scenarios.sort();
    assert!(!scenarios.is_empty(), "{directory}");
    scenarios
}

/// `peer-cli test WORDS...`, where scenarios find this `peer-cli` by its name.
fn tested(words: &[&str]) -> Command {
    let mut command = command(&[&["test"], words].concat());
    let own = Path::new(env!("CARGO_BIN_EXE_peer-cli")).parent().unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(own.to_owned()).chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(all).unwrap());
    command
}

async fn run(words: &[&str]) -> Output {
    let limit = 3 * DEADLINE;
    timeout(limit, tested(words).output())
        .await
        .expect("in time")
        .unwrap()
}

/// Its events, and its exit code.
async fn events(words: &[&str]) -> (Vec<Value>, i32) {
    let output = run(&[words, &["--json"]].concat()).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let events = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")));
    (
        events.collect(),
        output.status.code().expect("not by a signal"),
    )
}

#[track_caller]
fn all_passed(events: &[Value], code: i32, count: usize) {
    let (done, each) = events.split_last().expect("it says something");
    for event in each {
        assert_eq!(event["verdict"], "passed", "{event:#}");
    }
    assert_eq!(code, 0, "{events:#?}");
    assert_eq!(
        (&done["event"], &done["scenarios"], &done["failed"]),
        (&"done".into(), &count.into(), &0.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_pass() {
    let files = scenarios("examples/flows");
    let words: Vec<&str> = files.iter().map(String::as_str).collect();
    let (events, code) = events(&words).await;
    all_passed(&events, code, files.len());
}

/// The cells of the fault matrix that every commit is tested with.
#[tokio::test(flavor = "multi_thread")]
async fn our_own_flows_pass() {
    let files = scenarios("tests/flows");
    let words: Vec<&str> = files.iter().map(String::as_str).collect();
    let began = Instant::now();
    let (events, code) = events(&words).await;
    println!("{} flows in {:?}", files.len(), began.elapsed());
    all_passed(&events, code, files.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn five_peers_with_loss_and_a_restart_give_the_same_verdict_each_time() {
    let file = repository("examples/flows/room.toml");
    let (events, code) = events(&[file.to_str().unwrap(), "--repeat", "5", "--jobs", "2"]).await;
    all_passed(&events, code, 5);
    let seconds: Vec<f64> = events
        .iter()
        .filter_map(|event| event["seconds"].as_f64())
        .collect();
    println!("{seconds:?} s");
}

/// Each is what a tutorial's page becomes by one mistake.
#[tokio::test(flavor = "multi_thread")]
async fn mistakes_of_pages_are_named() {
    let place = Place::new();
    let logs = place.path("logs");
    for (name, code, peer_expected, says) in [
        (
            "candidates-first",
            "candidate-before-description",
            "WebRTC to be used as it works everywhere",
            "sent before the offer",
        ),
        (
            "wrong-codec",
            "no-common-codec",
            "robot to get 10 frames of audio",
            "the page's offer has audio only as PCMU",
        ),
        (
            "late-channel",
            "channel-never-opened",
            "channel `chat` to open at page within 5s",
            "it was made before createDataChannel",
        ),
    ] {
        let file = repository(&format!("tests/flows/bugs/{name}.toml"));
        let lines = std::fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= 15, "{name} has {lines} lines");
        let words = [file.to_str().unwrap(), "--logs", logs.to_str().unwrap()];
        let (events, exit) = events(&words).await;
        assert_eq!(exit, 1, "{events:#?}");
        let failed = &events[0];
        assert_eq!(failed["expected"], peer_expected, "{failed:#}");
        let finding = &failed["findings"][0];
        assert_eq!(
            (&finding["peer"], &finding["code"]),
            (&"page".into(), &code.into()),
            "{failed:#}"
        );
        assert!(
            finding["message"].as_str().unwrap().contains(says),
            "{failed:#}"
        );
        let kept = PathBuf::from(failed["logs"].as_str().unwrap());
        let happened = std::fs::read_to_string(kept.join("events.jsonl")).unwrap();
        assert!(
            happened.lines().any(|line| line.contains("\"webrtc\"")),
            "{happened}"
        );
        assert!(
            std::fs::read(kept.join("page.png"))
                .unwrap()
                .starts_with(b"\x89PNG")
        );
    }
}

/// Fails with one message that does not come, and passes with the other.
const ONE_OF_EACH: [&str; 2] = [
    "name = 'good'\npeers = { ana = {}, ben = {} }\nsteps = [\n{ peer = 'ana', open = 'a' },\n{ peer = 'ben', opened = 'a' },\n]\n",
    "name = 'bad & <sad>'\nseed = 9\npeers = { ana = {}, ben = {} }\nsteps = [\n{ peer = 'ana', open = 'a' },\n{ peer = 'ana', send = 'ho', channel = 'a' },\n{ peer = 'ben', expect = 'hi', channel = 'a', within = '2s' },\n]\n",
];

#[tokio::test(flavor = "multi_thread")]
async fn results_in_every_format() {
    let place = Place::new();
    let [good, bad] = [0, 1].map(|n| {
        let file = place.file(&format!("{n}.toml"), ONE_OF_EACH[n]);
        file.to_str().unwrap().to_owned()
    });
    let logs = place.path("logs");
    let words = [
        good.as_str(),
        bad.as_str(),
        "--logs",
        logs.to_str().unwrap(),
    ];
    let tap = run(&words).await;
    assert_eq!(tap.status.code(), Some(1), "{tap:?}");
    let text = String::from_utf8(tap.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..2], ["TAP version 14", "1..2"], "{text}");
    assert!(
        lines[2].starts_with(&format!("ok 1 - {good}: good # time=")),
        "{text}"
    );
    assert!(
        lines[3].starts_with(&format!("not ok 2 - {bad}: bad & <sad> # time=")),
        "{text}"
    );
    for line in [
        format!("  at: \"{bad}:7\""),
        "  expected: \"ben to get \\\"hi\\\" from ana on channel `a` within 2s\"".to_owned(),
        "  seen: \"the last message there was \\\"ho\\\"\"".to_owned(),
        format!("  repeat: \"peer-cli test {bad} --seed 9\""),
        format!("  logs: \"{}\"", logs.join("0002-1").display()),
    ] {
        assert!(lines.contains(&line.as_str()), "{line} in {text}");
    }
    assert!(logs.join("0002-1/events.jsonl").exists());
    assert!(
        !logs.join("0001-0").exists(),
        "nothing is kept of what passed"
    );

    let junit = run(&[&words[..], &["--format", "junit"]].concat()).await;
    assert_eq!(junit.status.code(), Some(1), "{junit:?}");
    let text = String::from_utf8(junit.stdout).unwrap();
    assert!(
        text.contains("<testsuites name=\"peer-cli test\" tests=\"2\" failures=\"1\""),
        "{text}"
    );
    assert!(
        text.contains("name=\"bad &amp; &lt;sad&gt; (seed 9)\""),
        "{text}"
    );
    assert!(text.ends_with("</testsuites>\n"), "{text}");

    let (events, code) = events(&words).await;
    assert_eq!(code, 1);
    assert_eq!(
        (&events[0]["verdict"], &events[1]["verdict"]),
        (&"passed".into(), &"failed".into())
    );
    assert_eq!(
        (&events[1]["line"], &events[1]["seed"]),
        (&7.into(), &9.into())
    );
    assert_eq!(events[2]["failed"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_refused_before_anything_runs() {
    let place = Place::new();
    let good = place.file("good.toml", ONE_OF_EACH[0]);
    let bad = place.file(
        "bad.toml",
        "peers = { ana = {}, ben = {} }\nsteps = [\n{ peer = 'ana', opne = 'a' },\n]\n",
    );
    let (good, bad) = (good.to_str().unwrap(), bad.to_str().unwrap());
    let (events, code) = events(&[good, bad, "no-such.toml"]).await;
    assert_eq!(code, 2);
    assert_eq!(events.len(), 2, "{events:#?}");
    let message = format!("{bad}:3: a step with `opne` does nothing; did you mean `open`?");
    assert_eq!(
        (&events[0]["code"], &events[0]["message"]),
        (&"bad-scenario".into(), &message.into())
    );
    assert_eq!(
        events[1]["message"],
        "cannot read 'no-such.toml': no such file or directory"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_are_started_written_to_and_ended() {
    let place = Place::new();
    let file = place.file(
        "sh.toml",
        r#"
peers.cat = { command = ["cat"] }
peers.sh = { command = ["sh", "-c", "echo $WHO at {server}; exit 3"], env = { WHO = "me" } }
peers.forever = { command = ["sleep", "1000"] }
steps = [
  { peer = "sh", output = "me at http://127.0.0.1:" },
  { peer = "sh", exit = 3 },
  { peer = "cat", write = "one\ntwo\n" },
  { peer = "cat", output = "two" },
  { peer = "cat", leave = true },
  { peer = "forever", kill = true },
  { peer = "cat", exit = 0, within = "1s" },
]
"#,
    );
    let (events, code) = events(&[file.to_str().unwrap()]).await;
    assert_eq!(code, 1, "a signal has no exit code: {events:#?}");
    assert_eq!(
        events[0]["seen"],
        "it was ended by a signal; its last line was \"two\""
    );
    let missing = place.file(
        "missing.toml",
        "steps = [{ pause = '1s' }]\n[peers.x]\ncommand = ['/no/such/program']\n",
    );
    let (events, _) = self::events(&[missing.to_str().unwrap()]).await;
    assert_eq!(
        events[0]["seen"],
        "cannot run '/no/such/program': no such file or directory"
    );
    assert_eq!(events[0]["line"], 2);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_it() {
    let place = Place::new();
    let file = place.file(
        "long.toml",
        "peers = { ana = {} }\nsteps = [{ pause = '50s' }]\n",
    );
    let mut running = tested(&[file.to_str().unwrap(), "-v"]);
    let mut child = running.spawn().unwrap();
    // The head is printed when everything is read, and signals are listened for before that.
    let mut lines =
        tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(child.stdout.take().unwrap()));
    let head = timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap();
    assert_eq!(head.as_deref(), Some("TAP version 14"));
    let pid = rustix::process::Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let status = timeout(Duration::from_secs(20), child.wait())
        .await
        .expect("in time")
        .unwrap();
    assert_eq!(status.code(), Some(130));
}
