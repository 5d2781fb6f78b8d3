use std::time::Duration;

use super::super::plan::{Act, Expected, Load, Matcher, Probe, ServerAct, State, What};
use super::*;

const PEERS: &str = "peers = { ana = {}, ben = {}, page = { page = \"a.html\" }, tool = { command = [\"true\"] } }\n";

fn with_step(step: &str) -> Result<What, Problem> {
    let text = format!("{PEERS}steps = [\n  {{ {step} }},\n]\n");
    read(&text, None).map(|scenario| scenario.steps[0].what.clone())
}

#[track_caller]
fn wrong(text: &str, line: usize, message: &str) {
    let problem = read(text, None).expect_err(text);
    assert_eq!((problem.line, problem.message.as_str()), (line, message));
}

#[track_caller]
fn wrong_step(step: &str, message: &str) {
    let problem = with_step(step).expect_err(step);
    assert_eq!((problem.line, problem.message.as_str()), (3, message));
}

#[test]
fn a_whole_scenario() {
    let text = r#"
name = "all"
seed = 5
timeout = "30s"
within = "3s"
lines = "mesh"
network = { delay = "20ms", loss = 0.05, burst = 4, rate = "8Mbit", queue = "64KiB", mtu = 1300 }
peers = { c = {}, a = { faster = 5 }, b = { start = false } }
steps = [
  { peer = "a", open = "talk", to = "b", delivery = "datagram", within = "1s" },
  { cut = "all", for = "2s" },
]
[[link]]
between = ["b", "c"]
loss = 1
jitter = "1ms"
"#;
    let scenario = read(text, None).unwrap();
    assert_eq!((scenario.name.as_str(), scenario.seed), ("all", 5));
    assert_eq!(scenario.timeout, Duration::from_secs(30));
    let names: Vec<_> = scenario
        .peers
        .iter()
        .map(|peer| (peer.name.as_str(), peer.starts))
        .collect();
    assert_eq!(
        names,
        [("c", true), ("a", true), ("b", false)],
        "in the order of the file"
    );
    let ends: Vec<_> = scenario.lines.iter().map(|line| line.ends).collect();
    assert_eq!(ends, [[0, 1], [0, 2], [1, 2]]);
    let [ca, cb, ab] = &scenario.lines[..] else {
        panic!("{ends:?}");
    };
    assert_eq!(
        (ca.network.loss, ca.network.burst, ca.network.rate),
        (0.05, 4, Some(1_000_000))
    );
    assert_eq!((ca.network.queue, ca.network.mtu), (64 << 10, Some(1300)));
    assert_eq!(
        (cb.network.loss, cb.network.jitter),
        (1.0, Duration::from_millis(1))
    );
    assert_eq!(cb.network.delay, Duration::from_millis(20));
    assert_ne!(ca.network.seed, ab.network.seed);
    assert_eq!(scenario.steps[0].within, Duration::from_secs(1));
    assert_eq!(scenario.steps[0].line, 10);
    assert_eq!(scenario.steps[1].within, Duration::from_secs(3));
    assert_eq!(
        scenario.steps[1].what,
        What::Cut {
            lines: vec![0, 1, 2],
            lasts: Some(Duration::from_secs(2))
        }
    );
    assert_eq!(read(text, Some(9)).unwrap().seed, 9);
}

#[test]
fn steps_of_every_kind() {
    let act = |peer, act| What::Act { peer, act };
    let expect = |peer, expected| What::Expect { peer, expected };
    for (step, what) in [
        (
            "peer = 'ana', send = 'hi', channel = 'talk', count = 3",
            act(
                0,
                Act::Send {
                    to: 1,
                    channel: "talk".into(),
                    text: "hi".into(),
                    count: 3,
                },
            ),
        ),
        (
            "peer = 'ben', transfer = '1MiB', files = 10",
            act(
                1,
                Act::Transfer {
                    to: 0,
                    load: Load::Random {
                        bytes: 1 << 20,
                        files: 10,
                    },
                },
            ),
        ),
        (
            "peer = 'ben', transfer = './x'",
            act(
                1,
                Act::Transfer {
                    to: 0,
                    load: Load::Path("./x".into()),
                },
            ),
        ),
        ("peer = 'tool', kill = true", act(2 + 1, Act::Kill)),
        ("peer = 'tool', write = 'x'", act(3, Act::Write("x".into()))),
        (
            "peer = 'ana', received = true",
            expect(
                0,
                Expected::Received {
                    from: 1,
                    bytes: None,
                },
            ),
        ),
        (
            "peer = 'ana', state = 'interrupted'",
            expect(
                0,
                Expected::State {
                    with: Some(1),
                    state: State::Interrupted,
                },
            ),
        ),
        (
            "peer = 'page', state = 'connected'",
            expect(
                2,
                Expected::State {
                    with: None,
                    state: State::Connected,
                },
            ),
        ),
        (
            "peer = 'page', check = 'a', is = 3",
            expect(
                2,
                Expected::Page(Probe::Check {
                    expression: "a".into(),
                    matcher: Matcher::Is(3.into()),
                }),
            ),
        ),
        ("peer = 'tool', exit = 0", expect(3, Expected::Exit(0))),
        (
            "server = 'restart', for = '1s'",
            What::Server(ServerAct::Restart {
                down: Duration::from_secs(1),
            }),
        ),
        ("restore = ['ben', 'ana']", What::Restore { lines: vec![0] }),
        ("pause = '1s'", What::Pause(Duration::from_secs(1))),
    ] {
        assert_eq!(with_step(step), Ok(what), "{step}");
    }
}

