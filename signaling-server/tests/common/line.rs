//! One member over any of the three transports, so that one table of cases runs over all of them.

use super::{Client, DEADLINE, TestServer, exchange, status};
use serde_json::{Value, json};
use std::{collections::VecDeque, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    WebSocket,
    Events,
    Poll,
}

pub(crate) const KINDS: [Kind; 3] = [Kind::WebSocket, Kind::Events, Kind::Poll];

/// A resumable member that does what a good client does.
pub(crate) struct Line {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    pub(crate) room: String,
    pub(crate) joined: Value,
    pub(crate) carrier: Carrier,
    /// The number of the last message that was sent and that came.
    pub(crate) sent: u64,
    pub(crate) got: u64,
}

pub(crate) enum Carrier {
    WebSocket(Box<Client>),
    Events(BufReader<TcpStream>),
    Poll(VecDeque<Value>),
    None,
}

/// The status and the body of a response.
pub(crate) type Answer = (u16, Vec<Value>);

impl Line {
    /// Joins, or returns the code of the refusal.
    pub(crate) async fn join(server: &TestServer, kind: Kind, join: Value) -> Result<Self, String> {
        Self::join_at(server.address, kind, join).await
    }

    /// The same at a server elsewhere.
    pub(crate) async fn join_at(
        address: SocketAddr,
        kind: Kind,
        mut join: Value,
    ) -> Result<Self, String> {
        join["type"] = json!("join");
        join["resumable"] = json!(true);
        let (joined, carrier) = match kind {
            Kind::WebSocket => {
                let mut client = Client::connect(address, "/ws").await;
                client.send(join).await;
                let joined = client.next().await;
                (joined, Carrier::WebSocket(Box::new(client)))
            }
            Kind::Events | Kind::Poll => {
                let room = join["room"].as_str().unwrap_or("-").to_owned();
                let path = format!("/api/rooms/{room}/messages");
                let (_, mut answer) =
                    request(address, "POST", &path, None, &join.to_string()).await;
                (answer.remove(0), Carrier::None)
            }
        };
        if joined["type"] != "joined" {
            return Err(joined["code"].as_str().unwrap().to_owned());
        }
        let mut line = Self {
            kind,
            address,
            room: joined["room"].as_str().unwrap().to_owned(),
            joined,
            carrier,
            sent: 0,
            got: 0,
        };
        if kind != Kind::WebSocket {
            line.connect().await.unwrap();
        }
        Ok(line)
    }

    pub(crate) async fn enter(server: &TestServer, kind: Kind, room: &str) -> Self {
        Self::join(server, kind, json!({ "room": room }))
            .await
            .unwrap()
    }

    pub(crate) fn id(&self) -> Value {
        self.joined["self"].clone()
    }

    pub(crate) fn token(&self) -> String {
        self.joined["resume"].as_str().unwrap().to_owned()
    }

    pub(crate) fn path(&self, what: &str) -> String {
        format!("/api/rooms/{}/{what}", self.room)
    }

    /// Carries on with this kind of transport; what was received so far is acknowledged by that. Returns
    /// the number of the last message that the server has, or the code of the refusal.
    pub(crate) async fn connect(&mut self) -> Result<u64, String> {
        let token = self.token();
        let first = match self.kind {
            Kind::WebSocket => {
                let mut client = Client::connect(self.address, "/ws").await;
                let join = json!({ "type": "join", "resumable": true, "resume": token,
                    "ack": self.got });
                client.send(join).await;
                let first = client.next().await;
                self.carrier = Carrier::WebSocket(Box::new(client));
                first
            }
            Kind::Events => {
                let mut stream = TcpStream::connect(self.address).await.unwrap();
                let head = format!(
                    "GET {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
                     Last-Event-ID: {}\r\n\r\n",
                    self.path("events"),
                    self.got
                );
                stream.write_all(head.as_bytes()).await.unwrap();
                let mut stream = BufReader::new(stream);
                let mut status = String::new();
                stream.read_line(&mut status).await.unwrap();
                self.carrier = Carrier::Events(stream);
                if status.contains(" 200 ") {
                    self.next().await
                } else {
                    loop {
                        let text = self.text_line().await.unwrap();
                        if text.starts_with('{') {
                            break serde_json::from_str(&text).unwrap();
                        }
                        if text.is_empty() {
                            let Carrier::Events(stream) = &mut self.carrier else {
                                panic!()
                            };
                            let mut body = String::new();
                            stream.read_to_string(&mut body).await.unwrap();
                            break serde_json::from_str(&body).unwrap();
                        }
                    }
                }
            }
            Kind::Poll => {
                self.carrier = Carrier::Poll(VecDeque::new());
                let (status, answer) = self.post("").await;
                match status {
                    200 => json!({ "type": "resumed", "received": answer[0]["seq"] }),
                    _ => answer[0].clone(),
                }
            }
        };
        match first["type"].as_str().unwrap() {
            "resumed" => Ok(first["received"].as_u64().unwrap()),
            _ => Err(first["code"].as_str().unwrap().to_owned()),
        }
    }

