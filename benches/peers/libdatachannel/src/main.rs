//! The data channel of libdatachannel: its defaults, and backpressure by its callback.

use datachannel::{
    DataChannelHandler, DataChannelInfo, GatheringState, PeerConnectionHandler, RtcConfig,
    RtcDataChannel, RtcPeerConnection,
};
use peers_common::{ANSWER, HIGH_WATER, LOW_WATER, MESSAGE, Role, arguments, put, report, wait};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// What a channel tells.
enum Event {
    Open,
    Low,
    Answer(Vec<u8>),
    All(Duration),
}

struct Channel {
    events: SyncSender<Event>,
    /// What is to be received; 0 for the sender, who gets an answer.
    expected: usize,
    received: usize,
    begun: Option<Instant>,
}

impl DataChannelHandler for Channel {
    fn on_open(&mut self) {
        let _ = self.events.try_send(Event::Open);
    }

    fn on_buffered_amount_low(&mut self) {
        let _ = self.events.try_send(Event::Low);
    }

    fn on_message(&mut self, message: &[u8]) {
        if self.expected == 0 {
            let _ = self.events.try_send(Event::Answer(message.to_vec()));
            return;
        }
        let begun = *self.begun.get_or_insert_with(Instant::now);
        self.received += message.len();
        if self.received >= self.expected {
            let _ = self.events.try_send(Event::All(begun.elapsed()));
        }
    }
}

struct Peer {
    events: SyncSender<Event>,
    expected: usize,
    gathered: SyncSender<()>,
    channels: SyncSender<Box<RtcDataChannel<Channel>>>,
}

impl Peer {
    fn channel(&self) -> Channel {
        Channel {
            events: self.events.clone(),
            expected: self.expected,
            received: 0,
            begun: None,
        }
    }
}

impl PeerConnectionHandler for Peer {
    type DCH = Channel;

    fn data_channel_handler(&mut self, _: DataChannelInfo) -> Channel {
        self.channel()
    }

    fn on_gathering_state_change(&mut self, state: GatheringState) {
        if state == GatheringState::Complete {
            let _ = self.gathered.try_send(());
        }
    }

    fn on_data_channel(&mut self, channel: Box<RtcDataChannel<Channel>>) {
        let _ = self.channels.try_send(channel);
    }
}

fn main() {
    let arguments = arguments();
    let (dir, bytes) = (&arguments.dir, arguments.bytes);
    let (events, told) = sync_channel(64);
    let (gathered, complete) = sync_channel(1);
    let (channels, opened) = sync_channel(1);
    let expected = match arguments.role {
        Role::Send => 0,
        Role::Receive => bytes,
    };
    let peer = Peer {
        events,
        expected,
        gathered,
        channels,
    };
    let ours = peer.channel();
    let no_servers: [&str; 0] = [];
    let config = RtcConfig::new(&no_servers).bind_address(&"127.0.0.1");
    let mut connection = RtcPeerConnection::new(&config, peer).expect("a connection");
    let described = |connection: &RtcPeerConnection<Peer>| {
        complete.recv().expect("the handler lives");
        let description = connection.local_description().expect("gathered");
        serde_json::to_string(&description).expect("serialises")
    };
    match arguments.role {
        Role::Send => {
            let mut channel = connection
                .create_data_channel("data", ours)
                .expect("a channel");
            put(dir, "offer", &described(&connection));
            let answer = serde_json::from_str(&wait(dir, "answer")).expect("a description");
            connection
                .set_remote_description(&answer)
                .expect("an answer");
            while !matches!(told.recv(), Ok(Event::Open)) {}
            send(&mut channel, &told, bytes);
            loop {
                match told.recv().expect("the handler lives") {
                    Event::Answer(answer) => break assert_eq!(answer, ANSWER),
                    _ => continue,
                }
            }
            put(dir, "done", "");
        }
        Role::Receive => {
            let offer = serde_json::from_str(&wait(dir, "offer")).expect("a description");
            connection.set_remote_description(&offer).expect("an offer");
            put(dir, "answer", &described(&connection));
            let mut channel = opened.recv().expect("the handler lives");
            let elapsed = loop {
                match told.recv().expect("the handler lives") {
                    Event::All(elapsed) => break elapsed,
                    _ => continue,
                }
            };
            channel.send(ANSWER).expect("it is open");
            wait(dir, "done");
            report(bytes, elapsed);
        }
    }
}

fn send(channel: &mut RtcDataChannel<Channel>, told: &Receiver<Event>, bytes: usize) {
    channel
        .set_buffered_amount_low_threshold(LOW_WATER)
        .expect("it is open");
    let message = vec![7; MESSAGE];
    let mut left = bytes;
    while left > 0 {
        let length = left.min(MESSAGE);
        channel.send(&message[..length]).expect("it is open");
        left -= length;
        while channel.buffered_amount() > HIGH_WATER {
            // An earlier word may still be in the queue; the amount decides.
            let _ = told.recv_timeout(Duration::from_millis(5));
        }
    }
}
