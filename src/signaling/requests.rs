//! A way to a server without a WebSocket: what is said goes in POST requests, what is heard comes in one
//! stream of events, or in long polls where something on the way holds streams back.

use super::error::{Lost, Unreachable};
use super::http::{self, Ask, Connection};
use super::server_url::ServerUrl;
use super::sse::{Event, Parser};
use super::transport::{Incoming, Transport};
use super::websocket::{frame, read};
use futures_util::future::BoxFuture;
use hyper::{Method, StatusCode};
use signaling_protocol::limits::{MESSAGE_BYTES, POLL_TIME, POST_MESSAGES};
use signaling_protocol::{ClientMessage, ErrorCode, Join, ServerMessage};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::timeout;

/// Time for the first event of a stream, which the server sends at once. What takes longer collects
/// streams before it passes them on.
const FIRST_EVENT: Duration = Duration::from_secs(3);

/// Time for the answer to a request that the server answers at once.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Time for the answer to a poll.
const POLL_LIMIT: Duration = POLL_TIME.saturating_add(ANSWER_LIMIT);

/// A connection that is made of requests.
pub(super) struct Requests {
    server: ServerUrl,
    /// Known once `join` was answered.
    member: Option<Member>,
    /// What was read and not yet taken.
    inbox: VecDeque<Incoming>,
    /// Messages for the next POST, one a line.
    lines: String,
    waiting: usize,
    posting: Option<BoxFuture<'static, Posted>>,
    /// Kept from one POST to the next.
    connection: Option<Connection>,
    hearing: Hearing,
    /// Streams do not come through here.
    polls: bool,
    /// Whether polls may take the place of a stream.
    may_poll: bool,
}

#[derive(Clone)]
struct Member {
    token: String,
    room: String,
    /// The number of the last message that came.
    got: u64,
}

enum Hearing {
    Nothing,
    Stream {
        body: hyper::body::Incoming,
        parser: Parser,
        _connection: Connection,
    },
    Poll(BoxFuture<'static, Result<(StatusCode, String), Lost>>),
}

/// The end of a POST: the connection, if it is still good, and the answer.
type Posted = Result<(Connection, StatusCode, String), Lost>;

enum Wake {
    Posted(Posted),
    Piece(Result<Option<bytes::Bytes>, Lost>),
    Polled(Result<(StatusCode, String), Lost>),
}

impl Requests {
    pub(super) fn new(server: ServerUrl) -> Self {
        Self {
            server,
            member: None,
            inbox: VecDeque::new(),
            lines: String::new(),
            waiting: 0,
            posting: None,
            connection: None,
            hearing: Hearing::Nothing,
            polls: false,
            may_poll: true,
        }
    }

    /// As [`new`](Self::new), without trying streams.
    pub(super) fn polling(server: ServerUrl) -> Self {
        Self {
            polls: true,
            ..Self::new(server)
        }
    }

    /// As [`new`](Self::new), without polls.
    pub(super) fn streaming(server: ServerUrl) -> Self {
        Self {
            may_poll: false,
            ..Self::new(server)
        }
    }

    /// Whether a signaling server answers requests there.
    pub(super) async fn probe(server: &ServerUrl) -> Result<(), Unreachable> {
        let mut connection = Connection::open(server).await?;
        let ask = Ask {
            method: Method::GET,
            path: "healthz",
            token: None,
            last_event_id: None,
            body: String::new(),
        };
        let answered = async {
            let response = connection.ask(server, ask).await?;
            let status = response.status().as_u16();
            Ok::<_, Lost>((status, http::text(response).await?))
        };
        let (status, text) = answered
            .await
            .map_err(|lost| Unreachable::Network(lost.to_string()))?;
        // Whatever a page says, it does not say this.
        let ours = serde_json::from_str::<serde_json::Value>(&text)
            .is_ok_and(|health| health["service"] == "peerline");
        match ours && status == 200 {
            true => Ok(()),
            false => Err(Unreachable::NotSignaling(status)),
        }
    }

    async fn join(&mut self, join: &Join) -> Result<(), Lost> {
        if let (Some(_), Some(ack), Some(member)) = (&join.resume, join.ack, &mut self.member) {
            member.got = ack;
        } else if let (Some(token), Some(ack)) = (&join.resume, join.ack) {
            // The token of another kind of connection says where it belongs.
            let token = token.expose().to_owned();
            let room = token.splitn(3, '.').nth(2).unwrap_or("-").to_owned();
            self.member = Some(Member {
                token,
                room,
                got: ack,
            });
        }
        if join.resume.is_some() {
            self.resume().await?;
            if join.room.is_none() || !self.is_forgotten() {
                return Ok(());
            }
            self.inbox.clear();
        }
        let room = join.room.as_ref().map_or("-", |room| room.as_str());
        let path = format!("api/rooms/{room}/messages");
        let ask = Ask {
            method: Method::POST,
            path: &path,
            token: None,
            last_event_id: None,
            body: ClientMessage::Join(Join {
                resume: None,
                ack: None,
                ..join.clone()
            })
            .to_json(),
        };
        let mut connection = open(&self.server).await?;
        let response = connection.ask(&self.server, ask).await?;
        let text = http::text(response).await?;
        self.connection = Some(connection);
        let incoming = read(&text)?;
        if let Incoming::Message {
            message: ServerMessage::Joined(joined),
            ..
        } = &incoming
            && let Some(token) = &joined.resume
        {
            self.member = Some(Member {
                token: token.expose().to_owned(),
                room: joined.room.to_string(),
                got: 0,
            });
        }
        self.inbox.push_back(incoming);
        match self.member {
            Some(_) => self.listen(false).await,
            None => Ok(()),
        }
    }

