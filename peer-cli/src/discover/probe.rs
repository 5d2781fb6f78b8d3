//! Whether a Peerline server is at an address: one small HTTP request.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A server on this host answers in a millisecond.
pub(crate) const LOCAL_LIMIT: Duration = Duration::from_millis(200);

/// One on the local network may sit behind a sleepy Wi-Fi.
pub(crate) const LAN_LIMIT: Duration = Duration::from_secs(2);

/// More than any answer to `/healthz`; whatever else listens there is not read further.
const LONGEST_ANSWER: u64 = 4096;

/// Asks `GET /healthz`.
pub(crate) async fn is_peerline(address: SocketAddr) -> bool {
    let limit = if address.ip().is_loopback() {
        LOCAL_LIMIT
    } else {
        LAN_LIMIT
    };
    let answer = timeout(limit, ask(address)).await;
    matches!(answer, Ok(Ok(answer)) if recognises(&answer))
}

async fn ask(address: SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    // HTTP/1.0: the answer is not chunked, and the connection ends after it.
    let request = format!("GET /healthz HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer).await?;
    Ok(answer)
}

fn recognises(answer: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Health {
        service: String,
    }
    let Ok(text) = str::from_utf8(answer) else {
        return false;
    };
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let status = head.split(' ').nth(1);
    let health: Result<Health, _> = serde_json::from_str(body);
    head.starts_with("HTTP/1.")
        && status == Some("200")
        && health.is_ok_and(|health| health.service == "peerline")
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn only_our_own_answer_is_recognised() {
        for (answer, ours) in [
            (
                "HTTP/1.1 200 OK\r\nA: b\r\n\r\n{\"service\":\"peerline\",\"version\":\"1\"}",
                true,
            ),
            ("HTTP/1.0 200 OK\r\n\r\n{\"service\":\"peerline\"}", true),
            (
                "HTTP/1.1 404 Not Found\r\n\r\n{\"service\":\"peerline\"}",
                false,
            ),
            ("HTTP/1.1 200 OK\r\n\r\n{\"service\":\"other\"}", false),
            ("HTTP/1.1 200 OK\r\n\r\nok", false),
            ("HTTP/1.1 200 OK", false),
            ("SSH-2.0-OpenSSH_9.7\r\n\r\n", false),
            ("", false),
        ] {
            assert_eq!(recognises(answer.as_bytes()), ours, "{answer:?}");
        }
        assert!(!recognises(b"HTTP/1.1 200 OK\r\n\r\n\xff\xfe"));
    }

    /// A server that accepts one connection and does `answer` with it.
    async fn against(answer: Option<Vec<u8>>) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            // Closing with the request unread would reset the connection and lose the answer.
            let _ = stream.read(&mut [0; 1024]).await;
            match answer {
                Some(answer) => drop(stream.write_all(&answer).await),
                None => std::future::pending().await,
            }
        });
        let found = is_peerline(address).await;
        server.abort();
        found
    }

    #[tokio::test]
    async fn silence_floods_and_closed_ports_end_soon() {
        let ours = b"HTTP/1.1 200 OK\r\n\r\n{\"service\":\"peerline\"}".to_vec();
        assert!(against(Some(ours)).await);
        assert!(!against(None).await);
        assert!(!against(Some(vec![b'x'; 10 << 20])).await);
        let free = TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap();
        assert!(!is_peerline(free).await);
    }
}
