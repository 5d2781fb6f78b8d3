//! Rooms over channels: lines that end, and what is shown then.

use super::tests::note;
use super::{Chat, ChatError, Event, Events, Kind, Name};
use crate::channel::Channel;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::timeout;

/// How long what takes a second or two may take where much else runs.
const PATIENCE: Duration = Duration::from_secs(120);

/// One that shows what it is told, until it has so many of each name.
async fn watch(mut events: Events, until: &[(&str, usize)]) -> BTreeMap<String, Vec<String>> {
    let mut shown = BTreeMap::<String, Vec<String>>::new();
    let has =
        |shown: &BTreeMap<String, Vec<String>>, name: &str| shown.get(name).map_or(0, Vec::len);
    while until.iter().any(|(name, count)| has(&shown, name) < *count) {
        note(&mut shown, vec![events.next().await]);
    }
    shown
}

/// Takes part over channels that are cut after so long.
async fn attended(host: &Chat, guest: &Chat, cuts: &[Duration]) {
    for limit in cuts.iter().map(Some).chain([None]) {
        let (left, right) = Channel::pair("chat");
        let both = async {
            {
                let (host, guest) = (host.line(), guest.line());
                tokio::join!(host.attend(left), guest.attend(right))
            }
        };
        match limit {
            Some(limit) => drop(timeout(*limit, both).await),
            None => drop(both.await),
        }
    }
}

#[tokio::test]
async fn a_line_that_ends_while_nothing_is_shown_loses_no_message() {
    const COUNT: usize = 200;
    let (host, host_events) = Chat::host(Name::new("host"));
    let (anna, _) = Chat::guest(Name::new("anna"));
    for number in 0..COUNT {
        anna.say(Kind::Text, number.to_string()).await.unwrap();
    }
    // As much is taken as waits to be shown, and not more however long it is tried.
    let stuck = async {
        while anna.unsettled() as usize > COUNT - 32 {
            tokio::task::yield_now().await;
        }
        let mut before = COUNT;
        while before > anna.unsettled() as usize {
            before = anna.unsettled() as usize;
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
        }
        before
    };
    let left = tokio::select! {
        left = timeout(PATIENCE, stuck) => left.unwrap(),
        () = attended(&host, &anna, &[]) => unreachable!("the line does not break"),
    };
    assert!(left > COUNT / 2, "{left}");
    let shown = tokio::select! {
        shown = timeout(PATIENCE, watch(host_events, &[("anna", COUNT)])) => shown.unwrap(),
        () = attended(&host, &anna, &[]) => unreachable!("the line does not break"),
    };
    let expected: Vec<String> = (0..COUNT).map(|number| number.to_string()).collect();
    assert_eq!(shown["anna"], expected);
}

#[tokio::test]
async fn ten_thousand_each_way_among_three_over_lines_that_break() {
    const COUNT: usize = 10_000;
    let (host, host_events) = Chat::host(Name::new("host"));
    let (anna, anna_events) = Chat::guest(Name::new("anna"));
    let (bob, bob_events) = Chat::guest(Name::new("bob"));
    let speak = |chat: Chat| async move {
        for number in 0..COUNT {
            chat.say(Kind::Text, number.to_string()).await.unwrap();
        }
        chat.settled(Duration::from_secs(60)).await
    };
    let cuts = [20, 50, 90, 30].map(Duration::from_millis);
    let everything = async {
        tokio::join!(
            watch(host_events, &[("anna", COUNT), ("bob", COUNT)]),
            watch(anna_events, &[("host", COUNT), ("bob", COUNT)]),
            watch(bob_events, &[("host", COUNT), ("anna", COUNT)]),
        )
    };
    // Those who come first hear all of it.
    let talking = async {
        while host.others().len() < 2 {
            tokio::task::yield_now().await;
        }
        tokio::join!(speak(host.clone()), speak(anna.clone()), speak(bob.clone()))
    };
    let lines = async {
        tokio::join!(
            attended(&host, &anna, &cuts),
            attended(&host, &bob, &cuts[1..])
        )
    };
    let done = async { tokio::join!(everything, talking) };
    let (shown, left) = tokio::select! {
        done = timeout(PATIENCE, done) => done.expect("somebody is not shown something"),
        _ = lines => unreachable!("the last lines do not break"),
    };
    assert_eq!(left, (0, 0, 0));
    let expected: Vec<String> = (0..COUNT).map(|number| number.to_string()).collect();
    for shown in [shown.0, shown.1, shown.2] {
        for (name, texts) in shown {
            assert!(texts == expected, "{name}: {} messages", texts.len());
        }
    }
}

#[tokio::test]
async fn what_is_no_message_ends_the_line_and_nobody_else_hears_of_it() {
    let (host, mut events) = Chat::host(Name::new("host"));
    for bad in ["", "{}", "{\"type\":\"say\"}", "\u{1b}]52;c;x\u{7}"] {
        let (left, right) = Channel::pair("chat");
        right.send_text(bad.to_owned()).await.unwrap();
        let why = host.line().attend(left).await;
        assert!(matches!(why, ChatError::Protocol(_)), "{bad}: {why}");
    }
    let none = timeout(Duration::from_millis(1), events.next()).await;
    assert!(none.is_err());
}

#[tokio::test]
async fn who_says_goodbye_has_left_at_once() {
    let (host, mut events) = Chat::host(Name::new("host"));
    let (guest, mut of_guest) = Chat::guest(Name::new("HOST"));
    let (left, right) = Channel::pair("chat");
    let (line, of_line) = (host.line(), guest.line());
    let attending = async move {
        let of_line = of_line;
        let meeting = async {
            let Event::Entered { name, others, .. } = of_guest.next().await else {
                panic!()
            };
            assert_eq!((name.as_str(), others[0].as_str()), ("HOST-2", "host"));
        };
        tokio::select! {
            () = meeting => {}
            _ = of_line.attend(right) => panic!("it hung up"),
        }
    };
    let (ended, ()) = tokio::join!(line.attend(left), attending);
    assert_eq!(ended, ChatError::Closed);
    line.forget();
    let name = || Name::new("HOST-2");
    for expected in [Event::Came(name()), Event::Left(name())] {
        assert_eq!(events.next().await, expected);
    }
}

#[tokio::test]
async fn too_long_a_text_is_not_said() {
    let (chat, _events) = Chat::guest(Name::new("anna"));
    let long = "x".repeat(super::MAX_TEXT + 1);
    assert_eq!(chat.say(Kind::Text, long).await, Err(ChatError::TooLong));
}