    /// Whether the server has just answered that it does not know the place.
    fn is_forgotten(&self) -> bool {
        self.inbox.iter().any(|incoming| {
            matches!(
                incoming,
                Incoming::Message {
                    message: ServerMessage::Error {
                        code: ErrorCode::ResumeFailed,
                        ..
                    },
                    ..
                }
            )
        })
    }

    /// Comes back to a place: the `resumed` is what a stream begins with, and what an empty POST tells.
    async fn resume(&mut self) -> Result<(), Lost> {
        self.listen(true).await?;
        if self.polls {
            self.posting = Some(self.post(String::new()));
            let posted = match &mut self.posting {
                Some(posting) => posting.await,
                None => return Ok(()),
            };
            self.posting = None;
            let (connection, _, text) = posted?;
            self.connection = Some(connection);
            self.inbox.push_back(match read(&text)? {
                Incoming::Message {
                    message: ServerMessage::Ack { seq },
                    ..
                } => ServerMessage::Resumed { received: seq }.into(),
                other => other,
            });
        }
        Ok(())
    }

    /// Starts to hear. `greet`: whether the caller waits for the `resumed` of the stream.
    async fn listen(&mut self, greet: bool) -> Result<(), Lost> {
        if !self.polls {
            match timeout(FIRST_EVENT, self.open_stream(greet)).await {
                Ok(result) => return result,
                Err(_) if !self.may_poll => return Err(Lost::Silent),
                Err(_) => {
                    tracing::info!("the network holds event streams back; polling");
                    self.polls = true;
                }
            }
        }
        self.hearing = self.poll();
        Ok(())
    }

    async fn open_stream(&mut self, greet: bool) -> Result<(), Lost> {
        let Some(member) = &self.member else {
            return Ok(());
        };
        let path = format!("api/rooms/{}/events", member.room);
        let ask = Ask {
            method: Method::GET,
            path: &path,
            token: Some(&member.token),
            last_event_id: Some(member.got),
            body: String::new(),
        };
        let mut connection = open(&self.server).await?;
        let response = connection.ask(&self.server, ask).await?;
        if response.status() != StatusCode::OK {
            let refused = read(&http::text(response).await?)?;
            self.inbox.push_back(refused);
            return Ok(());
        }
        let mut body = response.into_body();
        let mut parser = Parser::default();
        let mut events = Vec::new();
        loop {
            let piece = http::piece(&mut body).await?.ok_or(Lost::Closed)?;
            parser.read(&piece, &mut events)?;
            let data = events
                .iter()
                .position(|event| matches!(event, Event::Data(_)));
            let Some(first) = data else {
                events.clear();
                continue;
            };
            // The first one is `resumed`, which nobody waits for behind `joined`.
            let rest = events.split_off(first + usize::from(!greet));
            self.hearing = Hearing::Stream {
                body,
                parser,
                _connection: connection,
            };
            return self.take(rest);
        }
    }

    fn take(&mut self, events: Vec<Event>) -> Result<(), Lost> {
        for event in events {
            match event {
                Event::Data(text) => self.hear(&text)?,
                Event::Nothing => self.inbox.push_back(Incoming::Alive),
            }
        }
        Ok(())
    }

    fn hear(&mut self, text: &str) -> Result<(), Lost> {
        let incoming = read(text)?;
        if let (
            Incoming::Message { seq: Some(seq), .. } | Incoming::Unknown { seq },
            Some(member),
        ) = (&incoming, &mut self.member)
        {
            member.got = member.got.max(*seq);
        }
        self.inbox.push_back(incoming);
        Ok(())
    }

    fn poll(&self) -> Hearing {
        let Some(Member { token, room, got }) = self.member.clone() else {
            return Hearing::Nothing;
        };
        let server = self.server.clone();
        Hearing::Poll(Box::pin(async move {
            let path = format!("api/rooms/{room}/poll?ack={got}");
            let ask = Ask {
                method: Method::GET,
                path: &path,
                token: Some(&token),
                last_event_id: None,
                body: String::new(),
            };
            let polled = async {
                let mut connection = open(&server).await?;
                let response = connection.ask(&server, ask).await?;
                let status = response.status();
                Ok((status, http::text(response).await?))
            };
            timeout(POLL_LIMIT, polled)
                .await
                .unwrap_or(Err(Lost::Silent))
        }))
    }

