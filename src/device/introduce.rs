//! An introduction over a session: moves its messages and decides nothing.

use super::identity::Identity;
use super::introduction::{
    Action, CHANNEL, Input, Introduction, IntroductionError, LONGEST, PROTOCOL,
};
use super::meeting::Acquaintance;
use crate::channel::{Channel, Delivery, Message};
use crate::pairing::Role;
use crate::session::Session;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Everything, from the channel to the last word: a few round trips and two writes to a disk.
const LIMIT: Duration = Duration::from_secs(15);

/// How long the host waits for the guest to read its last word and hang up.
const HANG_UP: Duration = Duration::from_secs(5);

/// Introduces this device and the one at the other end of a session that a code has verified to each other.
/// `keep` is called once, with the other device, when that has proved who it is; what it returns as an error
/// is for the user.
///
/// # Errors
/// Anything of [`IntroductionError`]. If `keep` was called, the other side may or may not have kept us.
pub async fn introduce(
    session: &mut Session,
    identity: Arc<Identity>,
    keep: impl FnOnce(Acquaintance) -> Result<(), String>,
) -> Result<(), IntroductionError> {
    let role = session.role();
    let talking = async {
        let channel = open(session).await?;
        talk(channel, identity, session, keep).await
    };
    let channel = timeout(LIMIT, talking)
        .await
        .unwrap_or(Err(IntroductionError::TimedOut))?;
    if role == Role::Host {
        // Whether it does or not: both have kept each other.
        let _ = timeout(HANG_UP, session.ended()).await;
    }
    // Not before its last word was read.
    drop(channel);
    Ok(())
}

/// The guest opens the channel.
async fn open(session: &mut Session) -> Result<Channel, IntroductionError> {
    match session.role() {
        Role::Guest => session
            .open(CHANNEL, PROTOCOL, Delivery::Reliable)
            .await
            .map_err(|_| IntroductionError::Ended),
        Role::Host => loop {
            let incoming = session.accept().await.ok_or(IntroductionError::Ended)?;
            if incoming.protocol == PROTOCOL && incoming.channel.label() == CHANNEL {
                return Ok(incoming.channel);
            }
        },
    }
}

async fn talk(
    mut channel: Channel,
    identity: Arc<Identity>,
    session: &Session,
    keep: impl FnOnce(Acquaintance) -> Result<(), String>,
) -> Result<Channel, IntroductionError> {
    let binding = session.binding().clone();
    let (mut introduction, hello) = Introduction::start(identity, session.role(), binding);
    let mut keep = Some(keep);
    say(&channel, hello).await?;
    loop {
        let text = match channel.recv().await {
            Some(Message::Text(text)) if text.len() <= LONGEST => text,
            Some(_) => return Err(IntroductionError::Protocol("something that is no message")),
            None => return Err(IntroductionError::Ended),
        };
        let mut actions = VecDeque::from(introduction.handle(&Input::Said(&text))?);
        while let Some(action) = actions.pop_front() {
            match action {
                Action::Say(text) => say(&channel, text).await?,
                Action::Keep(device) => {
                    let keep = keep.take();
                    let keep = keep.ok_or(IntroductionError::Protocol("it came twice"))?;
                    keep(device).map_err(IntroductionError::NotKept)?;
                    actions.extend(introduction.handle(&Input::Kept)?);
                }
                Action::Done => return Ok(channel),
            }
        }
    }
}

async fn say(channel: &Channel, text: String) -> Result<(), IntroductionError> {
    let sent = channel.send_text(text).await;
    sent.map_err(|_| IntroductionError::Ended)
}
