//! Servers on real sockets that misbehave, or are none.

use crate::{host, next, within};
use futures_util::{SinkExt, StreamExt};
use peerline::signaling::{Lost, Refusal, ServerUrl, Signaling, SignalingError, Unreachable};
use signaling_protocol::{ClientMessage, ErrorCode, ServerMessage};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// A server on a real socket that does `answer` to the first connection.
async fn serve<F: Future<Output = ()> + Send + 'static>(
    answer: impl FnOnce(TcpStream) -> F + Send + 'static,
) -> ServerUrl {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = ServerUrl::from(listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        answer(stream).await;
    });
    url
}

type Socket = WebSocketStream<TcpStream>;

async fn accept(stream: TcpStream) -> Socket {
    let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
    let first = socket.next().await.unwrap().unwrap().into_text().unwrap();
    assert!(
        matches!(ClientMessage::parse(&first), Ok(ClientMessage::Join(_))),
        "{first}"
    );
    socket
}

/// What a server answers to `join`, and what `join` returns.
async fn run_join_case(name: &str, answers: Vec<Message>, expected: SignalingError) {
    let url = serve(move |stream| async move {
        let mut socket = accept(stream).await;
        for answer in answers {
            // The client may have hung up already.
            let _ = socket.send(answer).await;
        }
    })
    .await;
    let error = within(Signaling::join(&url, host())).await.unwrap_err();
    match (&error, &expected) {
        (SignalingError::Lost(Lost::Protocol(_)), SignalingError::Lost(Lost::Protocol(_))) => {}
        _ => assert_eq!(error, expected, "{name}"),
    }
}

fn protocol() -> Lost {
    Lost::Protocol(String::new())
}

