//! Networks for tests, with a few words for what is usually wanted.

use super::{Pair, PairConfig, connect_many};
use crate::net::link::LinkConfig;
use crate::net::{self, EmulatedLink};
use crate::session::{Session, SessionError};
use std::time::Duration;

/// A network between the members of a test, the same each way. The same seed loses, delays and repeats the same datagrams
/// of the same traffic.
#[derive(Debug, Clone, Default)]
pub struct Network {
    condition: LinkConfig,
}

/// Everything that two members send each other, to be cut off.
#[derive(Debug, Clone)]
pub struct Wire {
    links: [EmulatedLink; 2],
}

/// A host that has a session with each of several guests.
#[derive(Debug)]
pub struct Room {
    /// The host's sessions, one for each guest.
    pub host: Vec<Session>,
    /// The guests' sessions with the host, in the same order.
    pub guests: Vec<Session>,
}

impl Network {
    /// Nothing is lost, late or limited.
    pub fn perfect() -> Self {
        Self::default()
    }

    /// Loses this share of datagrams, 0 to 1, and has a delay of 10 ms each way, so that repeating them takes time.
    pub fn lossy(share: f64) -> Self {
        Self::perfect().delay(Duration::from_millis(10)).loss(share)
    }

    /// As a phone on the move: 50 ms each way with 15 ms of jitter, 2 % lost, 1 % out of order, 10 Mbit/s.
    pub fn mobile() -> Self {
        Self::perfect()
            .delay(Duration::from_millis(50))
            .with(|condition| {
                condition.jitter = Duration::from_millis(15);
                condition.loss = 0.02;
                condition.reorder = 0.01;
                condition.rate = Some(1_250_000);
            })
    }

    /// Loses this share of datagrams, 0 to 1.
    pub fn loss(self, share: f64) -> Self {
        self.with(|condition| condition.loss = share)
    }

    /// This much delay, each way.
    pub fn delay(self, delay: Duration) -> Self {
        self.with(|condition| condition.delay = delay)
    }

    /// Carries so many bytes a second, each way.
    pub fn rate(self, bytes: u64) -> Self {
        self.with(|condition| condition.rate = Some(bytes))
    }

    /// The seed of everything that is random here; 1 unless it is chosen.
    pub fn seed(self, seed: u64) -> Self {
        self.with(|condition| condition.seed = seed)
    }

    /// Anything else that a link can do.
    pub fn with(mut self, change: impl FnOnce(&mut LinkConfig)) -> Self {
        change(&mut self.condition);
        self
    }

    /// Two sessions with each other, and what is between them.
    ///
    /// # Errors
    /// The first of the two that did not connect says why.
    pub async fn pair(&self) -> Result<(Pair, Wire), SessionError> {
        let mut config = PairConfig::default();
        let links = config.emulate(&self.condition);
        Ok((Pair::connect_with(config).await?, Wire { links }))
    }

    /// A host and `guests` guests. What is between them is one network for all: they share its rate.
    ///
    /// # Errors
    /// The first of them that did not connect says why.
    pub async fn room_of(&self, guests: u16) -> Result<Room, SessionError> {
        let mut config = PairConfig::default();
        config.emulate(&self.condition);
        let sessions = connect_many(guests, config.host, config.guest).await?;
        let (host, guests) = sessions.into_iter().unzip();
        Ok(Room { host, guests })
    }
}

impl Wire {
    /// From now on nothing arrives, and nobody is told.
    pub fn cut(&self) {
        self.links.iter().for_each(|link| link.set_outage(true));
    }

    /// Everything arrives again as before.
    pub fn mend(&self) {
        self.links.iter().for_each(|link| link.set_outage(false));
    }

    /// What happened to what the host sent, and to what was sent to it.
    pub fn stats(&self) -> [net::link::LinkStats; 2] {
        [self.links[0].stats(), self.links[1].stats()]
    }
}

/// Two sessions with each other, on a network without faults.
///
/// # Errors
/// The first of the two that did not connect says why.
pub async fn pair() -> Result<Pair, SessionError> {
    Pair::connect().await
}

/// A host and `guests` guests, on a network without faults.
///
/// # Errors
/// The first of them that did not connect says why.
pub async fn room_of(guests: u16) -> Result<Room, SessionError> {
    Network::perfect().room_of(guests).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{Delivery, Message};

    #[tokio::test]
    async fn words_become_conditions() {
        let network = Network::lossy(0.25).rate(1000).seed(9);
        let condition = network.condition;
        assert_eq!(
            (condition.loss, condition.rate, condition.seed),
            (0.25, Some(1000), 9)
        );
        assert!(!condition.delay.is_zero());
    }

    #[tokio::test]
    async fn everybody_in_a_room_is_connected_with_the_host() {
        let mut room = Network::lossy(0.05).room_of(2).await.unwrap();
        for (number, (host, guest)) in room.host.iter_mut().zip(&room.guests).enumerate() {
            let channel = guest.open("a", "", Delivery::Reliable).await.unwrap();
            channel.send_text(number.to_string()).await.unwrap();
            let mut incoming = host.accept().await.unwrap();
            let heard = incoming.channel.recv().await;
            assert_eq!(heard, Some(Message::Text(number.to_string())));
        }
    }
}