#[test]
fn what_is_wrong_with_a_step() {
    for (step, message) in [
        (
            "peer = 'ana', sned = 'hi', channel = 'talk'",
            "a step with `sned` does nothing; did you mean `send`?",
        ),
        (
            "peer = 'ana', send = 'hi', chanel = 'talk'",
            "a step needs `channel`",
        ),
        (
            "peer = 'ana', open = 'talk', wihtin = '1s'",
            "`wihtin` is no key of a step with `open`; did you mean `within`?",
        ),
        (
            "peer = 'ana', open = 'talk', send = 'x'",
            "a step does one thing, and this one has `open` and `send`",
        ),
        (
            "send = 'x', channel = 'talk'",
            "a step with `send` needs `peer`",
        ),
        (
            "peer = 'bem', open = 'talk'",
            "`peer`: 'bem' cannot be used: there is no such peer; did you mean `ben`?",
        ),
        (
            "peer = 'page', open = 'talk'",
            "`open` is for a native peer, and `page` is a page",
        ),
        (
            "peer = 'ana', click = '#x'",
            "`click` is for a page, and `ana` is a native peer",
        ),
        (
            "peer = 'ana', open = 'talk', to = 'page'",
            "`to`: `ana` has no line with this one",
        ),
        (
            "peer = 'page', text = '#x'",
            "a step with `text` needs `is` or `contains`",
        ),
        ("peer = 'ana', start = false", "`start`: it is true"),
        (
            "cut = ['ana', 'tool']",
            "`cut`: there is no line there to be cut: only native peers have lines",
        ),
        (
            "pause = '3'",
            "`pause`: '3' cannot be used: write a number with ms, s or min",
        ),
        (
            "server = 'stop', for = '1s'",
            "`for`: only a restart takes a while",
        ),
        (
            "peer = 'ana', transfer = '2GiB'",
            "`transfer`: at most 1 GiB are transferred",
        ),
        (
            "peer = 'ana', expect = 'x', channel = 'c', count = 0",
            "`count`: it is 1 to 100000",
        ),
    ] {
        wrong_step(step, message);
    }
    let nothing = with_step("peer = 'ana'").unwrap_err();
    assert!(
        nothing
            .message
            .starts_with("this step does nothing; it needs one of `call`, "),
        "{nothing}"
    );
}

#[test]
fn what_is_wrong_with_a_file() {
    wrong("steps = []", 1, "a scenario needs `peers`");
    wrong(
        "\npeers = {}\nsteps = []",
        2,
        "`peers`: there are 1 to 32 of them",
    );
    wrong(
        "peers = { a = {} }\nsteps = []",
        2,
        "`steps`: there are 1 to 1000 of them",
    );
    wrong(
        &format!("{PEERS}nmae = 'x'\nsteps = [{{ pause = '1s' }}]"),
        2,
        "`nmae` is no key of a scenario; did you mean `name`?",
    );
    wrong(
        "peers = { a = { page = 'x', romo = 'y' } }",
        1,
        "`romo` is no key of a peer that is a page; it can have `allow`, `page` and `start`",
    );
    wrong(
        "[peers.all]\n",
        1,
        "`all`: a peer's name has up to 32 letters, digits, - and _, and is not `all`",
    );
    wrong(
        "peers = { a = { page = 'x', allow = ['bugs'] } }",
        1,
        &format!(
            "`allow`: 'bugs' cannot be used: it is one of {}",
            super::super::watch::CODES.join(", ")
        ),
    );
    wrong(
        "peers = { a = {}, b = {} }\nlines = [['a', 'b'], ['b', 'a']]\n",
        2,
        "`lines`: these two are there already",
    );
    wrong(
        "peers = { a = {}, b = {} }\n[[link]]\nbetween = ['a', 'a']\n",
        3,
        "`between`: these two have no line with each other",
    );
    wrong(
        "network = { los = 0.1 }\npeers = { a = {} }",
        1,
        "`los` is no key of a network; did you mean `loss`?",
    );
    wrong(
        "peers = { a = {} }\nserver = 'ftp://x'\nsteps = []",
        2,
        "`server`: 'ftp://x' cannot be used: a server address begins with http, https, ws or wss, not with ftp",
    );
    let of_a_given_server = format!("{PEERS}server = 'http://x'\nsteps = [{{ server = 'stop' }}]");
    let problem = read(&of_a_given_server, None).unwrap_err();
    assert!(problem.message.contains("own server"), "{problem}");
}

/// Whatever is written there, it is read or refused.
#[test]
fn nothing_that_is_written_there_panics() {
    let mut seed = 1u64;
    let mut next = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize
    };
    let all = include_str!("../../../../examples/flows/room.toml").as_bytes();
    for _ in 0..2000 {
        let mut text = all.to_vec();
        for _ in 0..1 + next() % 4 {
            let at = next() % text.len();
            match next() % 3 {
                0 => text[at] = b"{}[]=\",.x0-\n"[next() % 12],
                1 => drop(text.remove(at)),
                _ => text.truncate(at.max(1)),
            }
        }
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().count();
        if let Err(problem) = read(&text, None) {
            assert!(
                (1..=lines + 1).contains(&problem.line),
                "{problem} in {text}"
            );
        }
    }
}

#[test]
fn every_step_is_documented() {
    let documented = include_str!("../../../../docs/testing.md");
    for verb in steps::VERBS {
        assert!(documented.contains(&format!("`{verb} =")), "{verb}");
    }
}
