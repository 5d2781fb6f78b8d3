//! Lanes for the application: who opens them.

use super::SessionError;
use super::driver::Command;
use crate::channel::Channel;
use crate::net::packet::Packets;
use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot, watch};

/// Opens connections of their own for bulk, each with one channel.
#[async_trait]
pub trait OpenLane: Send + Sync {
    /// How many the other side takes at a time.
    fn most(&self) -> u16;

    /// A channel with this label, that speaks `protocol`, on a connection of its own; `None` if that did not work.
    async fn open(&self, label: String, protocol: &'static str) -> Option<Channel>;

    /// As [`open`](Self::open), if that saves work: the path carries larger packets than those of the session's own
    /// connection, and is short. On a long one what counts is how much it takes, which a lane would have to find out anew.
    async fn open_if_it_pays(&self, label: String, protocol: &'static str) -> Option<Channel> {
        self.open(label, protocol).await
    }
}

#[async_trait]
impl OpenLane for LaneOpener {
    fn most(&self) -> u16 {
        Self::most(self)
    }

    async fn open(&self, label: String, protocol: &'static str) -> Option<Channel> {
        let opened = Self::open(self, label, protocol).await;
        opened
            .inspect_err(|error| tracing::info!(%error, "a lane could not be opened"))
            .ok()
    }

    async fn open_if_it_pays(&self, label: String, protocol: &'static str) -> Option<Channel> {
        let found = *self.packets.clone().wait_for(Option::is_some).await.ok()?;
        match found?.pay() {
            true => OpenLane::open(self, label, protocol).await,
            false => None,
        }
    }
}

/// Opens lanes of a session: connections of their own, each with one channel, which the peer accepts like
/// any other. It does not keep the session alive.
#[derive(Debug, Clone)]
pub struct LaneOpener {
    pub(super) commands: mpsc::WeakSender<Command>,
    pub(super) most: u16,
    /// Those of new lanes; `None` while their size is looked for.
    pub(super) packets: watch::Receiver<Option<Packets>>,
}

impl LaneOpener {
    /// How many the peer takes at a time.
    pub fn most(&self) -> u16 {
        self.most
    }

    /// Opens a lane with a reliable channel on it, in the largest packets that the path was proved to
    /// carry. Dropping the channel closes the lane.
    ///
    /// # Errors
    /// The session has ended, the peer takes no more lanes, or the connection did not come up.
    pub async fn open(
        &self,
        label: impl Into<String>,
        protocol: impl Into<String>,
    ) -> Result<Channel, SessionError> {
        self.open_within(label, protocol, None).await
    }

    /// As [`open`](Self::open), in packets of at most `most` bytes of UDP payload.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_within(
        &self,
        label: impl Into<String>,
        protocol: impl Into<String>,
        most: Option<u16>,
    ) -> Result<Channel, SessionError> {
        let (reply, opened) = oneshot::channel();
        let command = Command::OpenLane {
            label: label.into(),
            protocol: protocol.into(),
            most,
            reply,
        };
        let commands = self.commands.upgrade().ok_or(SessionError::Closed)?;
        commands
            .send(command)
            .await
            .map_err(|_| SessionError::Closed)?;
        drop(commands);
        opened.await.map_err(|_| SessionError::Closed)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::packet;

    #[tokio::test]
    async fn a_lane_is_offered_only_if_it_pays() {
        let packets = |size, repaired| Some(Packets { size, repaired });
        for (found, pays) in [
            (packets(packet::BASE, false), false),
            (packets(packet::BASE + 1, false), true),
            (packets(1472, true), false),
        ] {
            let (commands, mut asked) = mpsc::channel(1);
            let (finding, packets) = watch::channel(None);
            let opener = LaneOpener {
                commands: commands.downgrade(),
                most: 1,
                packets,
            };
            let opening = opener.open_if_it_pays("1".into(), "x");
            finding.send_replace(found);
            let was_asked = tokio::select! {
                opened = opening => {
                    assert!(opened.is_none());
                    false
                }
                command = asked.recv() => command.is_some(),
            };
            assert_eq!(was_asked, pays, "{found:?}");
        }
    }
}
