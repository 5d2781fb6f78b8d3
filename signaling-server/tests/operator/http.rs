//! Single requests, as `curl` would make them.

use crate::common::DEADLINE;
use serde_json::Value;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The status, and the code of the error.
    pub(crate) fn refusal(&self) -> (u16, String) {
        let code = self.json()["code"].as_str().unwrap().to_owned();
        (self.status, code)
    }
}

/// One request with these header lines; the whole answer.
pub(crate) async fn request(
    address: SocketAddr,
    line: &str,
    headers: &[String],
    body: &str,
) -> Answer {
    over(
        TcpStream::connect(address).await.unwrap(),
        line,
        headers,
        body,
    )
    .await
}

pub(crate) async fn over(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    line: &str,
    headers: &[String],
    body: &str,
) -> Answer {
    let mut head = format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    head.push_str(body);
    // What is too large is answered before it was read.
    let _ = stream.write_all(head.as_bytes()).await;
    let mut bytes = Vec::new();
    let _ = timeout(DEADLINE, stream.read_to_end(&mut bytes))
        .await
        .expect("an answer in time");
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("an answer");
    Answer {
        status: head[9..12].parse().unwrap(),
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}

pub(crate) fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}
