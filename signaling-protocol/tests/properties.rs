//! Any text is answered, every message survives the wire.
#![allow(clippy::unwrap_used)]

use proptest::{collection::vec, option, prelude::*};
use serde_json::{Value, json};
use signaling_protocol::{
    ClientMessage, IceCandidate, Join, Numbered, OpaqueMessage, PeerId, PeerName, RoomName, Secret,
    ServerMessage,
};

fn peer_id() -> impl Strategy<Value = PeerId> {
    "[A-Za-z0-9_-]{1,32}".prop_map(|text| text.parse().unwrap())
}

fn candidate() -> impl Strategy<Value = IceCandidate> {
    (
        any::<String>(),
        option::of(any::<String>()),
        any::<Option<u16>>(),
        option::of("[a-zA-Z]{4}"),
    )
        .prop_map(
            |(candidate, sdp_mid, sdp_m_line_index, username_fragment)| IceCandidate {
                candidate,
                sdp_mid,
                sdp_m_line_index,
                username_fragment,
            },
        )
}

fn payload() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(8, 32, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((any::<String>(), inner), 0..4)
                .prop_map(|pairs| pairs.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

fn join() -> impl Strategy<Value = ClientMessage> {
    (
        option::of("[A-Za-z0-9][A-Za-z0-9._~-]{0,63}"),
        any::<Option<bool>>(),
        any::<Option<u16>>(),
        option::of("[^\\p{Cc}]{1,64}"),
        option::of(any::<String>()),
        option::of(any::<String>()),
    )
        .prop_map(|(room, create, capacity, name, token, resume)| {
            ClientMessage::Join(Join {
                room: room.map(|text| text.parse::<RoomName>().unwrap()),
                create,
                capacity,
                name: name.map(|text| text.parse::<PeerName>().unwrap()),
                token: token.map(Secret::new),
                resume: resume.map(Secret::new),
                ..Join::default()
            })
        })
}

fn client_message() -> impl Strategy<Value = ClientMessage> {
    let to = || option::of(peer_id());
    prop_oneof![
        join(),
        (to(), any::<String>()).prop_map(|(to, sdp)| ClientMessage::Offer { to, sdp }),
        (to(), any::<String>()).prop_map(|(to, sdp)| ClientMessage::Answer { to, sdp }),
        (to(), option::of(candidate()))
            .prop_map(|(to, candidate)| ClientMessage::IceCandidate { to, candidate }),
        (peer_id(), any::<String>()).prop_map(|(to, data)| ClientMessage::Sealed { to, data }),
        (to(), any::<String>()).prop_map(|(to, content)| ClientMessage::Chat { to, content }),
        (to(), payload()).prop_map(|(to, payload)| ClientMessage::Message { to, payload }),
        Just(ClientMessage::Leave),
        Just(ClientMessage::Ping),
    ]
}

/// Text that is nearly a message: a valid one with a piece cut out or replaced.
fn mangled() -> impl Strategy<Value = String> {
    (
        client_message(),
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        any::<String>(),
    )
        .prop_map(|(message, from, to, insert)| {
            let text: Vec<char> = message.to_json().chars().collect();
            let (a, b) = (from.index(text.len()), to.index(text.len()));
            let (start, end) = (a.min(b), a.max(b));
            text[..start]
                .iter()
                .copied()
                .chain(insert.chars())
                .chain(text[end..].iter().copied())
                .collect()
        })
}

proptest! {
    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        let _ = ClientMessage::parse(&text);
        let _ = ServerMessage::parse(&text);
    }

    #[test]
    fn any_damage_is_answered(text in mangled()) {
        if let Err(error) = ClientMessage::parse(&text) {
            prop_assert!(error.to_string().len() < 1000);
        }
        let _ = ServerMessage::parse(&text);
    }

    #[test]
    fn what_is_passed_on_unread_reads_as_what_is_read(text in mangled(), from in peer_id()) {
        if let Some(opaque) = OpaqueMessage::parse(&text) {
            let read = Numbered::<ClientMessage>::parse(&text).unwrap();
            prop_assert_eq!(opaque.seq, read.seq);
            prop_assert_eq!(opaque.to.as_ref(), read.message.to());
            let relayed = ServerMessage::parse(&opaque.into_relayed(&from)).unwrap();
            prop_assert_eq!(Some(relayed), read.message.into_relayed(from));
        }
    }

    #[test]
    fn a_payload_is_rarely_read(payload in payload(), to in option::of(peer_id())) {
        let text = ClientMessage::Message { to, payload }.to_json();
        prop_assert!(OpaqueMessage::parse(&text).is_some(), "{}", text);
    }

    #[test]
    fn client_messages_survive(message in client_message()) {
        prop_assert_eq!(ClientMessage::parse(&message.to_json()).unwrap(), message);
    }

    #[test]
    fn relayed_messages_survive_with_the_servers_sender(message in client_message(), from in peer_id()) {
        if let Some(relayed) = message.into_relayed(from.clone()) {
            let text = relayed.to_json();
            let value: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&value["from"], &json!(from));
            prop_assert_eq!(value.get("to"), None);
            prop_assert_eq!(ServerMessage::parse(&text).unwrap(), relayed);
        }
    }
}
