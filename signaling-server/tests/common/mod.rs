//! A server on a free port, and clients that wait for what they expect.
#![allow(dead_code, clippy::unwrap_used)]

pub(crate) mod line;
pub(crate) mod program;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use signaling_server::{Config, Limits, Server, ServerHandle};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

/// No event takes this long unless it never comes.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    run: JoinHandle<()>,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Limits)) -> Self {
        let mut config = config();
        change(&mut config.limits);
        Self::with_config(config).await
    }

    pub(crate) async fn with_config(config: Config) -> Self {
        Self::with_handle(config).await.0
    }

    pub(crate) async fn with_handle(config: Config) -> (Self, ServerHandle) {
        let server = Server::bind(config).unwrap();
        let (address, handle) = (server.local_addr(), server.handle());
        let (stop, stopped) = oneshot::channel();
        let run = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        let server = Self {
            address,
            stop: Some(stop),
            run,
        };
        (server, handle)
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address, "/ws").await
    }

    pub(crate) async fn plain(&self, path: &str) -> Client {
        Client::connect(self.address, path).await
    }

    /// A client that has joined, and its `joined`.
    pub(crate) async fn joined(&self, room: &str) -> (Client, Value) {
        let mut client = self.client().await;
        client.send(json!({ "type": "join", "room": room })).await;
        let joined = client.expect("joined").await;
        (client, joined)
    }

    pub(crate) async fn raw(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Tells the server to stop; the handle ends when it has.
    pub(crate) fn stop(mut self) -> JoinHandle<()> {
        let _ = self.stop.take().unwrap().send(());
        self.run
    }

    /// Drops the server in the middle of its work.
    pub(crate) fn abort(&self) {
        self.run.abort();
    }

    /// The server still serves: two new peers meet.
    pub(crate) async fn assert_serves(&self) {
        let (mut first, _) = self.joined("still-alive").await;
        let (_second, joined) = self.joined("still-alive").await;
        assert_eq!(joined["peers"].as_array().unwrap().len(), 1);
        first.expect("peer-joined").await;
    }
}

pub(crate) fn config() -> Config {
    Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        ..Config::default()
    }
}

pub(crate) struct Client {
    socket: WebSocketStream<TcpStream>,
}

/// How a connection ended: the errors that came before and the close code, if there was one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) errors: Vec<String>,
    pub(crate) close: Option<u16>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr, path: &str) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap(), path).await
    }

    pub(crate) async fn over(stream: TcpStream, path: &str) -> Self {
        Self::over_with(stream, path, &[]).await
    }

    /// The same with more headers.
    pub(crate) async fn over_with(
        stream: TcpStream,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Self {
        let mut request = format!("ws://localhost{path}")
            .into_client_request()
            .unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (socket, _) = client_async(request, stream).await.unwrap();
        Self { socket }
    }

    /// The same over a connection that may be cut at any time.
    pub(crate) async fn try_over(stream: TcpStream, path: &str) -> Option<Self> {
        let request = format!("ws://localhost{path}")
            .into_client_request()
            .unwrap();
        let (socket, _) = client_async(request, stream).await.ok()?;
        Some(Self { socket })
    }

    /// The next message, unless the connection ends first.
    pub(crate) async fn try_next(&mut self) -> Option<Value> {
        match self.frame().await? {
            Message::Text(text) => Some(serde_json::from_str(&text).unwrap()),
            _ => None,
        }
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.send_frame(Message::text(message.to_string())).await;
    }

    pub(crate) async fn send_frame(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        // The server may have hung up.
        let _ = self.socket.send(Message::text(text)).await;
    }

    /// Sends without minding that the server may have hung up.
    pub(crate) async fn try_send(&mut self, message: Value) -> bool {
        self.socket
            .send(Message::text(message.to_string()))
            .await
            .is_ok()
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Value {
        match self.frame().await {
            Some(Message::Text(text)) => serde_json::from_str(&text).unwrap(),
            other => panic!("a message was expected, not {other:?}"),
        }
    }

    /// The next message, which is of this type.
    pub(crate) async fn expect(&mut self, kind: &str) -> Value {
        let message = self.next().await;
        assert_eq!(message["type"], kind, "{message}");
        message
    }

    /// The next frame that is not a ping or pong; `None` at the end.
    pub(crate) async fn frame(&mut self) -> Option<Message> {
        loop {
            let frame = timeout(DEADLINE, self.socket.next())
                .await
                .expect("a frame in time");
            match frame {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(frame)) => return Some(frame),
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// The next frame of any kind.
    pub(crate) async fn any_frame(&mut self) -> Message {
        timeout(DEADLINE, self.socket.next())
            .await
            .expect("a frame in time")
            .unwrap()
            .unwrap()
    }

    /// Reads to the end of the connection.
    pub(crate) async fn end(&mut self) -> End {
        let mut end = End {
            errors: Vec::new(),
            close: None,
        };
        while let Some(frame) = self.frame().await {
            match frame {
                Message::Text(text) => {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    if message["type"] == "error" {
                        end.errors
                            .push(message["code"].as_str().unwrap().to_owned());
                    }
                }
                Message::Close(frame) => end.close = frame.map(|frame| frame.code.into()),
                other => panic!("unexpected {other:?}"),
            }
        }
        end
    }

    /// Expects one error and then the close code that belongs to it.
    pub(crate) async fn refused(&mut self, code: &str, close: u16) {
        assert_eq!(
            self.end().await,
            End {
                errors: vec![code.to_owned()],
                close: Some(close)
            }
        );
    }

    /// Closes in good order.
    pub(crate) async fn close(mut self) {
        self.socket.close(None).await.unwrap();
        while self.frame().await.is_some() {}
    }

    /// Breaks the connection without a word.
    pub(crate) fn cut(self) {
        let stream = self.socket.into_inner();
        // A reset instead of an orderly end, as after a crash.
        socket2::SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
}

/// Sends bytes and reads everything that comes back until the server closes.
pub(crate) async fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    // The server may have had enough before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = timeout(DEADLINE, stream.read_to_end(&mut answer))
        .await
        .expect("an end in time");
    answer
}

/// The status line's number of a response.
pub(crate) fn status(answer: &[u8]) -> Option<u16> {
    std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()
}
