//! Server-sent events: what a member hears without a WebSocket, and what anybody may hear of an open room.

use super::{App, Connection, Phase};
use crate::{closing::Closing, feed::Listener, mailbox::Outgoing, session::Carrier};
use axum::{
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use signaling_protocol::ServerMessage;
use std::{convert::Infallible, fmt::Write, sync::Arc, time::Duration, time::Instant};
use tokio::{sync::watch, time::sleep};

/// What a browser waits before it connects again, in milliseconds.
const RETRY: &str = "retry: 1000\n\n";

/// Bytes of events that are handed to the network at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// After a server went away, its clients come back spread over this time.
const RECONNECT_SPREAD: Duration = Duration::from_secs(5);

pub(crate) fn reconnect_after_ms() -> u64 {
    let after = rand::random_range(Duration::ZERO..RECONNECT_SPREAD);
    u64::try_from(after.as_millis()).unwrap_or(u64::MAX)
}

/// Where events come from.
enum Events {
    Member(Carrier),
    Open(Listener),
    /// Everything was said.
    Over,
}

struct State {
    events: Events,
    app: App,
    connection: Arc<Connection>,
    phase: watch::Receiver<Phase>,
    begun: bool,
}

/// Everything that is for one member.
pub(crate) fn of_member(app: App, connection: Arc<Connection>, carrier: Carrier) -> Response {
    respond(app, connection, Events::Member(carrier))
}

/// What happens in an open room.
pub(crate) fn of_room(app: App, connection: Arc<Connection>, listener: Listener) -> Response {
    respond(app, connection, Events::Open(listener))
}

fn respond(app: App, connection: Arc<Connection>, events: Events) -> Response {
    let mut phase = app.phase.clone();
    // A phase that began before this stream counts as a change.
    phase.mark_changed();
    let state = State {
        events,
        app,
        connection,
        phase,
        begun: false,
    };
    let chunks = stream::unfold(state, |mut state| async move {
        let chunk = state.next().await?;
        Some((Ok::<Bytes, Infallible>(chunk.into()), state))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // nginx would collect events until it has some kilobytes.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Body::from_stream(chunks)).into_response()
}

enum Event {
    Phase(Phase),
    Member(Result<Outgoing, Closing>),
    Open(String),
    Quiet,
}

impl State {
    /// The next chunk, which means that the network has taken the one before.
    async fn next(&mut self) -> Option<String> {
        self.connection.keep_streaming(self.app.hub.limits());
        if !std::mem::replace(&mut self.begun, true) {
            return Some(RETRY.to_owned());
        }
        let pause = self.app.hub.limits().ping_interval;
        loop {
            let event = tokio::select! {
                biased;
                changed = self.phase.changed() => Event::Phase(match changed {
                    Ok(()) => *self.phase.borrow_and_update(),
                    // The server itself was dropped.
                    Err(_) => Phase::Stopping,
                }),
                event = self.events.next() => event?,
                () = sleep(pause) => Event::Quiet,
            };
            match event {
                Event::Phase(Phase::Serving) => {}
                Event::Phase(Phase::Draining) => match &self.events {
                    Events::Member(carrier) => {
                        let reconnect_after_ms = reconnect_after_ms();
                        let draining = ServerMessage::Draining { reconnect_after_ms };
                        carrier.session().mailbox.push_aside(&draining);
                    }
                    // Nothing that it waits for has to be finished.
                    Events::Open(_) | Events::Over => return None,
                },
                Event::Phase(Phase::Stopping) => return self.last(Closing::draining()),
                Event::Member(Err(closing)) => return self.last(closing),
                Event::Member(Ok(outgoing)) => return Some(self.collect(&outgoing)),
                Event::Open(text) => return Some(text),
                // A comment, for proxies that cut what is silent.
                Event::Quiet => return Some(":\n\n".to_owned()),
            }
        }
    }

    /// A message and those that are behind it already.
    fn collect(&self, first: &Outgoing) -> String {
        let mut chunk = String::new();
        add(&mut chunk, first);
        if let Events::Member(carrier) = &self.events {
            while chunk.len() < CHUNK_BYTES
                && let Some(Ok(outgoing)) = carrier.take()
            {
                add(&mut chunk, &outgoing);
            }
        }
        chunk
    }

    fn last(&mut self, closing: Closing) -> Option<String> {
        let events = std::mem::replace(&mut self.events, Events::Over);
        if let Events::Member(carrier) = events {
            carrier.leave(closing.leave_reason());
        }
        closing
            .error
            .map(|error| format!("data: {}\n\n", error.as_str()))
    }
}

impl Events {
    /// `None` when there is nothing more to come.
    async fn next(&mut self) -> Option<Event> {
        match self {
            Self::Member(carrier) => Some(Event::Member(carrier.next().await)),
            Self::Open(listener) => Some(Event::Open(listener.next().await)),
            Self::Over => None,
        }
    }
}

/// One event; JSON text has no line breaks of its own.
fn add(chunk: &mut String, Outgoing { seq, frame }: &Outgoing) {
    if let Some(seq) = seq {
        // Writing to a string cannot fail.
        let _ = writeln!(chunk, "id: {seq}");
    }
    let _ = write!(chunk, "data: {}\n\n", frame.as_str());
}

impl Connection {
    /// Lets a stream go on for as long as its client reads: the next chunk is asked for at the latest
    /// after the next comment.
    fn keep_streaming(&self, limits: &crate::Limits) {
        self.allow_until(Instant::now() + limits.ping_interval + limits.idle_timeout);
    }
}
