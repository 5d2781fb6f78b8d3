//! From an introduction to a line between two receivers.
//!
//! Like `transfer/lanes.rs` this names `session`: another receiver is met as anybody is, by pairing with a code
//! and verifying certificates. Only the code and the way of the records are different: both come from the
//! sender, over its verified lines.

use std::any::Any;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use signaling_protocol::Joined;
use tokio::time::timeout;

use super::helper::{LABEL, PROTOCOL};
use crate::channel::{Channel, Delivery};
use crate::pairing::Code;
use crate::session::{Healing, Intent, Session, SessionConfig, SessionError};
use crate::signaling::Signaling;

/// From the first record to a channel. Pairing and connecting have limits of their own, 75 s in all; who takes
/// that long is of no use.
const LIMIT: Duration = Duration::from_secs(45);

/// A line to a helper that is interrupted for this long is given up: there are other sources, and nobody
/// restarts it through the sender.
const GIVE_UP: Duration = Duration::from_secs(10);

/// Another receiver of the same transfer, and how to meet it.
pub struct Introduction {
    /// Carries records to it and back.
    pub signaling: Signaling,
    /// The room of that, with the other one in it.
    pub joined: Joined,
    /// What both know.
    pub code: Code,
    /// Who of the two waits.
    pub role: Role,
}

/// Who waits, and who comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The one who waits.
    Host,
    /// The one who comes.
    Guest,
}

impl fmt::Debug for Introduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introduction")
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// A line to another receiver.
pub struct HelperLine {
    /// Reliable and ordered.
    pub channel: Channel,
    /// Dropped with the line.
    pub keeps: Box<dyn Any + Send>,
}

impl fmt::Debug for HelperLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HelperLine").field(&self.channel).finish()
    }
}

/// Meets other receivers of a transfer.
#[async_trait]
pub trait MeetHelper: Send + Sync {
    /// A line to the one who is introduced; `None` if it did not come up. Cancelled, it ends.
    async fn meet(&self, introduction: Introduction) -> Option<HelperLine>;
}

/// Meets them by sessions.
#[derive(Debug, Clone)]
pub struct Sessions(SessionConfig);

impl Sessions {
    /// On the paths that this session may use.
    pub fn like(session: &Session) -> Self {
        let config = session.config().clone();
        Self(SessionConfig {
            intent: Intent::ShareBlocks,
            healing: Healing {
                give_up: GIVE_UP,
                ..config.healing
            },
            ..config
        })
    }

    async fn connect(&self, introduction: Introduction) -> Result<HelperLine, SessionError> {
        let Introduction {
            signaling,
            joined,
            code,
            role,
        } = introduction;
        let config = self.0.clone();
        match role {
            Role::Guest => {
                let session = Session::guest(signaling, &joined, &code, config).await?;
                // In large packets, if it can be; a connection of its own is no must.
                let channel = match session.lanes().open(LABEL, PROTOCOL).await {
                    Ok(channel) => channel,
                    Err(_) => session.open(LABEL, PROTOCOL, Delivery::Reliable).await?,
                };
                let keeps = Box::new(session);
                Ok(HelperLine { channel, keeps })
            }
            Role::Host => {
                let mut session = Session::host(signaling, &joined, code, config, || ()).await?;
                loop {
                    let incoming = session.accept().await.ok_or(SessionError::Closed)?;
                    if incoming.protocol == PROTOCOL {
                        let (channel, keeps) = (incoming.channel, Box::new(session));
                        return Ok(HelperLine { channel, keeps });
                    }
                }
            }
        }
    }
}

#[async_trait]
impl MeetHelper for Sessions {
    async fn meet(&self, introduction: Introduction) -> Option<HelperLine> {
        match timeout(LIMIT, self.connect(introduction)).await {
            Ok(Ok(line)) => Some(line),
            Ok(Err(error)) => {
                tracing::info!(%error, "another receiver could not be reached");
                None
            }
            Err(_) => {
                tracing::info!("another receiver could not be reached in time");
                None
            }
        }
    }
}
