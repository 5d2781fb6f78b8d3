//! Moves messages between a [`Channel`](super::Channel)'s queues and one data channel of the engine.
//!
//! Two tasks for each channel, because the engine's events may have one poller only and a cancelled
//! `send` would lose its message: one polls and delivers, one sends. Both end with the data channel,
//! when the application has dropped its halves, or when the returned guard is dropped.

use super::window::Window;
use super::{Endpoint, Message};
use bytes::BytesMut;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::task::AbortOnDropHandle;
use webrtc::data_channel::{DataChannel, DataChannelEvent, RTCDataChannelState};

/// How long a waiting channel relies on the engine's word that its buffer is low. The engine's own
/// wait for room can miss that word and looks again only after 50 ms, which would hold a fast path to
/// 40 MiB/s; so it is never used.
const DRAIN_CHECK: Duration = Duration::from_millis(5);

/// How often a closing channel is looked at. The engine has no event for a buffer that became empty.
const FLUSH_CHECK: Duration = Duration::from_millis(2);

/// How long a stream's number is left alone after a channel that we opened has closed. The engine gives
/// the number to the next channel at once, and the peer's half of the reset (RFC 6525) would close that one: it answers
/// ours, which may be lost once and is repeated after SCTP's shortest timeout of 1 s.
const REST: Duration = Duration::from_millis(1500);

/// The two tasks of one data channel.
#[derive(Debug)]
pub(crate) struct Port {
    delivery: AbortOnDropHandle<()>,
    sending: AbortOnDropHandle<()>,
    state: watch::Receiver<State>,
    number: Number,
    progress: Progress,
}

/// The number of a channel: once it has closed, whether it may be given to another one.
#[derive(Clone)]
pub(crate) struct Number {
    data_channel: Arc<dyn DataChannel>,
    /// When it was first seen that it closes.
    closed: Arc<OnceLock<Instant>>,
}

impl Number {
    /// Whether it must rest. The engine is asked, which knows of an end before an application that does not read.
    pub(crate) async fn must_rest(&self) -> bool {
        use RTCDataChannelState::{Connecting, Open};
        let state = self.data_channel.ready_state().await;
        if matches!(state, Ok(Connecting | Open)) {
            return false;
        }
        self.closed.get_or_init(Instant::now).elapsed() < REST
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Number").finish_non_exhaustive()
    }
}

/// How far what was sent on a channel has come.
#[derive(Clone)]
pub(crate) struct Progress {
    data_channel: Arc<dyn DataChannel>,
    /// Bytes that were given to the engine.
    given: Arc<AtomicU64>,
    /// The application has ended, and the peer has everything.
    flushed: Arc<AtomicBool>,
}

impl Progress {
    /// How many bytes are on their way or wait for it, and how many the peer has acknowledged; `None` once the channel is gone.
    pub(crate) async fn look(&self) -> Option<(u64, u64)> {
        // First, so that what is given meanwhile does not look acknowledged.
        let given = self.given.load(Ordering::Relaxed);
        let outstanding = self.data_channel.outstanding_bytes().await.ok()? as u64;
        Some((outstanding, given.saturating_sub(outstanding)))
    }

    /// Whether something was sent, and the channel ended before the peer had everything.
    pub(crate) fn was_cut(&self) -> bool {
        self.given.load(Ordering::Relaxed) > 0 && !self.flushed.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").finish_non_exhaustive()
    }
}

impl Port {
    /// Starts both tasks for a channel that the peer opened.
    pub(crate) fn accepted(
        data_channel: Arc<dyn DataChannel>,
        endpoint: Endpoint,
        activity: &Activity,
        window: Window,
    ) -> Self {
        Self::start(data_channel, endpoint, activity, window, Duration::ZERO)
    }

    /// Starts both tasks for a channel that we opened. It is not finished before the next one may be
    /// opened safely.
    pub(crate) fn opened(
        data_channel: Arc<dyn DataChannel>,
        endpoint: Endpoint,
        activity: &Activity,
        window: Window,
    ) -> Self {
        Self::start(data_channel, endpoint, activity, window, REST)
    }

    fn start(
        data_channel: Arc<dyn DataChannel>,
        endpoint: Endpoint,
        activity: &Activity,
        window: Window,
        rest: Duration,
    ) -> Self {
        let Endpoint { outgoing, incoming } = endpoint;
        let (state, watched) = watch::channel(State::Opening);
        let drained = Arc::new(Notify::new());
        let delivery = deliver(
            data_channel.clone(),
            incoming,
            state,
            drained.clone(),
            activity.clone(),
        );
        let delivery = async move {
            delivery.await;
            tokio::time::sleep(rest).await;
        };
        let progress = Progress {
            data_channel: data_channel.clone(),
            given: Arc::default(),
            flushed: Arc::default(),
        };
        let number = Number {
            data_channel: data_channel.clone(),
            closed: Arc::default(),
        };
        let sending = send(
            data_channel,
            outgoing,
            watched.clone(),
            drained,
            window,
            progress.clone(),
        );
        Self {
            delivery: AbortOnDropHandle::new(tokio::spawn(delivery)),
            sending: AbortOnDropHandle::new(tokio::spawn(sending)),
            state: watched,
            number,
            progress,
        }
    }

    /// To be looked at from elsewhere.
    pub(crate) fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Its number.
    pub(crate) fn number(&self) -> Number {
        self.number.clone()
    }