    /// Sends a message with the next number.
    pub(crate) async fn send(&mut self, mut message: Value) {
        self.sent += 1;
        message["seq"] = json!(self.sent);
        self.send_as_it_is(&message.to_string()).await;
    }

    pub(crate) async fn send_as_it_is(&mut self, text: &str) {
        if let Carrier::WebSocket(client) = &mut self.carrier {
            client.send_text(text).await;
            return;
        }
        let _ = self.post(text).await;
    }

    pub(crate) async fn post(&self, body: &str) -> Answer {
        let token = self.token();
        request(
            self.address,
            "POST",
            &self.path("messages"),
            Some(&token),
            body,
        )
        .await
    }

    pub(crate) async fn poll(&self) -> Answer {
        let token = self.token();
        let path = format!("{}?ack={}", self.path("poll"), self.got);
        request(self.address, "GET", &path, Some(&token), "").await
    }

    /// The next message, with its number checked.
    pub(crate) async fn next(&mut self) -> Value {
        let message = loop {
            match self.raw_next().await {
                Some(message) if message["type"] == "ack" => {}
                Some(message) => break message,
                None => panic!("the connection ended"),
            }
        };
        if let Some(seq) = message["seq"].as_u64() {
            assert_eq!(seq, self.got + 1, "{message}");
            self.got = seq;
        }
        message
    }

    pub(crate) async fn expect(&mut self, kind: &str) -> Value {
        let message = self.next().await;
        assert_eq!(message["type"], kind, "{:?}: {message}", self.kind);
        message
    }

    /// The next message of this type; comings and goings in between do not matter.
    pub(crate) async fn heard(&mut self, kind: &str) -> Value {
        loop {
            let message = self.next().await;
            let comings = ["peer-joined", "peer-left", "peer-away", "peer-back"];
            if message["type"] == kind || !comings.iter().any(|coming| message["type"] == *coming) {
                assert_eq!(message["type"], kind, "{:?}: {message}", self.kind);
                break message;
            }
        }
    }

    /// The same member, not connected yet, at another server.
    pub(crate) fn elsewhere(&self, address: SocketAddr) -> Self {
        Self {
            kind: self.kind,
            address,
            room: self.room.clone(),
            joined: self.joined.clone(),
            carrier: Carrier::None,
            sent: self.sent,
            got: self.got,
        }
    }

    /// The code of the error that ends this member, and that nothing comes behind it.
    pub(crate) async fn refusal(&mut self) -> String {
        let mut code = String::new();
        while let Some(message) = self.raw_next().await {
            if message["type"] == "error" {
                code = message["code"].as_str().unwrap().to_owned();
                if self.kind == Kind::Poll {
                    break;
                }
            }
        }
        code
    }

    /// The next message as it comes; `None` at the end.
    pub(crate) async fn raw_next(&mut self) -> Option<Value> {
        match &mut self.carrier {
            Carrier::WebSocket(client) => match client.frame().await? {
                tokio_tungstenite::tungstenite::Message::Text(text) => {
                    Some(serde_json::from_str(&text).unwrap())
                }
                _ => None,
            },
            Carrier::Events(_) => loop {
                let text = self.text_line().await?;
                if let Some(data) = text.strip_prefix("data: ") {
                    return Some(serde_json::from_str(data).unwrap());
                }
            },
            Carrier::Poll(_) => loop {
                if let Carrier::Poll(waiting) = &mut self.carrier
                    && let Some(message) = waiting.pop_front()
                {
                    return Some(message);
                }
                let (_, messages) = self.poll().await;
                self.carrier = Carrier::Poll(messages.into());
            },
            Carrier::None => panic!("nothing carries messages"),
        }
    }

    /// One line of a stream.
    async fn text_line(&mut self) -> Option<String> {
        let Carrier::Events(stream) = &mut self.carrier else {
            panic!("no stream")
        };
        let mut text = String::new();
        let read = timeout(DEADLINE, stream.read_line(&mut text))
            .await
            .expect("a line in time");
        match read {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(text.trim_end().to_owned()),
        }
    }

    /// Breaks the connection without a word.
    pub(crate) fn cut(&mut self) {
        match std::mem::replace(&mut self.carrier, Carrier::None) {
            Carrier::WebSocket(client) => client.cut(),
            Carrier::Events(stream) => {
                let stream = stream.into_inner();
                socket2::SockRef::from(&stream)
                    .set_linger(Some(Duration::ZERO))
                    .unwrap();
            }
            Carrier::Poll(_) | Carrier::None => {}
        }
    }
}

/// One request on a connection of its own.
pub(crate) async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: &str,
) -> Answer {
    let authorization = token.map_or(String::new(), |token| {
        format!("Authorization: Bearer {token}\r\n")
    });
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{authorization}\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    let answer = exchange(&mut stream, format!("{head}{body}").as_bytes()).await;
    let status = status(&answer).unwrap();
    let text = String::from_utf8(answer).unwrap();
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    let messages = body
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    (status, messages)
}
