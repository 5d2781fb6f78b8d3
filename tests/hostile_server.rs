//! A signaling server that interferes with a paired session gets nothing, and both sides say why they
//! stopped. The exchange of keys has its own, larger table in `src/pairing/adversary/`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use peerline::channel::{Delivery, Message};
use peerline::net::link::LinkConfig;
use peerline::pairing::Code;
use peerline::session::{Healing, SessionError};
use peerline::signaling::memory::{Relayed, Server};
use peerline::testing::{PairConfig, connect_both};
use signaling_protocol::ServerMessage;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// Pairing's 30 s and the 15 s for a description, and a slow machine.
const LIMIT: Duration = Duration::from_secs(80);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attack {
    Drop,
    Repeat,
    Flip,
    Truncate,
    Reflect,
    SwapWithNext,
}

/// Who sends the message that is attacked: the host joined first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Host,
    Guest,
}

/// Attacks one sealed message: the guest sends its share, its proof, the offer and candidates; the
/// host its share, its proof, the answer and candidates.
fn hostile(attack: Attack, from: From, number: usize) -> Server {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut first_sender = None;
    let mut kept = None;
    Server::with_tap(move |relayed| {
        let ServerMessage::Sealed { data, .. } = &relayed.message else {
            return vec![relayed];
        };
        let sender = relayed.from.to_string();
        // The first sealed message of a room is the guest's share.
        let guest = first_sender.get_or_insert_with(|| sender.clone());
        let is_target_side = (*guest == sender) == (from == From::Guest);
        let count = seen.entry(sender).or_default();
        let index = *count;
        *count += 1;
        if is_target_side && index == number + 1 && kept.is_some() {
            return vec![relayed, kept.take().expect("it was just looked at")];
        }
        if !is_target_side || index != number {
            return vec![relayed];
        }
        let mut bytes = URL_SAFE_NO_PAD.decode(data).expect("records are base64url");
        match attack {
            Attack::Drop => vec![],
            Attack::Repeat => vec![relayed.clone(), relayed],
            Attack::Flip => {
                let last = bytes.len() - 1;
                bytes[last] ^= 1;
                vec![with_data(relayed, &bytes)]
            }
            Attack::Truncate => {
                bytes.truncate(bytes.len() - 1);
                vec![with_data(relayed, &bytes)]
            }
            Attack::Reflect => {
                let from = relayed.to.clone();
                let data = data.clone();
                vec![Relayed {
                    to: relayed.from,
                    from: from.clone(),
                    message: ServerMessage::Sealed { from, data },
                }]
            }
            Attack::SwapWithNext => {
                kept = Some(relayed);
                vec![]
            }
        }
    })
}

fn with_data(mut relayed: Relayed, bytes: &[u8]) -> Relayed {
    if let ServerMessage::Sealed { data, .. } = &mut relayed.message {
        *data = URL_SAFE_NO_PAD.encode(bytes);
    }
    relayed
}

/// Whether an error tells its user that somebody interfered or that the code was not shared.
fn says_why(error: &SessionError) -> bool {
    matches!(error, SessionError::Pairing(_) | SessionError::Tampered(_))
}

#[tokio::test(flavor = "multi_thread")]
async fn interference_before_the_connection_ends_both_sides() {
    let mut cases = JoinSet::new();
    for from in [From::Guest, From::Host] {
        // 1 is the proof of the code, 2 the description. The shares themselves are the pairing's table.
        for number in [1, 2] {
            for attack in [
                Attack::Drop,
                Attack::Repeat,
                Attack::Flip,
                Attack::Truncate,
                Attack::Reflect,
                Attack::SwapWithNext,
            ] {
                cases.spawn(async move {
                    let server = hostile(attack, from, number);
                    let config = PairConfig {
                        server,
                        ..PairConfig::default()
                    };
                    let outcome = tokio::time::timeout(LIMIT, connect_both(config, None)).await;
                    (from, number, attack, outcome)
                });
            }
        }
    }
    while let Some(case) = cases.join_next().await {
        let (from, number, attack, outcome) = case.unwrap();
        let name = format!("{attack:?} of message {number} of the {from:?}");
        let (host, guest) = outcome.unwrap_or_else(|_| panic!("{name}: a side did not end"));
        match (&host, &guest) {
            (Err(host), Err(guest)) => {
                println!("{name}: host: {host}; guest: {guest}");
                assert!(
                    says_why(host) && says_why(guest),
                    "{name}: host: {host:?}; guest: {guest:?}"
                );
            }
            // What is refused after the connection was verified costs the server its use, not the line.
            (Ok(_), Ok(_)) => assert!(
                number == 2 && matches!(attack, Attack::Repeat | Attack::SwapWithNext),
                "{name}: nobody noticed"
            ),
            _ => panic!(
                "{name}: only one side stopped: host {:?}; guest {:?}",
                host.err(),
                guest.err()
            ),
        }
    }
}

