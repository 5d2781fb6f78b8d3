//! The data channel of str0m, with as large a buffer as the others have, on one socket, driven by one thread, as
//! its examples do it.

use peers_common::{ANSWER, HIGH_WATER, MESSAGE, Role, arguments, put, report, wait};
use std::net::UdpSocket;
use std::time::{Duration, Instant};
use str0m::channel::ChannelId;
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Larger than any datagram of its.
const DATAGRAM: usize = 2000;

fn main() -> Result<()> {
    str0m::crypto::from_feature_flags().install_process_default();
    let arguments = arguments();
    let (dir, bytes) = (&arguments.dir, arguments.bytes);
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    // Its 128 KiB by default hold a fast line down.
    let mut rtc = Rtc::builder()
        .set_sctp_max_buffered_amount(HIGH_WATER)
        .build(Instant::now());
    rtc.add_local_candidate(Candidate::host(socket.local_addr()?, "udp")?);
    let mut line = match arguments.role {
        Role::Send => {
            let mut changes = rtc.sdp_api();
            changes.add_channel("data".to_owned());
            let (offer, pending) = changes.apply().ok_or("nothing to offer")?;
            put(dir, "offer", &serde_json::to_string(&offer)?);
            let answer = serde_json::from_str(&wait(dir, "answer"))?;
            rtc.sdp_api().accept_answer(pending, answer)?;
            Line::new(rtc, socket, bytes, 0)
        }
        Role::Receive => {
            let offer = serde_json::from_str(&wait(dir, "offer"))?;
            let answer = rtc.sdp_api().accept_offer(offer)?;
            put(dir, "answer", &serde_json::to_string(&answer)?);
            Line::new(rtc, socket, 0, bytes)
        }
    };
    match arguments.role {
        Role::Send => {
            while !line.answered {
                line.step()?;
            }
            put(dir, "done", "");
        }
        Role::Receive => {
            // Until the sender has the answer, which may have to be repeated.
            while !dir.join("done").exists() {
                line.step()?;
            }
            report(bytes, line.elapsed);
        }
    }
    Ok(())
}

struct Line {
    rtc: Rtc,
    socket: UdpSocket,
    channel: Option<ChannelId>,
    /// Bytes to send, and to receive.
    left: usize,
    expected: usize,
    answered: bool,
    begun: Option<Instant>,
    elapsed: Duration,
    message: Vec<u8>,
    buffer: Vec<u8>,
}

impl Line {
    fn new(rtc: Rtc, socket: UdpSocket, left: usize, expected: usize) -> Self {
        Self {
            rtc,
            socket,
            channel: None,
            left,
            expected,
            answered: false,
            begun: None,
            elapsed: Duration::ZERO,
            message: vec![7; MESSAGE],
            buffer: vec![0; DATAGRAM],
        }
    }

    /// Everything that is to be done now, and then one datagram or the next timeout.
    fn step(&mut self) -> Result<()> {
        let deadline = loop {
            self.fill()?;
            match self.rtc.poll_output()? {
                Output::Timeout(deadline) => break deadline,
                Output::Transmit(datagram) => {
                    self.socket
                        .send_to(&datagram.contents, datagram.destination)?;
                }
                Output::Event(event) => self.event(event)?,
            }
        };
        let now = Instant::now();
        let wait = deadline.saturating_duration_since(now);
        let input = if wait.is_zero() {
            None
        } else {
            self.socket.set_read_timeout(Some(wait))?;
            match self.socket.recv_from(&mut self.buffer) {
                Ok(received) => Some(received),
                Err(error) if is_timeout(&error) => None,
                Err(error) => return Err(error.into()),
            }
        };
        let now = Instant::now();
        match input {
            None => self.rtc.handle_input(Input::Timeout(now))?,
            Some((length, source)) => {
                let destination = self.socket.local_addr()?;
                let contents = self.buffer[..length].try_into()?;
                let proto = Protocol::Udp;
                let datagram = Receive {
                    proto,
                    source,
                    destination,
                    contents,
                };
                self.rtc.handle_input(Input::Receive(now, datagram))?;
            }
        }
        Ok(())
    }

    /// Gives the channel as much as it takes: it says no by itself.
    fn fill(&mut self) -> Result<()> {
        let Some(mut channel) = self.channel.and_then(|id| self.rtc.channel(id)) else {
            return Ok(());
        };
        while self.left > 0 {
            let length = self.left.min(MESSAGE);
            if !channel.write(true, &self.message[..length])? {
                break;
            }
            self.left -= length;
        }
        Ok(())
    }

    fn event(&mut self, event: Event) -> Result<()> {
        match event {
            Event::ChannelOpen(id, _) => self.channel = Some(id),
            Event::ChannelData(data) if self.expected == 0 => {
                self.answered = data.data == ANSWER;
            }
            Event::ChannelData(data) => {
                let begun = *self.begun.get_or_insert_with(Instant::now);
                self.expected = self.expected.saturating_sub(data.data.len());
                if self.expected == 0 {
                    self.elapsed = begun.elapsed();
                    let mut channel = self.rtc.channel(data.id).ok_or("no channel")?;
                    channel.write(true, ANSWER)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut)
}
