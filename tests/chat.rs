//! A room over real sessions, on links that are cut.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use peerline::channel::Delivery;
use peerline::chat::{Chat, Event, Events, Kind, LABEL, Name, PROTOCOL};
use peerline::net::link::LinkConfig;
use peerline::session::{Connectivity, Session, SessionConfig};
use peerline::testing::{Pair, PairConfig, connect_many};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::watch;

/// Longest time that anything here may take: an outage and a slow machine.
const LIMIT: Duration = Duration::from_secs(100);

const COUNT: usize = 10_000;

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future)
        .await
        .unwrap_or_else(|_| panic!("{what} took too long"))
}

/// Takes part in the room with one guest, until the line ends.
async fn host_one(chat: &Chat, session: &mut Session) {
    let incoming = session.accept().await.unwrap();
    assert_eq!(incoming.protocol, PROTOCOL);
    chat.line().attend(incoming.channel).await;
}

async fn visit(chat: &Chat, session: &Session) {
    let channel = session
        .open(LABEL, PROTOCOL, Delivery::Reliable)
        .await
        .unwrap();
    chat.line().attend(channel).await;
}

async fn speak(chat: &Chat) {
    for number in 0..COUNT {
        chat.say(Kind::Text, number.to_string()).await.unwrap();
    }
    assert_eq!(chat.settled(LIMIT).await, 0);
}

/// What each of these has said, when all have said everything. `seen` counts.
async fn listen(mut events: Events, of: &[&str], seen: watch::Sender<usize>) {
    let mut shown = BTreeMap::<String, Vec<usize>>::new();
    while of
        .iter()
        .any(|name| shown.get(*name).map_or(0, Vec::len) < COUNT)
    {
        if let Event::Said(said) = events.next().await {
            let number = said.text.parse().unwrap();
            shown.entry(said.name.to_string()).or_default().push(number);
            seen.send_modify(|seen| *seen += 1);
        }
    }
    for (name, numbers) in shown {
        assert!(
            numbers.into_iter().eq(0..COUNT),
            "of {name}: not each once and in order"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_each_way_and_the_path_is_lost_in_between() {
    let mut config = PairConfig::default();
    let links = config.emulate(&LinkConfig {
        delay: Duration::from_millis(2),
        seed: 11,
        ..LinkConfig::default()
    });
    let mut pair = within("connecting", Pair::connect_with(config))
        .await
        .unwrap();
    let (host, host_events) = Chat::host(Name::new("host"));
    let (guest, guest_events) = Chat::guest(Name::new("guest"));
    let (seen, mut watched) = watch::channel(0);
    let mut connectivity = pair.guest.connectivity();
    let outage = async {
        watched.wait_for(|seen| *seen >= COUNT / 4).await.unwrap();
        links.iter().for_each(|link| link.set_outage(true));
        let lost = |state: &Connectivity| matches!(state, Connectivity::Interrupted(_));
        connectivity.wait_for(lost).await.unwrap();
        assert!(*watched.borrow() < COUNT, "it was over before it was cut");
        links.iter().for_each(|link| link.set_outage(false));
    };
    let talking = async {
        // Who comes late is not shown everything.
        while host.others().is_empty() {
            tokio::task::yield_now().await;
        }
        tokio::join!(
            speak(&host),
            speak(&guest),
            listen(host_events, &["guest"], watch::Sender::new(0)),
            listen(guest_events, &["host"], seen),
            outage,
        )
    };
    let lines = async { tokio::join!(host_one(&host, &mut pair.host), visit(&guest, &pair.guest)) };
    let both = async {
        tokio::select! {
            _ = talking => {}
            _ = lines => panic!("the line ended"),
        }
    };
    within("talking", both).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_in_a_room_and_one_comes_back_in_a_new_session() {
    let local = SessionConfig::default();
    let pairs = within("connecting", connect_many(3, local.clone(), local))
        .await
        .unwrap();
    // The last session is the second guest's next one.
    let [
        (mut to_anna, anna_session),
        (mut to_bob, bob_session),
        (mut to_bob_again, bob_again),
    ] = <[_; 3]>::try_from(pairs).unwrap();
    let (host, host_events) = Chat::host(Name::new("host"));
    let (anna, anna_events) = Chat::guest(Name::new("anna"));
    let (bob, bob_events) = Chat::guest(Name::new("bob"));
    let (seen, mut watched) = watch::channel(0);
    let bobs_lines = async {
        let broken = async {
            watched.wait_for(|seen| *seen >= COUNT / 2).await.unwrap();
        };
        let first = async { tokio::join!(host_one(&host, &mut to_bob), visit(&bob, &bob_session)) };
        tokio::select! {
            _ = first => panic!("the line ended"),
            () = broken => {}
        }
        tokio::join!(host_one(&host, &mut to_bob_again), visit(&bob, &bob_again));
    };
    let annas_line =
        async { tokio::join!(host_one(&host, &mut to_anna), visit(&anna, &anna_session)) };
    let talking = async {
        while host.others().len() < 2 {
            tokio::task::yield_now().await;
        }
        tokio::join!(
            speak(&host),
            speak(&anna),
            speak(&bob),
            listen(host_events, &["anna", "bob"], watch::Sender::new(0)),
            listen(anna_events, &["host", "bob"], watch::Sender::new(0)),
            listen(bob_events, &["host", "anna"], seen),
        )
    };
    let everything = async {
        tokio::select! {
            _ = talking => {}
            () = bobs_lines => panic!("the line ended"),
            _ = annas_line => panic!("the line ended"),
        }
    };
    within("talking", everything).await;
}
