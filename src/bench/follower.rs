//! The side that takes part in what the other one decides.

use super::allowance::Allowance;
use super::conversation::Conversation;
use super::message::{Message, Report, Side};
use super::{BenchError, Ends, Event};
use crate::channel::Channel;
use std::time::Duration;
use tokio::time::timeout;

/// How long nothing may be asked for: a leader measures round trips meanwhile, for up to a minute, and waits
/// for the last answers.
const PAUSE: Duration = Duration::from_secs(90);

/// Lines of the result that are kept: one for each measurement that may be asked for, and more.
const REPORTS: usize = 256;

/// Takes part until the leader has measured everything. `channel` was opened by the leader.
///
/// # Errors
/// See [`BenchError`].
pub async fn follow(
    channel: Channel,
    ends: Ends,
    mut tell: impl FnMut(Event<'_>),
) -> Result<Vec<Report>, BenchError> {
    let mut conversation = Conversation::new(channel, ends, false);
    let mut allowance = Allowance::default();
    let mut reports = Vec::new();
    tell(Event::Idling);
    loop {
        let heard = timeout(PAUSE, conversation.talk.heard()).await;
        match heard.unwrap_or(Err(BenchError::Silent))? {
            Message::Run(step) => {
                allowance.admit(&step)?;
                tell(Event::Begun(&step));
                let outcome = match step.sender {
                    Side::Leader => conversation.receive(&step).await?,
                    Side::Follower => conversation.send(&step).await?,
                };
                if let Err(reason) = outcome {
                    tracing::info!(reason, "this could not be measured");
                }
            }
            Message::Report(report) => {
                if reports.len() == REPORTS {
                    return Err(BenchError::Protocol("it reports too much"));
                }
                tell(Event::Report(&report));
                reports.push(report);
            }
            Message::End => return Ok(reports),
            _ => return Err(BenchError::Protocol("it spoke out of turn")),
        }
    }
}