#[tokio::test]
async fn whatever_a_server_answers_to_join_has_its_own_error() {
    let early = r#"{"type":"chat","from":"p1","content":"hello"}"#;
    let refused = ServerMessage::error(ErrorCode::NoSuchRoom, "nobody is there");
    let refusal = Refusal {
        code: ErrorCode::NoSuchRoom,
        message: "nobody is there".into(),
        retry: true,
    };
    for (name, answers, expected) in [
        (
            "refuses",
            vec![Message::text(refused.to_json())],
            SignalingError::Refused(refusal),
        ),
        (
            "closes",
            vec![Message::Close(None)],
            SignalingError::Lost(Lost::Closed),
        ),
        ("goes", vec![], SignalingError::Lost(Lost::Closed)),
        (
            "talks early",
            vec![Message::text(early)],
            SignalingError::Lost(protocol()),
        ),
        (
            "no JSON",
            vec![Message::text("hello")],
            SignalingError::Lost(protocol()),
        ),
        (
            "half a joined",
            vec![Message::text(r#"{"type":"joined"}"#)],
            SignalingError::Lost(protocol()),
        ),
        (
            "binary",
            vec![Message::binary(vec![1])],
            SignalingError::Lost(protocol()),
        ),
        (
            "too large",
            vec![Message::text("x".repeat(300_000))],
            SignalingError::Lost(protocol()),
        ),
    ] {
        run_join_case(name, answers, expected).await;
    }
}

fn joined() -> Message {
    Message::text(
        r#"{"type":"joined","room":"7","self":"p1","peers":[],"iceServers":[],
            "limits":{"messageBytes":65536,"messagesPerSecond":50,"peers":2},"newer":true}"#,
    )
}

/// What a server says after `joined`, how many messages arrive of it, and how the connection is lost.
async fn run_joined_case(name: &str, says: Vec<Message>, arrive: usize, expected: Lost) {
    let url = serve(move |stream| async move {
        let mut socket = accept(stream).await;
        socket.send(joined()).await.unwrap();
        for message in says {
            let _ = socket.send(message).await;
        }
    })
    .await;
    let (mut signaling, _) = within(Signaling::join(&url, host())).await.unwrap();
    for _ in 0..arrive {
        assert!(next(&mut signaling).await.is_ok(), "{name}");
    }
    let lost = next(&mut signaling).await.unwrap_err();
    match (&lost, &expected) {
        (Lost::Protocol(_), Lost::Protocol(_)) => {}
        _ => assert_eq!(lost, expected, "{name}"),
    }
}

#[tokio::test]
async fn whatever_a_server_says_later_has_its_own_reason() {
    let chat = || Message::text(r#"{"type":"chat","from":"p2","content":"hello"}"#);
    let newer = Message::text(r#"{"type":"newer","from":"p2"}"#);
    let fatal = ServerMessage::error(ErrorCode::RateLimited, "slow down");
    let refusal = Refusal {
        code: ErrorCode::RateLimited,
        message: "slow down".into(),
        retry: true,
    };
    for (name, says, arrive, expected) in [
        ("talks and goes", vec![chat(), chat()], 2, Lost::Closed),
        (
            "talks and closes",
            vec![chat(), Message::Close(None)],
            1,
            Lost::Closed,
        ),
        ("says something newer", vec![newer, chat()], 1, Lost::Closed),
        (
            "pings",
            vec![Message::Ping("?".into()), chat()],
            1,
            Lost::Closed,
        ),
        (
            "throws out",
            vec![Message::text(fatal.to_json())],
            0,
            Lost::Refused(refusal),
        ),
        ("lets in twice", vec![chat(), joined()], 1, protocol()),
        ("binary", vec![Message::binary(vec![1])], 0, protocol()),
        ("no JSON", vec![chat(), Message::text("[]")], 1, protocol()),
        (
            "an id that is none",
            vec![Message::text(r#"{"type":"chat","from":"","content":""}"#)],
            0,
            protocol(),
        ),
        (
            "too large",
            vec![Message::text("x".repeat(300_000))],
            0,
            protocol(),
        ),
    ] {
        run_joined_case(name, says, arrive, expected).await;
    }
}

#[tokio::test]
async fn pings_are_answered_and_leaving_closes_the_connection() {
    let (seen, mut saw) = tokio::sync::mpsc::channel(8);
    let url = serve(move |stream| async move {
        let mut socket = accept(stream).await;
        socket.send(joined()).await.unwrap();
        socket
            .send(Message::Ping("are you there".into()))
            .await
            .unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() {
                socket.close(None).await.unwrap();
            }
            seen.send(message).await.unwrap();
        }
    })
    .await;
    let (signaling, _) = within(Signaling::join(&url, host())).await.unwrap();
    assert_eq!(
        within(saw.recv()).await,
        Some(Message::Pong("are you there".into()))
    );
    within(signaling.leave()).await;
    assert_eq!(
        within(saw.recv()).await,
        Some(Message::text(r#"{"type":"leave"}"#))
    );
    assert_eq!(
        within(saw.recv()).await,
        Some(Message::Close(None)),
        "closed, not cut"
    );
}

/// What answers in place of a signaling server.
async fn run_unreachable_case(name: &str, answer: &'static [u8], expected: Unreachable) {
    let url = serve(move |mut stream| async move {
        stream.write_all(answer).await.unwrap();
        stream.shutdown().await.unwrap();
        // Closing with unread bytes would reset the connection under the answer.
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await;
    let error = within(Signaling::join(&url, host())).await.unwrap_err();
    let SignalingError::Unreachable { cause, server } = error else {
        panic!("{name}: {error}")
    };
    assert_eq!(server, url);
    match (&cause, &expected) {
        (Unreachable::Network(_), Unreachable::Network(_)) => {}
        _ => assert_eq!(cause, expected, "{name}"),
    }
}

#[tokio::test]
async fn what_is_no_signaling_server_is_told_apart() {
    let network = || Unreachable::Network(String::new());
    for (name, answer, expected) in [
        (
            "a web server",
            &b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"[..],
            Unreachable::NotSignaling(404),
        ),
        (
            "a page",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
            Unreachable::NotSignaling(200),
        ),
        (
            "a busy server",
            b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
            network(),
        ),
        ("a mail server", b"220 mail.example ESMTP\r\n", network()),
        ("nothing said", b"", network()),
    ] {
        run_unreachable_case(name, answer, expected).await;
    }
}

#[tokio::test]
async fn a_port_without_a_server_and_a_name_without_an_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = ServerUrl::from(listener.local_addr().unwrap());
    drop(listener);
    for (url, expected) in [
        (url, Unreachable::Refused),
        ("http://name.invalid".parse().unwrap(), Unreachable::Name),
    ] {
        let error = within(Signaling::join(&url, host())).await.unwrap_err();
        assert_eq!(
            error,
            SignalingError::Unreachable {
                server: url,
                cause: expected
            }
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_given_up() {
    let url = serve(|stream| async move {
        let _open = stream;
        std::future::pending().await
    })
    .await;
    let error = Signaling::join(&url, host()).await.unwrap_err();
    let expected = SignalingError::Unreachable {
        server: url,
        cause: Unreachable::Timeout,
    };
    assert_eq!(error, expected);
}