/// What a server may do to every record behind an interruption.
#[derive(Debug, Clone, Copy)]
enum Later {
    Drop,
    Repeat,
    Flip,
    Reflect,
    /// Offers, answers and candidates of before in front of each.
    Replay,
}

fn hostile_later(attack: Later, armed: Arc<AtomicBool>) -> Server {
    let mut before = Vec::new();
    Server::with_tap(move |relayed| {
        let ServerMessage::Sealed { data, .. } = &relayed.message else {
            return vec![relayed];
        };
        if !armed.load(Ordering::SeqCst) {
            before.push(relayed.clone());
            return vec![relayed];
        }
        match attack {
            Later::Drop => vec![],
            Later::Repeat => vec![relayed.clone(), relayed],
            Later::Flip => {
                let mut bytes = URL_SAFE_NO_PAD.decode(data).expect("records are base64url");
                let last = bytes.len() - 1;
                bytes[last] ^= 1;
                vec![with_data(relayed, &bytes)]
            }
            Later::Reflect => {
                let (from, data) = (relayed.to.clone(), data.clone());
                vec![Relayed {
                    to: relayed.from,
                    from: from.clone(),
                    message: ServerMessage::Sealed { from, data },
                }]
            }
            Later::Replay => {
                let old = before.iter().filter(|old| old.to == relayed.to);
                old.cloned().chain([relayed.clone()]).collect()
            }
        }
    })
}

/// ICE was restarted, and only the server could bring both together again.
#[tokio::test(flavor = "multi_thread")]
async fn interference_with_a_restart_of_ice_leads_nowhere() {
    const TIMES: u32 = 8;
    let mut cases = JoinSet::new();
    for attack in [
        Later::Drop,
        Later::Repeat,
        Later::Flip,
        Later::Reflect,
        Later::Replay,
    ] {
        cases.spawn(async move {
            let armed = Arc::<AtomicBool>::default();
            let mut config = PairConfig {
                server: hostile_later(attack, armed.clone()),
                ..PairConfig::default()
            };
            for side in [&mut config.host, &mut config.guest] {
                side.healing = Healing::default().faster(TIMES);
            }
            let links = config.emulate(&LinkConfig::default());
            let (host, guest) = connect_both(config, None).await;
            let (mut host, guest) = (host.unwrap(), guest.unwrap());
            let ours = guest.open("kept", "", Delivery::Reliable).await.unwrap();
            let mut theirs = host.accept().await.unwrap().channel;
            armed.store(true, Ordering::SeqCst);
            links.iter().for_each(|link| link.set_outage(true));
            ours.send_text("said in the dark".into()).await.unwrap();
            // Not a wait for something to happen: this is how long the network is gone.
            tokio::time::sleep(Duration::from_secs(40) / TIMES).await;
            links.iter().for_each(|link| link.set_outage(false));
            let heard = theirs.recv().await;
            if heard.is_some() {
                return (attack, heard, None);
            }
            let ends = tokio::join!(host.ended(), guest.ended());
            (attack, heard, Some(ends))
        });
    }
    while let Some(case) = tokio::time::timeout(LIMIT, cases.join_next())
        .await
        .expect("every side ends or goes on")
    {
        let (attack, heard, ends) = case.unwrap();
        println!("{attack:?}: {heard:?} {ends:?}");
        match (heard, ends) {
            // What came through before it was noticed was enough.
            (Some(heard), _) => {
                assert_eq!(heard, Message::Text("said in the dark".into()));
                assert!(
                    matches!(attack, Later::Repeat),
                    "{attack:?}: nobody noticed"
                );
            }
            (None, Some((host, guest))) => {
                // One gives up, and may leave before the other does.
                for end in [&host, &guest] {
                    assert!(
                        matches!(**end, SessionError::Lost | SessionError::Gone),
                        "{attack:?}: {end}"
                    );
                }
                assert!(
                    [&host, &guest]
                        .iter()
                        .any(|end| matches!(***end, SessionError::Lost)),
                    "{attack:?}"
                );
            }
            (None, None) => unreachable!("one of them is there"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_guess_ends_both_sides() {
    let guess = Some("10-abandon-ability-able".parse::<Code>().unwrap());
    let (host, guest) = tokio::time::timeout(LIMIT, connect_both(PairConfig::default(), guess))
        .await
        .unwrap();
    for side in [host, guest] {
        let error = side.map(drop).unwrap_err();
        assert!(matches!(error, SessionError::Pairing(_)), "{error:?}");
    }
}
