//! Measuring a line, between two that mean well and against one that does not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use peerline::bench::{BenchError, Ends, Event, LABEL, PROTOCOL, Plan, Report, follow, lead};
use peerline::channel::{Channel, Delivery};
use peerline::session::Session;
use peerline::testing::Pair;
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Many times what any of these takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(90);

fn ends(session: &mut Session) -> Ends {
    Ends {
        lanes: session.lanes(),
        incoming: session.incoming(),
        stop: CancellationToken::new(),
    }
}

/// The channel of a measurement: the guest leads.
async fn channels(pair: &mut Pair) -> (Channel, Channel) {
    let opened = pair.guest.open(LABEL, PROTOCOL, Delivery::Reliable).await;
    let accepted = pair.host.accept().await.unwrap();
    assert_eq!(accepted.protocol, PROTOCOL);
    (opened.unwrap(), accepted.channel)
}

fn plan(lanes: &[u16]) -> Plan {
    Plan {
        duration: Duration::from_millis(150),
        lanes: lanes.to_vec(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_get_the_same_result() {
    let mut pair = Pair::connect().await.unwrap();
    let (ours, theirs) = channels(&mut pair).await;
    let (guest, host) = (ends(&mut pair.guest), ends(&mut pair.host));
    let mut begun = Vec::new();
    let plan = plan(&[1, 2]);
    let leading = lead(ours, guest, &plan, |event| {
        if let Event::Begun(step) = event {
            begun.push((step.sender, step.lanes, step.packet));
        }
    });
    let both = async { tokio::join!(leading, follow(theirs, host, |_| ())) };
    let (led, followed) = timeout(LIMIT, both).await.expect("in time");
    let led = led.unwrap();
    assert_eq!(followed.as_ref(), Ok(&led));

    let Report::Idle { latency } = &led[0] else {
        panic!("{led:#?}");
    };
    assert!(latency.samples > 0 && latency.p50 <= latency.p90 && latency.p90 <= latency.p99);
    let mut packets = Vec::new();
    for (report, (sender, lanes, most)) in led[1..].iter().zip(&begun) {
        let Report::Rate {
            sender: by,
            lanes: over,
            packet,
            bytes,
            micros,
            latency,
        } = report
        else {
            panic!("{led:#?}");
        };
        assert_eq!((by, over), (sender, lanes));
        assert!(*bytes > 0 && *micros > 1 && latency.is_some(), "{report:?}");
        assert!(*most == 0 || packet == most, "{report:?}");
        packets.push(*packet);
    }
    // Loopback carries the largest there is, and the two smaller sizes are compared with it.
    assert_eq!(
        packets,
        [16_376, 16_376, 16_376, 16_376, 1472, 1472, 1228, 1228]
    );
}

/// What a hostile side says instead, and what the other one then returns.
type Script = (&'static [&'static str], BenchError);

fn protocol(reason: &'static str) -> BenchError {
    BenchError::Protocol(reason)
}

#[tokio::test]
async fn a_follower_does_nothing_that_may_not_be_asked_for() {
    let cases: [Script; 8] = [
        (&["{"], protocol("its message makes no sense")),
        (
            &[r#"{"type":"pong","id":0}"#],
            protocol("it answered a ping that nobody sent"),
        ),
        (
            &[r#"{"type":"received","step":0,"bytes":1,"micros":1}"#],
            protocol("it spoke out of turn"),
        ),
        (
            &[r#"{"type":"run","step":1,"sender":"follower","lanes":1,"packet":0,"millis":100}"#],
            protocol("a measurement is out of turn"),
        ),
        (
            &[r#"{"type":"run","step":0,"sender":"follower","lanes":17,"packet":0,"millis":100}"#],
            protocol("it asks for a number of lanes that cannot be"),
        ),
        (
            &[
                r#"{"type":"run","step":0,"sender":"follower","lanes":1,"packet":0,"millis":4000000000}"#,
            ],
            protocol("it asks for a duration that cannot be"),
        ),
        // One while another is under way.
        (
            &[
                r#"{"type":"run","step":0,"sender":"leader","lanes":1,"packet":0,"millis":100}"#,
                r#"{"type":"run","step":1,"sender":"leader","lanes":1,"packet":0,"millis":100}"#,
            ],
            protocol("it spoke out of turn"),
        ),
        // Nothing was opened, and nothing sent: the follower waits for it, and the leader hangs up.
        (
            &[
                r#"{"type":"dance"}"#,
                r#"{"type":"run","step":0,"sender":"leader","lanes":1,"packet":0,"millis":100}"#,
                r#"{"type":"sent","step":0,"bytes":5,"packet":1228}"#,
            ],
            BenchError::Closed,
        ),
    ];
    for (script, expected) in cases {
        let mut pair = Pair::connect().await.unwrap();
        let (ours, theirs) = channels(&mut pair).await;
        let host = ends(&mut pair.host);
        for line in script {
            ours.send_text((*line).to_owned()).await.unwrap();
        }
        // It is sent before the channel closes.
        drop(ours);
        let followed = timeout(LIMIT, follow(theirs, host, |_| ())).await;
        assert_eq!(followed.expect("in time"), Err(expected), "{script:?}");
    }
}

#[tokio::test]
async fn a_follower_keeps_no_more_reports_than_there_can_be() {
    let mut pair = Pair::connect().await.unwrap();
    let (ours, theirs) = channels(&mut pair).await;
    let host = ends(&mut pair.host);
    let flooding = async {
        let report = r#"{"type":"report","what":"failed","sender":"leader","lanes":1,"packet":0,"reason":"x"}"#;
        while ours.send_text(report.to_owned()).await.is_ok() {}
    };
    let followed = follow(theirs, host, |_| ());
    let both = async { tokio::join!(followed, flooding).0 };
    let followed = timeout(LIMIT, both).await.expect("in time");
    assert_eq!(followed, Err(protocol("it reports too much")));
}

#[tokio::test]
async fn a_leader_believes_no_answer_to_what_it_did_not_ask() {
    let cases: [Script; 4] = [
        (
            &[r#"{"type":"pong","id":7}"#],
            protocol("it answered a ping that nobody sent"),
        ),
        (
            &[r#"{"type":"failed","step":0,"reason":"no"}"#],
            protocol("it spoke out of turn"),
        ),
        (&[r#"{"type":"end"}"#], protocol("it spoke out of turn")),
        (&[], BenchError::Closed),
    ];
    for (script, expected) in cases {
        let mut pair = Pair::connect().await.unwrap();
        let (ours, theirs) = channels(&mut pair).await;
        let guest = ends(&mut pair.guest);
        for line in script {
            theirs.send_text((*line).to_owned()).await.unwrap();
        }
        drop(theirs);
        let led = timeout(LIMIT, lead(ours, guest, &plan(&[1]), |_| ())).await;
        assert_eq!(led.expect("in time"), Err(expected), "{script:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_side_that_is_told_to_stop_stops_at_once() {
    let mut pair = Pair::connect().await.unwrap();
    let (ours, theirs) = channels(&mut pair).await;
    let (guest, host) = (ends(&mut pair.guest), ends(&mut pair.host));
    let stop = guest.stop.clone();
    let plan = Plan {
        duration: Duration::from_secs(60),
        lanes: vec![1],
    };
    let leading = lead(ours, guest, &plan, |_| stop.cancel());
    let both = async { tokio::join!(leading, follow(theirs, host, |_| ())) };
    let (led, followed) = timeout(LIMIT, both).await.expect("in time");
    assert_eq!(led, Err(BenchError::Cancelled));
    assert_eq!(followed, Err(BenchError::Closed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_is_not_who_counts() {
    // A follower that claims more than it got is found out: what counts is what was sent.
    let mut pair = Pair::connect().await.unwrap();
    let (ours, mut theirs) = channels(&mut pair).await;
    let guest = ends(&mut pair.guest);
    let lying = async {
        while let Some(message) = theirs.recv().await {
            let peerline::channel::Message::Text(text) = message else {
                panic!("only text is said");
            };
            let answer = if text.contains("ping") {
                text.replace("ping", "pong")
            } else if text.contains("sent") {
                r#"{"type":"received","step":0,"bytes":18446744073709551615,"micros":1}"#.to_owned()
            } else {
                continue;
            };
            if theirs.send_text(answer).await.is_err() {
                break;
            }
        }
    };
    // Its lanes are read, or they would stand still.
    let mut incoming = pair.host.incoming();
    let reading = async {
        while let Some(mut lane) = incoming.next().await {
            tokio::spawn(async move { while lane.channel.recv().await.is_some() {} });
        }
    };
    let plan = plan(&[1]);
    let leading = lead(ours, guest, &plan, |_| ());
    let led = tokio::select! {
        led = timeout(LIMIT, leading) => led.expect("in time"),
        () = lying => panic!("it was not done"),
        () = reading => panic!("the session ended"),
    };
    assert_eq!(led, Err(protocol("it spoke out of turn")));
}