    /// Waits until the channel is open; `false` if it has closed.
    pub(crate) async fn is_open(&self) -> bool {
        let mut state = self.state.clone();
        reached(&mut state, |state| state != State::Opening).await == State::Open
    }

    /// Waits until both directions have ended. To be asked once.
    pub(crate) async fn ended(&mut self) {
        let _ = (&mut self.delivery).await;
        let _ = (&mut self.sending).await;
    }

    /// Whether everything that will ever be sent is with the peer.
    pub(crate) fn has_sent(&self) -> bool {
        self.sending.is_finished()
    }

    /// Whether both directions have ended.
    pub(crate) fn is_finished(&self) -> bool {
        self.delivery.is_finished() && self.sending.is_finished()
    }
}

/// Whether anything at all came from the peer since somebody last asked: a heartbeat may be stuck
/// behind megabytes of data, which prove as well that the peer lives.
#[derive(Debug, Clone, Default)]
pub(crate) struct Activity(Arc<AtomicBool>);

impl Activity {
    /// Whether there was any, and forgets it.
    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }

    fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Opening,
    Open,
    /// The data channel has ended, or its application no longer receives.
    Closed,
}

/// Polls the data channel until it ends. Messages for a dropped receiver are thrown away rather than
/// left in the engine, where they would close the window of every other channel.
async fn deliver(
    data_channel: Arc<dyn DataChannel>,
    incoming: mpsc::Sender<Message>,
    state: watch::Sender<State>,
    drained: Arc<Notify>,
    activity: Activity,
) {
    while let Some(event) = data_channel.poll().await {
        match event {
            DataChannelEvent::OnOpen => {
                state
                    .send_if_modified(|state| std::mem::replace(state, State::Open) != State::Open);
            }
            DataChannelEvent::OnMessage(message) => {
                activity.note();
                let data = message.data.freeze();
                let message = if message.is_string {
                    // RFC 8831 section 6.6: a text message is UTF-8. One that is not is a fault of the
                    // peer, and no use can be made of it.
                    match String::from_utf8(data.into()) {
                        Ok(text) => Message::Text(text),
                        Err(_) => break,
                    }
                } else {
                    Message::Binary(data)
                };
                // overflow: waits; SCTP's window then slows the peer.
                let _ = incoming.send(message).await;
            }
            DataChannelEvent::OnBufferedAmountLow => drained.notify_one(),
            DataChannelEvent::OnClose => break,
            _ => {}
        }
    }
    state.send_replace(State::Closed);
}

/// Sends what the application queues; closes the data channel when it has dropped its senders.
async fn send(
    data_channel: Arc<dyn DataChannel>,
    mut outgoing: mpsc::Receiver<Message>,
    mut state: watch::Receiver<State>,
    drained: Arc<Notify>,
    mut window: Window,
    progress: Progress,
) {
    if reached(&mut state, |state| state != State::Opening).await != State::Open {
        return;
    }
    let _ = data_channel
        .set_buffered_amount_low_threshold(window.low() as u32)
        .await;
    // At most so many are on their way. How many there are is asked only when it may be too many: the engine
    // answers under the lock that its driver works under.
    let mut outstanding = 0;
    loop {
        let message = tokio::select! {
            biased;
            message = outgoing.recv() => message,
            _ = reached(&mut state, |state| state == State::Closed) => return,
        };
        let length = message.as_ref().map_or(0, Message::len);
        outstanding += length;
        let sent = match message {
            Some(Message::Text(text)) => data_channel.send_text(&text).await,
            Some(Message::Binary(bytes)) => {
                let bytes = bytes
                    .try_into_mut()
                    .unwrap_or_else(|shared| BytesMut::from(&shared[..]));
                data_channel.send(bytes).await
            }
            None => break,
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "the data channel no longer sends");
            return;
        }
        progress.given.fetch_add(length as u64, Ordering::Relaxed);
        if outstanding <= window.high() {
            continue;
        }
        let full = Instant::now();
        outstanding = drain(&data_channel, &drained, &window).await;
        if window.drained(full.elapsed()) {
            let _ = data_channel
                .set_buffered_amount_low_threshold(window.low() as u32)
                .await;
        }
    }
    let flushed = flush(&data_channel).await;
    progress.flushed.store(flushed, Ordering::Relaxed);
    let _ = data_channel.close().await;
}

/// Waits while too much is on its way, and says how much is left.
async fn drain(data_channel: &Arc<dyn DataChannel>, drained: &Notify, window: &Window) -> usize {
    let mut room = window.high();
    loop {
        // One that has ended takes no more, and says so when something is sent on it.
        let outstanding = data_channel.outstanding_bytes().await.unwrap_or(0);
        if outstanding <= room {
            return outstanding;
        }
        room = window.low();
        let _ = tokio::time::timeout(DRAIN_CHECK, drained.notified()).await;
    }
}

/// Waits until the peer has everything, because closing throws away what is still on its way. A peer
/// that is gone ends the wait by ending its session, and has not everything.
async fn flush(data_channel: &Arc<dyn DataChannel>) -> bool {
    loop {
        match data_channel.outstanding_bytes().await {
            Ok(0) => return true,
            Ok(_) => tokio::time::sleep(FLUSH_CHECK).await,
            Err(_) => return false,
        }
    }
}

/// Waits for a state; a vanished sender has closed.
async fn reached(state: &mut watch::Receiver<State>, wanted: fn(State) -> bool) -> State {
    state
        .wait_for(|state| wanted(*state))
        .await
        .map_or(State::Closed, |state| *state)
}
