//! The life of a WebSocket: moves frames between the socket and a [`Peer`].

use super::{App, Connection, Phase, eager::Eager, upgrade::Entry};
use crate::{
    closing::Closing,
    mailbox::Frame,
    peer::{Due, Flow, News, Origin, Peer},
    refusal::Refusal,
    socket::Socket as ClientSocket,
};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use signaling_protocol::{LeaveReason, limits::MESSAGE_BYTES};
use std::{
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    pin,
    sync::watch,
    time::{sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        error::ProtocolError,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

type Socket = WebSocketStream<Eager<ClientSocket>>;

/// Read buffer of one socket. It stays allocated for the life of a connection: 10,000 idle ones take
/// 60 MB with 1 KiB each and 85 MB with 4 KiB. Most messages fit; larger ones get a buffer for the
/// time of reading.
const READ_BUFFER: usize = 1024;

/// What is collected before it is written, while there is more to say. The buffer stays as large as it
/// was once needed.
const BATCH_BYTES: usize = 8 * 1024;

/// How long the last frames may take. The other side is told what happened if it still reads.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// How much a client may still send after the end before the connection is cut.
const LINGER_BYTES: usize = 1024 * 1024;

/// After a server went away, its clients come back spread over this time.
const RECONNECT_SPREAD: Duration = Duration::from_secs(5);

/// How a conversation ended.
#[derive(Debug)]
enum Ending {
    /// The server ends it.
    Close(Closing),
    /// The client closed or is gone.
    Gone(LeaveReason),
}

/// Serves one WebSocket to its end. Nobody waits for it, but `app.tasks` owns it, and it ends with the
/// server's phase.
pub(crate) async fn serve(
    app: App,
    connection: Arc<Connection>,
    entry: Result<Entry, Refusal>,
    upgraded: OnUpgrade,
) {
    let App { hub, mut phase, .. } = app;
    let mut socket = match upgraded.await {
        Ok(upgraded) => socket(upgraded).await,
        Err(error) => {
            tracing::debug!(%error, "no upgrade");
            return;
        }
    };
    let now = Instant::now();
    let admitted = connection.admission.as_ref().map_err(Refusal::clone);
    let origin = Origin {
        source: connection.source,
        address: connection.address,
        since: connection.since,
    };
    let metrics = Arc::clone(hub.metrics());
    let peer = admitted.and(entry).and_then(|entry| match entry {
        Entry::Join => Ok(Peer::new(hub, origin, now)),
        Entry::Plain(room) => Peer::plain(hub, origin, room, now),
    });
    match peer {
        Ok(mut peer) => {
            tracing::debug!("open");
            let ending = converse(&mut socket, &mut peer, &mut phase).await;
            match ending {
                Ending::Close(closing) => {
                    if let Some(code) = closing.code() {
                        metrics.refused(code);
                    }
                    peer.leave(closing.leave_reason());
                    tracing::debug!(
                        code = closing.close_code,
                        reason = closing.reason,
                        "closing"
                    );
                    Box::pin(close(&mut socket, Some(closing))).await;
                }
                Ending::Gone(reason) => {
                    peer.leave(reason);
                    tracing::debug!(?reason, "gone");
                    Box::pin(close(&mut socket, None)).await;
                }
            }
        }
        Err(refusal) => {
            tracing::debug!(code = %refusal.code, "refused");
            metrics.refused(refusal.code);
            Box::pin(close(&mut socket, Some(Closing::refused(&refusal)))).await;
        }
    }
}

async fn socket(upgraded: Upgraded) -> Socket {
    let parts = upgraded
        .downcast::<TokioIo<ClientSocket>>()
        .expect("the accept loop serves nothing but these sockets");
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(BATCH_BYTES)
        .max_message_size(Some(MESSAGE_BYTES))
        .max_frame_size(Some(MESSAGE_BYTES));
    let early = parts.read_buf.to_vec();
    let stream = Eager::new(parts.io.into_inner());
    WebSocketStream::from_partially_read(stream, early, Role::Server, Some(config)).await
}

enum Event {
    Phase(Phase),
    Outgoing(Result<News, Closing>),
    Incoming(Option<Result<Message, Error>>),
    Deadline,
}

async fn converse(
    socket: &mut Socket,
    peer: &mut Peer,
    phase: &mut watch::Receiver<Phase>,
) -> Ending {
    // A phase that began before this connection counts as a change.
    phase.mark_changed();
    // One for all rounds: what comes moves the deadline by far less often than there are rounds.
    let alarm = sleep_until(peer.deadline().into());
    pin!(alarm);
    loop {
        let (deadline, reads) = (peer.deadline(), peer.may_be_read());
        if alarm.deadline() != deadline.into() {
            alarm.as_mut().reset(deadline.into());
        }
        let event = tokio::select! {
            biased;
            changed = phase.changed() => Event::Phase(match changed {
                Ok(()) => *phase.borrow_and_update(),
                // The server itself was dropped.
                Err(_) => Phase::Stopping,
            }),
            news = peer.next() => Event::Outgoing(news),
            frame = socket.next(), if reads => Event::Incoming(frame),
            () = alarm.as_mut() => Event::Deadline,
        };
        let flow = match event {
            Event::Phase(Phase::Serving) => ControlFlow::Continue(()),
            Event::Phase(Phase::Draining) => {
                let draining = peer.drain(rand::random_range(Duration::ZERO..RECONNECT_SPREAD));
                answer(socket, draining, peer).await
            }
            Event::Phase(Phase::Stopping) => ControlFlow::Break(Ending::Close(Closing::draining())),
            Event::Outgoing(Ok(News::Frame(frame))) => {
                // Boxed, as `close` is.
                Box::pin(write_all(socket, frame, peer)).await
            }
            Event::Outgoing(Ok(News::Verdict(verdict))) => {
                match peer.judged(Instant::now(), verdict) {
                    ControlFlow::Continue(reply) => answer(socket, reply, peer).await,
                    ControlFlow::Break(closing) => ControlFlow::Break(Ending::Close(closing)),
                }
            }
            Event::Outgoing(Ok(News::Entered(result))) => {
                match peer.admitted(Instant::now(), result) {
                    ControlFlow::Continue(reply) => answer(socket, reply, peer).await,
                    ControlFlow::Break(closing) => ControlFlow::Break(Ending::Close(closing)),
                }
            }
            Event::Outgoing(Err(closing)) => ControlFlow::Break(Ending::Close(closing)),
            Event::Incoming(frame) => match incoming(peer, frame) {
                ControlFlow::Continue(reply) => answer(socket, reply, peer).await,
                ControlFlow::Break(ending) => ControlFlow::Break(ending),
            },
            Event::Deadline => match peer.due(Instant::now()) {
                ControlFlow::Continue(Due::Nothing) => ControlFlow::Continue(()),
                ControlFlow::Continue(Due::Ping) => {
                    write(socket, Message::Ping(bytes::Bytes::new()), peer).await
                }
                ControlFlow::Break(closing) => ControlFlow::Break(Ending::Close(closing)),
            },
        };
        if let ControlFlow::Break(ending) = flow {
            return ending;
        }
        if peer.is_unsettled() {
            // Boxed, as `close` is. Nothing more is read before.
            Box::pin(peer.settle()).await;
        }
    }
}

async fn answer(socket: &mut Socket, reply: Option<Frame>, peer: &Peer) -> ControlFlow<Ending> {
    match reply {
        Some(frame) => write(socket, text(frame), peer).await,
        None => ControlFlow::Continue(()),
    }
}

fn incoming(
    peer: &mut Peer,
    frame: Option<Result<Message, Error>>,
) -> ControlFlow<Ending, Option<Frame>> {
    let now = Instant::now();
    let flow: Flow = match frame {
        Some(Ok(Message::Text(text))) => peer.receive(now, &text),
        Some(Ok(Message::Binary(_))) => Peer::receive_binary(),
        Some(Ok(Message::Ping(_))) => peer.heard_ping(now),
        Some(Ok(Message::Pong(_) | Message::Frame(_))) => {
            peer.heard(now);
            ControlFlow::Continue(None)
        }
        Some(Ok(Message::Close(frame))) => {
            return ControlFlow::Break(Ending::Gone(farewell(frame)));
        }
        Some(Err(Error::Capacity(_))) => Peer::too_large(MESSAGE_BYTES),
        // The end of the stream without a close frame, as when a program is killed.
        Some(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => {
            return ControlFlow::Break(Ending::Gone(LeaveReason::Lost));
        }
        Some(Err(Error::Protocol(error))) => {
            tracing::debug!(%error, "broken frame");
            ControlFlow::Break(Closing::broken(1002, "protocol error"))
        }
        Some(Err(Error::Utf8(_))) => ControlFlow::Break(Closing::broken(1007, "text is not UTF-8")),
        Some(Err(_)) | None => return ControlFlow::Break(Ending::Gone(LeaveReason::Lost)),
    };
    flow.map_break(Ending::Close)
}

/// A page that is closed says 1001, a program that is done 1000 or nothing; anything else is no plan.
fn farewell(frame: Option<CloseFrame>) -> LeaveReason {
    match frame.map(|frame| frame.code) {
        None | Some(CloseCode::Normal | CloseCode::Away) => LeaveReason::Left,
        Some(_) => LeaveReason::Lost,
    }
}

fn text(frame: Frame) -> Message {
    let text = Utf8Bytes::try_from(frame.into_bytes()).expect("frames are made of text");
    Message::Text(text)
}

/// Sends one frame. While the client does not take it nothing is read either; the wait ends with
/// the mailbox's overflow, or when the client would be idle too long.
async fn write(socket: &mut Socket, message: Message, peer: &Peer) -> ControlFlow<Ending> {
    sent(socket.send(message), peer).await
}

/// Sends one frame, and together with it what waits behind it: a crowd of small packets would cost more
/// than all the rest.
async fn write_all(socket: &mut Socket, first: Frame, peer: &Peer) -> ControlFlow<Ending> {
    let all = async {
        let mut bytes = first.len();
        socket.feed(text(first)).await?;
        // What ends the connection is found in the next round.
        while bytes < BATCH_BYTES
            && let Some(frame) = peer.take()
        {
            bytes += frame.len();
            socket.feed(text(frame)).await?;
        }
        socket.flush().await
    };
    sent(all, peer).await
}

async fn sent(
    sending: impl Future<Output = Result<(), Error>>,
    peer: &Peer,
) -> ControlFlow<Ending> {
    tokio::select! {
        biased;
        closing = peer.over() => ControlFlow::Break(Ending::Close(closing)),
        sent = timeout(peer.write_limit(), sending) => match sent {
            Ok(Ok(())) => ControlFlow::Continue(()),
            Ok(Err(_)) => ControlFlow::Break(Ending::Gone(LeaveReason::Lost)),
            Err(_) => ControlFlow::Break(Ending::Close(Closing::slow())),
        }
    }
}

/// Says the last words, if any, and then reads until the client has closed too: closing a socket
/// with unread data in it would reset the connection and take the last words with it.
async fn close(socket: &mut Socket, closing: Option<Closing>) {
    // Boxed where it is called: thousands of idle connections need not carry this buffer.
    let farewell = async {
        if let Some(Closing {
            close_code,
            reason,
            error,
        }) = closing
        {
            if let Some(error) = error {
                socket.feed(text(error)).await?;
            }
            let code = CloseCode::from(close_code);
            socket
                .send(Message::Close(Some(CloseFrame {
                    code,
                    reason: reason.into(),
                })))
                .await?;
        } else {
            socket.flush().await?;
        }
        let stream = socket.get_mut();
        stream.shutdown().await?;
        let mut discarded = [0; 1024];
        let mut left = LINGER_BYTES;
        while left > 0 {
            match stream.read(&mut discarded).await? {
                0 => break,
                count => left = left.saturating_sub(count),
            }
        }
        Ok::<(), Error>(())
    };
    // Whoever does not listen any more has missed the last words; there is nobody to tell.
    let _ = timeout(CLOSE_LIMIT, farewell).await;
}