    fn post(&mut self, body: String) -> BoxFuture<'static, Posted> {
        let kept = self.connection.take().filter(Connection::is_open);
        let server = self.server.clone();
        let member = self.member.clone();
        Box::pin(async move {
            let Some(Member { token, room, .. }) = member else {
                return Err(Lost::Protocol("it never let us in".to_owned()));
            };
            let path = format!("api/rooms/{room}/messages");
            let ask = Ask {
                method: Method::POST,
                path: &path,
                token: Some(&token),
                last_event_id: None,
                body,
            };
            let posted = async {
                let mut connection = match kept {
                    Some(connection) => connection,
                    None => open(&server).await?,
                };
                let response = match connection.ask(&server, ask.clone()).await {
                    Ok(response) => response,
                    // The server may have closed a kept connection just now; what is numbered is
                    // not taken twice, and the rest does no harm.
                    Err(_) => {
                        connection = open(&server).await?;
                        connection.ask(&server, ask).await?
                    }
                };
                let status = response.status();
                let text = http::text(response).await?;
                Ok((connection, status, text))
            };
            timeout(ANSWER_LIMIT, posted)
                .await
                .unwrap_or(Err(Lost::Silent))
        })
    }

    /// Sends what waits, if nothing is on its way.
    fn flush(&mut self) {
        if self.posting.is_none() && self.waiting > 0 {
            self.waiting = 0;
            let lines = std::mem::take(&mut self.lines);
            self.posting = Some(self.post(lines));
        }
    }

    async fn wake(&mut self) -> Wake {
        let posted = async {
            match &mut self.posting {
                Some(posting) => Wake::Posted(posting.await),
                None => std::future::pending().await,
            }
        };
        let heard = async {
            match &mut self.hearing {
                Hearing::Stream { body, .. } => Wake::Piece(http::piece(body).await),
                Hearing::Poll(poll) => Wake::Polled(poll.await),
                Hearing::Nothing => std::future::pending().await,
            }
        };
        tokio::select! {
            wake = posted => wake,
            wake = heard => wake,
        }
    }

    /// Waits for something to happen, and puts what it brings into the inbox.
    async fn step(&mut self) -> Result<(), Lost> {
        match self.wake().await {
            Wake::Posted(posted) => {
                self.posting = None;
                let (connection, _, text) = posted?;
                self.connection = Some(connection);
                let answer = read(&text)?;
                self.inbox.push_back(answer);
                self.flush();
                Ok(())
            }
            Wake::Piece(piece) => {
                let piece = piece?.ok_or(Lost::Closed)?;
                let mut events = Vec::new();
                if let Hearing::Stream { parser, .. } = &mut self.hearing {
                    parser.read(&piece, &mut events)?;
                }
                self.take(events)
            }
            Wake::Polled(polled) => {
                self.hearing = Hearing::Nothing;
                let (status, text) = polled?;
                self.inbox.push_back(Incoming::Alive);
                for line in text.lines().filter(|line| !line.is_empty()) {
                    self.hear(line)?;
                }
                // Behind an error there is nothing to poll for.
                if status == StatusCode::OK {
                    self.hearing = self.poll();
                }
                Ok(())
            }
        }
    }
}

async fn open(server: &ServerUrl) -> Result<Connection, Lost> {
    Connection::open(server)
        .await
        .map_err(|cause| Lost::Network(cause.to_string()))
}

impl Transport for Requests {
    async fn send(&mut self, seq: Option<u64>, message: &ClientMessage) -> Result<(), Lost> {
        match message {
            ClientMessage::Join(join) => return self.join(join).await,
            // The next poll says it.
            ClientMessage::Ack { .. } if self.polls => return Ok(()),
            _ => {}
        }
        self.lines += &frame(seq, message);
        self.lines.push('\n');
        self.waiting += 1;
        self.flush();
        // One POST takes so much; what comes while it is on its way goes with the next one.
        while self.waiting >= POST_MESSAGES / 2 || self.lines.len() >= MESSAGE_BYTES {
            self.step().await?;
        }
        Ok(())
    }

    async fn receive(&mut self) -> Result<Incoming, Lost> {
        loop {
            if let Some(incoming) = self.inbox.pop_front() {
                return Ok(incoming);
            }
            self.step().await?;
        }
    }

    async fn reconnect(&mut self) -> Result<(), Unreachable> {
        (self.posting, self.connection, self.hearing) = (None, None, Hearing::Nothing);
        self.inbox.clear();
        self.lines.clear();
        self.waiting = 0;
        Ok(())
    }
}
