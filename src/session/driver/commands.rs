//! What a [`Session`](crate::session::Session) asks of its driver, and how it is done.

use super::super::lanes;
use super::super::{Bye, Path, SessionError};
use super::Driver;
use crate::channel::{Channel, Delivery};
use crate::media::track::{FeedbackSink, OutgoingPackets};
use crate::media::{Codec, OutgoingTrack};
use crate::pairing::ByeCode;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How often it is checked whether a delayed channel may be opened.
const DELAYED_CHECK: Duration = Duration::from_millis(20);

/// One wish.
#[derive(Debug)]
pub(crate) enum Command {
    Open {
        label: String,
        protocol: String,
        delivery: Delivery,
        reply: oneshot::Sender<Result<Channel, SessionError>>,
    },
    OpenLane {
        label: String,
        protocol: String,
        /// The largest datagrams that it may use, whatever the path carries.
        most: Option<u16>,
        reply: lanes::Reply,
    },
    AddTrack {
        codec: Codec,
        reply: oneshot::Sender<Result<OutgoingTrack, SessionError>>,
    },
    RelayTrack {
        codec: Codec,
        /// What the track is called together with others, such as sound and pictures of one publisher.
        stream: String,
        feedback: FeedbackSink,
        reply: oneshot::Sender<Result<OutgoingPackets, SessionError>>,
    },
    RemoveTrack {
        id: u64,
        reply: oneshot::Sender<Result<(), SessionError>>,
    },
    Path(oneshot::Sender<Option<Path>>),
    Close(Bye),
}

impl Driver {
    pub(super) async fn command(&mut self, command: Option<Command>) -> Result<(), SessionError> {
        match command {
            Some(Command::Open {
                label,
                protocol,
                delivery,
                reply,
            }) => {
                match self.open_channel(&label, &protocol, delivery).await {
                    Ok(Some(channel)) => drop(reply.send(Ok(channel))),
                    Ok(None) => self.delay(Command::Open {
                        label,
                        protocol,
                        delivery,
                        reply,
                    }),
                    Err(error) => drop(reply.send(Err(error))),
                }
                Ok(())
            }
            Some(open @ Command::OpenLane { .. }) if self.watchdog.interruption().is_some() => {
                self.parked.push(open);
                Ok(())
            }
            Some(Command::OpenLane {
                label,
                protocol,
                most,
                reply,
            }) => {
                self.lanes.open((label, protocol), most, reply);
                Ok(())
            }
            Some(Command::AddTrack { codec, reply }) => self.add_track(codec, reply).await,
            // Only calls in open rooms are forwarded; whoever asks sees the reply dropped.
            Some(Command::RelayTrack { .. }) => Ok(()),
            Some(Command::RemoveTrack { id, reply }) => self.remove_track(id, reply).await,
            Some(Command::Path(reply)) => {
                let _ = reply.send(self.engine.path().await);
                Ok(())
            }
            Some(Command::Close(bye)) => {
                self.ports.flush().await;
                self.say_goodbye(bye).await;
                Err(SessionError::Closed)
            }
            None => {
                self.say_goodbye(Bye::new(ByeCode::Cancelled, "the session was dropped"))
                    .await;
                Err(SessionError::Closed)
            }
        }
    }

    /// Opens it later, once no number rests. Bounded by those who wait for a reply.
    fn delay(&mut self, open: Command) {
        self.delayed.push_back(open);
        let again = Instant::now() + DELAYED_CHECK;
        self.delayed_until.get_or_insert(again);
    }

    /// All of them, in their order: what one opens may be over before the next would have its turn.
    pub(super) async fn open_delayed(&mut self) -> Result<(), SessionError> {
        self.delayed_until = None;
        for open in std::mem::take(&mut self.delayed) {
            let wanted = matches!(&open, Command::Open { reply, .. } if !reply.is_closed());
            if wanted {
                self.command(Some(open)).await?;
            }
        }
        Ok(())
    }

    /// `None` if the number of a channel of ours must rest.
    async fn open_channel(
        &mut self,
        label: &str,
        protocol: &str,
        delivery: Delivery,
    ) -> Result<Option<Channel>, SessionError> {
        self.ports.make_room()?;
        let (name, numbers) = ((label, protocol), self.ports.numbers());
        let data_channel = self
            .engine
            .open_unless_resting(name, delivery, numbers)
            .await?;
        let Some(data_channel) = data_channel else {
            return Ok(None);
        };
        if delivery == Delivery::Datagram {
            self.engine.repair().stop();
        }
        Ok(Some(self.ports.opened(label, data_channel)))
    }
}
