//! What a command has to say: one enum, worded for people here and for scripts as JSON.
//!
//! The names of events and fields are a promise to scripts; `docs` and the tests below hold them.

use std::fmt::Write as _;

use peerline::media::codec::Codec;
use peerline::media::record::Part;
use peerline::session::{Path, PathKind};
use serde::Serialize;

use super::clean::{ascii_json, clean};
use super::measured::{Measured, RoundTrips, Throughput, Unmeasured};
use super::palette::Palette;
use super::piped::Piped;
use super::size::{Bytes, Rate, Span, count};
use super::tunnelled::Tunnelled;
use crate::exit::{Exit, Failure, Kept, Retry};

/// How the bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Route {
    /// From one machine to the other.
    Direct,
    /// Through a TURN server, which sees encrypted packets.
    Relayed,
    /// The engine did not say.
    Unknown,
}

impl From<Option<&Path>> for Route {
    fn from(path: Option<&Path>) -> Self {
        match path.map(|path| path.kind) {
            Some(PathKind::Direct) => Self::Direct,
            Some(PathKind::Relayed) => Self::Relayed,
            None => Self::Unknown,
        }
    }
}

impl Route {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Relayed => "relayed",
            Self::Unknown => "by an unknown path",
        }
    }
}

/// One thing worth saying, in the order in which a command says them.
///
/// Sizes are bytes, `seconds` and `rtt_ms` what they say, rates bytes per second. Text from the
/// peer may hold anything; both wordings make it harmless.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Event {
    /// The embedded signaling server is up.
    Listening {
        /// Its address as others on the network reach it.
        server: String,
    },
    /// The code for the other side.
    Code {
        /// `room-word-word-word`.
        code: String,
        /// The same as a link to the page.
        link: String,
        /// The exact line for a terminal on the other side.
        command: String,
    },
    /// The next one can come (`receive-file --listen` and `--from`).
    Waiting {
        /// The known devices that are waited for; none beside a code.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        devices: Vec<String>,
    },
    /// Somebody with the right code is there.
    Peer {
        /// The program, as it calls itself.
        agent: String,
        /// `native` or `browser`.
        engine: String,
        /// What it is called here, if it is a device that is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        device: Option<String>,
    },
    /// This device and the other one know each other.
    Paired {
        /// What the other one is called here.
        name: String,
        /// Its public key.
        key: String,
    },
    /// A known device, in answer to `pair list`.
    Device {
        /// What it is called here.
        name: String,
        /// Its public key.
        key: String,
        /// When it was paired, in seconds since 1970.
        since: u64,
    },
    /// A device is not known any more.
    Removed {
        /// What it was called.
        name: String,
    },
    /// A device is called otherwise.
    Renamed {
        /// What it was called.
        from: String,
        /// What it is called now.
        to: String,
    },
    /// Words that are equal on both sides exactly when nobody is in the middle.
    Phrase {
        /// Six words.
        phrase: String,
    },
    /// The line is up.
    Connected {
        /// Direct or relayed.
        path: Route,
        /// How our own TURN server is reached: `udp`, `tcp` or `tls`. Not there for a direct path, nor for
        /// the other side's server.
        #[serde(skip_serializing_if = "Option::is_none")]
        relay: Option<String>,
        /// Round trip, milliseconds.
        rtt_ms: f64,
        /// Address of this side.
        local: String,
        /// Address of the other side, or of its relay.
        remote: String,
    },
    /// The other side cannot be reached; another way to it is looked for.
    Interrupted {
        /// `path-lost`: the path stopped working. `network-lost`: so it did, and the signaling server cannot
        /// be reached either. `silent`: the path works, and the other side says nothing.
        reason: &'static str,
        /// Until the command gives up.
        seconds_left: u64,
    },
    /// The other side can be reached again, and everything goes on.
    Reconnected {
        /// Direct or relayed.
        path: Route,
        /// How long it could not be reached.
        seconds: f64,
    },
    /// What the other side wants to send.
    Offer {
        /// How the sender calls it.
        title: String,
        /// Number of files.
        files: u64,
        /// Number of directories.
        directories: u64,
        /// Size of all files.
        bytes: u64,
    },
    /// How far it is.
    Progress {
        /// Verified by the receiver.
        bytes: u64,
        /// All of it.
        total: u64,
        /// Smoothed; what was there before does not count.
        rate: f64,
        /// Bytes that were there before.
        resumed: u64,
    },
    /// An earlier attempt left something, and it is still good.
    Resuming {
        /// Bytes that are not sent again.
        bytes: u64,
        /// All of it.
        total: u64,
    },
    /// A file is not what it was at the earlier attempt: what differs is sent anew.
    Changed {
        /// Relative path.
        path: String,
    },
    /// An unfinished transfer, in answer to `transfers list`.
    Transfer {
        /// Names it for the other commands.
        id: String,
        /// `resumable`, `in-use` or `unusable`.
        state: &'static str,
        /// What the sender calls it, if it can be read.
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        /// Bytes that are here.
        bytes: u64,
        /// All of it.
        total: u64,
        /// Number of files, all of them.
        files: u64,
        /// Seconds since something was added.
        #[serde(skip_serializing_if = "Option::is_none")]
        age: Option<u64>,
        /// Why it is unusable.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// An unfinished transfer was taken away.
    Discarded {
        /// Its name.
        id: String,
    },
    /// One file is complete and verified.
    File {
        /// Relative path.
        path: String,
        /// Its size.
        size: u64,
        /// Its digest in hex (protocol section 5.4).
        digest: String,
    },
    /// Everything is verified, synced and in place on the receiving side.
    Done {
        /// All of it.
        bytes: u64,
        /// Number of files.
        files: u64,
        /// From the first byte to the receipt.
        seconds: f64,
        /// Average of what was sent now.
        rate: f64,
        /// Bytes that an earlier attempt had sent.
        resumed: u64,
        /// Direct or relayed.
        path: Route,
        /// Most connections that carried the files at a time.
        lanes: u16,
        /// The largest datagrams in which they travelled, UDP payload in bytes; 0 if there were none.
        packet: u16,
        /// Bytes that other receivers gave.
        #[serde(skip_serializing_if = "is_zero")]
        helped: u64,
        /// How many have received it (`send-file --to-many`); `bytes` counts once.
        #[serde(skip_serializing_if = "Option::is_none")]
        receivers: Option<u16>,
    },
    /// A track of a call began or ended.
    Track {
        /// `out` is sent, `in` is received.
        direction: &'static str,
        /// `audio` or `video`.
        kind: String,
        /// `opus`, `VP8`, `VP9`, `H264` or `AV1`.
        codec: &'static str,
        /// `started`; `ended`; `failed`: its source did; `refused`: the other side does not understand it.
        state: &'static str,
    },
    /// Sound or pictures of this side were turned off or on.
    Media {
        /// `audio` or `video`.
        kind: &'static str,
        /// Whether it is sent now.
        on: bool,
    },
    /// How a call goes, when somebody asks.
    Stats {
        /// Since it was connected.
        seconds: f64,
        /// Round trip, milliseconds, if it is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        rtt_ms: Option<f64>,
        /// So far.
        sent: Flows,
        /// So far.
        received: Flows,
    },
    /// A recording is complete.
    Recorded {
        /// The file.
        path: String,
        /// How long it plays.
        seconds: f64,
        /// Its size.
        bytes: u64,
    },
    /// A call is over, as calls are.
    CallDone {
        /// Since it was connected.
        seconds: f64,
        /// `hung-up`, `peer-hung-up` or `duration`.
        reason: &'static str,
        /// Direct or relayed.
        path: Route,
        /// All of it.
        sent: Flows,
        /// All of it.
        received: Flows,
    },
    /// Round trips of the idle line (`bench`).
    Latency(RoundTrips),
    /// Throughput of one measurement (`bench`).
    Throughput(Throughput),
    /// Something that could not be measured (`bench`).
    Unmeasured(Unmeasured),
    /// Everything was measured (`bench`).
    #[serde(rename = "done")]
    Measured(Measured),
    /// Both directions of a pipe have ended (`pipe`).
    #[serde(rename = "done")]
    Piped(Piped),
    /// A service that the other side may use (`expose`).
    Exposed {
        /// What it is called.
        name: String,
        /// Where it is.
        address: String,
    },
    /// Where a service of the other side can be reached here (`connect`).
    Forward {
        /// What it is called there; nothing for a SOCKS port.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// `tcp`, `udp`, `unix` or `socks`: what listens here.
        kind: &'static str,
        /// The address here.
        listen: String,
    },
    /// A connection to a service is over, or was none (`expose`, `connect`).
    Connection {
        /// The service.
        name: String,
        /// `closed`: both sides have everything. `broken`: both were told. `refused`: it is not exposed.
        /// `unreachable`: what is exposed does not answer.
        state: &'static str,
        /// Bytes to the other side.
        sent: u64,
        /// Bytes from the other side.
        received: u64,
        /// Why, if it is not `closed`.
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// Services were used until one side had enough (`expose`, `connect`).
    #[serde(rename = "done")]
    Tunnelled(Tunnelled),
    /// A transfer failed or was declined, and the next one is waited for (`receive-file --listen`).
    Failed {
        /// Stable name of the kind of failure.
        code: String,
        /// What failed and whose fault it is.
        message: String,
        /// What to try, may be empty.
        hint: String,
        /// Whether the same can succeed later.
        retry: bool,
        /// What stays on this disk.
        #[serde(skip_serializing_if = "Option::is_none")]
        kept: Option<Kept>,
    },
    /// The command failed; always the last event.
    Error {
        /// Stable name of the kind of failure.
        code: String,
        /// What failed and whose fault it is.
        message: String,
        /// What to try, may be empty.
        hint: String,
        /// Whether the same command can succeed later.
        retry: bool,
        /// The exit code.
        exit: u8,
        /// The command that goes on, if something was transferred.
        #[serde(skip_serializing_if = "Option::is_none")]
        resume: Option<String>,
        /// What stays on this disk.
        #[serde(skip_serializing_if = "Option::is_none")]
        kept: Option<Kept>,
    },
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What travelled in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Flows {
    pub(crate) video: Flow,
    pub(crate) audio: Flow,
}

/// What travelled of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Flow {
    /// Whole frames.
    pub(crate) frames: u64,
    pub(crate) packets: u64,
    /// Bytes in the packets, without headers.
    pub(crate) bytes: u64,
    /// Packets that never came.
    pub(crate) lost: u64,
    /// Packets that came twice or too late.
    pub(crate) late: u64,
    /// Frames that were given up because of that.
    pub(crate) dropped: u64,
    /// Key frames that the receiving side asked for.
    pub(crate) key_requests: u64,
}

impl From<&Failure> for Event {
    fn from(failure: &Failure) -> Self {
        Self::Error {
            code: failure.kind.to_owned(),
            message: failure.message.clone(),
            hint: failure.hint.clone(),
            retry: failure.retry == Retry::Helps,
            exit: failure.exit.number(),
            resume: failure.remains.as_ref().map(|left| left.resume.clone()),
            kept: failure.remains.as_ref().and_then(|left| left.kept.clone()),
        }
    }
}

impl Event {
    /// A failure that is not the end of the command.
    pub(crate) fn failed(failure: &Failure) -> Self {
        Self::Failed {
            code: failure.kind.to_owned(),
            message: failure.message.clone(),
            hint: failure.hint.clone(),
            retry: failure.retry == Retry::Helps,
            kept: failure.remains.as_ref().and_then(|left| left.kept.clone()),
        }
    }

    /// What happened to a track.
    pub(crate) fn track(direction: &'static str, codec: Codec, state: &'static str) -> Self {
        Self::Track {
            direction,
            kind: codec.kind().to_string(),
            codec: codec.name(),
            state,
        }
    }

    /// A file of a recording.
    pub(crate) fn recorded(part: &Part) -> Self {
        Self::Recorded {
            path: part.path.display().to_string(),
            seconds: part.length.as_secs_f64(),
            bytes: part.bytes,
        }
    }

    /// One JSON object in printable ASCII, without line breaks.
    pub(crate) fn json(&self) -> String {
        let json = serde_json::to_string(self).expect("events hold only text and numbers");
        ascii_json(&json)
    }

    /// The same, about one of several receivers.
    pub(crate) fn json_of(&self, receiver: u32) -> String {
        let json = self.json();
        let open = json.strip_suffix('}').unwrap_or(&json);
        format!("{open},\"receiver\":{receiver}}}")
    }

    /// The line for people, or `None` for what is shown otherwise (the bar) or not at all.
    pub(crate) fn line(&self, palette: Palette) -> Option<String> {
        Some(match self {
            // What was asked for is a result, and worded where it is listed.
            // Of a transfer that failed among others there is a line in the log.
            Self::Progress { .. }
            | Self::Transfer { .. }
            | Self::Device { .. }
            | Self::Failed { .. }
            | Self::Waiting { .. } => return None,
            Self::Paired { name, .. } => format!("Paired: {}", clean(name)),
            Self::Removed { name } => format!("Removed: {}", clean(name)),
            Self::Renamed { from, to } => format!("Renamed: {} is {} now", clean(from), clean(to)),
            // Rows of a table.
            Self::Latency(_) | Self::Throughput(_) | Self::Unmeasured(_) => return None,
            Self::Measured(measured) => measured.line(),
            Self::Piped(piped) => piped.line(),
            Self::Tunnelled(tunnelled) => tunnelled.line(),
            Self::Exposed { name, address } if name == address => {
                format!("Exposed: {}", clean(name))
            }
            Self::Exposed { name, address } => {
                format!("Exposed: {} ({})", clean(name), clean(address))
            }
            Self::Forward { name, kind, listen } => {
                let name = match name {
                    Some(name) => clean(name),
                    None => "whatever is exposed".to_owned(),
                };
                format!("Forward: {kind} {listen} to {name}")
            }
            // A browser makes dozens a minute.
            Self::Connection {
                state: "closed", ..
            } => return None,
            Self::Connection {
                name,
                state,
                message,
                ..
            } => {
                let why = message.as_ref().map(|why| format!(": {}", clean(why)));
                format!(
                    "Connection to {} {state}{}",
                    clean(name),
                    why.unwrap_or_default()
                )
            }
            Self::Resuming { bytes, total } => {
                format!("Resuming: {} of {} are there", Bytes(*bytes), Bytes(*total))
            }
            Self::Changed { path } => {
                format!("Changed since: {}; what differs is sent anew", clean(path))
            }
            Self::Discarded { id } => format!("Discarded: {}", clean(id)),
            Self::Listening { server } => format!("Signaling server: {server}"),
            Self::Code {
                code,
                link,
                command,
            } => {
                format!(
                    "Code: {}\nLink: {link}\n\nOn the other side:\n\n  {command}\n",
                    palette.bold(code)
                )
            }
            Self::Peer {
                agent,
                device: Some(device),
                ..
            } => format!("Other side: {} ({})", clean(device), clean(agent)),
            Self::Peer { agent, .. } => format!("Other side: {}", clean(agent)),
            Self::Phrase { phrase } => format!("Words, the same on both sides: {phrase}"),
            Self::Connected {
                path,
                relay,
                rtt_ms,
                remote,
                ..
            } => {
                let over = relay
                    .as_ref()
                    .map_or_else(String::new, |over| format!(" over {over}"));
                format!(
                    "Connected: {}{over}, {rtt_ms:.1} ms to {}",
                    path.word(),
                    clean(remote)
                )
            }
            Self::Interrupted {
                reason,
                seconds_left,
            } => {
                let what = match *reason {
                    "network-lost" => {
                        "Neither the other side nor the signaling server can be reached"
                    }
                    "silent" => "The other side says nothing",
                    _ => "Connection lost",
                };
                format!("{what}; looking for the other side again for {seconds_left} s…")
            }
            Self::Reconnected { path, seconds } => {
                format!("Connected again after {seconds:.0} s: {}", path.word())
            }
            Self::Offer {
                title,
                files,
                directories,
                bytes,
            } => {
                let mut what = count(*files, "file");
                if *directories > 0 {
                    what = format!("{what} in {}", count(*directories, "directory"));
                }
                format!("Offered: {} ({what}, {})", clean(title), Bytes(*bytes))
            }
            Self::File { path, size, .. } => format!("{}  {}", clean(path), Bytes(*size)),
            Self::Done {
                bytes,
                files,
                seconds,
                rate,
                resumed,
                path,
                helped,
                receivers,
                ..
            } => format!(
                "Done: {}, {}{}{}{} in {} ({}), {}",
                count(*files, "file"),
                Bytes(*bytes),
                match receivers {
                    None => String::new(),
                    Some(receivers) => format!(" to {}", count(u64::from(*receivers), "receiver")),
                },
                match helped {
                    0 => String::new(),
                    helped => format!(" ({} of it from other receivers)", Bytes(*helped)),
                },
                match resumed {
                    0 => String::new(),
                    resumed => format!(" ({} of it resumed)", Bytes(*resumed)),
                },
                // A negative or absurd time is our bug, not a reason to panic over the last line.
                Span(std::time::Duration::try_from_secs_f64(*seconds).unwrap_or_default()),
                Rate(*rate),
                path.word(),
            ),
            Self::Track {
                direction,
                kind,
                codec,
                state,
            } => {
                let whose = if *direction == "out" {
                    "Sending"
                } else {
                    "Receiving"
                };
                match *state {
                    "refused" => {
                        format!("{whose} {kind}: the other side does not understand {codec}")
                    }
                    state => format!("{whose} {kind} ({codec}): {state}"),
                }
            }
            Self::Media { kind, on } => {
                let what = if *kind == "audio" { "Sound" } else { "Picture" };
                format!("{what} is {}", if *on { "on" } else { "off" })
            }
            Self::Stats {
                seconds,
                rtt_ms,
                sent,
                received,
            } => {
                let flow = |name: &str, flow: &Flow| {
                    format!(
                        "{name} {} frames, {}, {} lost",
                        flow.frames,
                        Bytes(flow.bytes),
                        flow.lost
                    )
                };
                let round_trip = rtt_ms.map_or_else(String::new, |ms| format!(", {ms:.1} ms"));
                format!(
                    "After {seconds:.0} s{round_trip}: sent {}, {}; received {}, {}",
                    flow("video", &sent.video),
                    flow("audio", &sent.audio),
                    flow("video", &received.video),
                    flow("audio", &received.audio),
                )
            }
            Self::Recorded {
                path,
                seconds,
                bytes,
            } => format!(
                "Recorded: {}, {seconds:.1} s, {}",
                clean(path),
                Bytes(*bytes)
            ),
            Self::CallDone {
                seconds,
                reason,
                path,
                sent,
                received,
            } => {
                let why = match *reason {
                    "peer-hung-up" => "the other side hung up",
                    "duration" => "its time was over",
                    _ => "hung up",
                };
                let bytes = |flows: &Flows| Bytes(flows.video.bytes + flows.audio.bytes);
                format!(
                    "Call ended ({why}): {}, sent {}, received {}, {}",
                    Span(std::time::Duration::try_from_secs_f64(*seconds).unwrap_or_default()),
                    bytes(sent),
                    bytes(received),
                    path.word(),
                )
            }
            Self::Error {
                message,
                hint,
                exit,
                resume,
                kept,
                ..
            } => {
                let mut line = if *exit == Exit::CtrlC.number() {
                    clean(message)
                } else {
                    format!("{} {}", palette.alarm("error:"), clean(message))
                };
                if !hint.is_empty() {
                    let _ = write!(line, "; {}", clean(hint));
                }
                if let Some(kept) = kept {
                    let _ = write!(
                        line,
                        "\n  kept: {} in {}",
                        Bytes(kept.bytes),
                        clean(&kept.path)
                    );
                }
                if let Some(resume) = resume {
                    let _ = write!(line, "\n  to go on: {}", clean(resume));
                }
                if let Some(kept) = kept {
                    let _ = write!(line, "\n  to discard it: {}", clean(&kept.discard));
                }
                line
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::exit::Remains;

    fn flow(frames: u64, bytes: u64, lost: u64) -> Value {
        json!({"frames": frames, "packets": 0, "bytes": bytes, "lost": lost, "late": 0, "dropped": 0, "key_requests": 0})
    }

    fn samples() -> Vec<(Event, Value, Option<&'static str>)> {
        vec![
            (
                Event::Listening {
                    server: "http://10.0.0.2:8787".into(),
                },
                json!({"event": "listening", "server": "http://10.0.0.2:8787"}),
                Some("Signaling server: http://10.0.0.2:8787"),
            ),
            (
                Event::Code {
                    code: "7-a-b-c".into(),
                    link: "http://h/#7-a-b-c".into(),
                    command: "peer-cli receive-file 7-a-b-c".into(),
                },
                json!({"event": "code", "code": "7-a-b-c", "link": "http://h/#7-a-b-c", "command": "peer-cli receive-file 7-a-b-c"}),
                Some(
                    "Code: 7-a-b-c\nLink: http://h/#7-a-b-c\n\nOn the other side:\n\n  peer-cli receive-file 7-a-b-c\n",
                ),
            ),
            (
                Event::Peer {
                    agent: "evil\x1b[2J".into(),
                    engine: "native".into(),
                    device: None,
                },
                json!({"event": "peer", "agent": "evil\x1b[2J", "engine": "native"}),
                Some("Other side: evil\\u{1b}[2J"),
            ),
            (
                Event::Peer {
                    agent: "peer-cli/1".into(),
                    engine: "native".into(),
                    device: Some("laptop".into()),
                },
                json!({"event": "peer", "agent": "peer-cli/1", "engine": "native", "device": "laptop"}),
                Some("Other side: laptop (peer-cli/1)"),
            ),
            (
                Event::Paired {
                    name: "laptop".into(),
                    key: "KEY".into(),
                },
                json!({"event": "paired", "name": "laptop", "key": "KEY"}),
                Some("Paired: laptop"),
            ),
            (
                Event::Device {
                    name: "laptop".into(),
                    key: "KEY".into(),
                    since: 1,
                },
                json!({"event": "device", "name": "laptop", "key": "KEY", "since": 1}),
                None,
            ),
            (
                Event::Removed {
                    name: "laptop".into(),
                },
                json!({"event": "removed", "name": "laptop"}),
                Some("Removed: laptop"),
            ),
            (
                Event::Renamed {
                    from: "laptop".into(),
                    to: "old".into(),
                },
                json!({"event": "renamed", "from": "laptop", "to": "old"}),
                Some("Renamed: laptop is old now"),
            ),
            (
                Event::Exposed {
                    name: "ssh".into(),
                    address: "127.0.0.1:22".into(),
                },
                json!({"event": "exposed", "name": "ssh", "address": "127.0.0.1:22"}),
                Some("Exposed: ssh (127.0.0.1:22)"),
            ),
            (
                Event::Forward {
                    name: Some("ssh".into()),
                    kind: "tcp",
                    listen: "127.0.0.1:1".into(),
                },
                json!({"event": "forward", "name": "ssh", "kind": "tcp", "listen": "127.0.0.1:1"}),
                Some("Forward: tcp 127.0.0.1:1 to ssh"),
            ),
            (
                Event::Forward {
                    name: None,
                    kind: "socks",
                    listen: "127.0.0.1:1".into(),
                },
                json!({"event": "forward", "kind": "socks", "listen": "127.0.0.1:1"}),
                Some("Forward: socks 127.0.0.1:1 to whatever is exposed"),
            ),
            (
                Event::Connection {
                    name: "ssh".into(),
                    state: "closed",
                    sent: 1,
                    received: 2,
                    message: None,
                },
                json!({"event": "connection", "name": "ssh", "state": "closed", "sent": 1, "received": 2}),
                None,
            ),
            (
                Event::Connection {
                    name: "evil\x1b[2J".into(),
                    state: "refused",
                    sent: 0,
                    received: 0,
                    message: None,
                },
                json!({"event": "connection", "name": "evil\x1b[2J", "state": "refused", "sent": 0, "received": 0}),
                Some("Connection to evil\\u{1b}[2J refused"),
            ),
            (
                Event::Phrase {
                    phrase: "one two".into(),
                },
                json!({"event": "phrase", "phrase": "one two"}),
                Some("Words, the same on both sides: one two"),
            ),
            (
                Event::Connected {
                    path: Route::Relayed,
                    relay: Some("tls".into()),
                    rtt_ms: 12.34,
                    local: "a:1".into(),
                    remote: "b:2".into(),
                },
                json!({"event": "connected", "path": "relayed", "relay": "tls", "rtt_ms": 12.34, "local": "a:1", "remote": "b:2"}),
                Some("Connected: relayed over tls, 12.3 ms to b:2"),
            ),
            (
                Event::Connected {
                    path: Route::Direct,
                    relay: None,
                    rtt_ms: 0.5,
                    local: "a:1".into(),
                    remote: "b:2".into(),
                },
                json!({"event": "connected", "path": "direct", "rtt_ms": 0.5, "local": "a:1", "remote": "b:2"}),
                Some("Connected: direct, 0.5 ms to b:2"),
            ),
            (
                Event::Interrupted {
                    reason: "path-lost",
                    seconds_left: 120,
                },
                json!({"event": "interrupted", "reason": "path-lost", "seconds_left": 120}),
                Some("Connection lost; looking for the other side again for 120 s…"),
            ),
            (
                Event::Reconnected {
                    path: Route::Direct,
                    seconds: 43.5,
                },
                json!({"event": "reconnected", "path": "direct", "seconds": 43.5}),
                Some("Connected again after 44 s: direct"),
            ),
            (
                Event::Offer {
                    title: "photos".into(),
                    files: 2,
                    directories: 1,
                    bytes: 2048,
                },
                json!({"event": "offer", "title": "photos", "files": 2, "directories": 1, "bytes": 2048}),
                Some("Offered: photos (2 files in 1 directory, 2.0 KiB)"),
            ),
            (
                Event::Progress {
                    bytes: 1,
                    total: 2,
                    rate: 3.0,
                    resumed: 1,
                },
                json!({"event": "progress", "bytes": 1, "total": 2, "rate": 3.0, "resumed": 1}),
                None,
            ),
            (
                Event::Resuming {
                    bytes: 1024,
                    total: 2048,
                },
                json!({"event": "resuming", "bytes": 1024, "total": 2048}),
                Some("Resuming: 1.0 KiB of 2.0 KiB are there"),
            ),
            (
                Event::Changed {
                    path: "a\nb".into(),
                },
                json!({"event": "changed", "path": "a\nb"}),
                Some("Changed since: a\\u{a}b; what differs is sent anew"),
            ),
            (
                Event::Transfer {
                    id: "abcdefgh".into(),
                    state: "unusable",
                    title: None,
                    bytes: 0,
                    total: 0,
                    files: 0,
                    age: None,
                    reason: Some("damaged".into()),
                },
                json!({"event": "transfer", "id": "abcdefgh", "state": "unusable", "bytes": 0, "total": 0, "files": 0, "reason": "damaged"}),
                None,
            ),
            (
                Event::Discarded {
                    id: "abcdefgh".into(),
                },
                json!({"event": "discarded", "id": "abcdefgh"}),
                Some("Discarded: abcdefgh"),
            ),
            (
                Event::File {
                    path: "d/\u{202e}gpj.exe".into(),
                    size: 0,
                    digest: "e3".into(),
                },
                json!({"event": "file", "path": "d/\u{202e}gpj.exe", "size": 0, "digest": "e3"}),
                Some("d/\\u{202e}gpj.exe  0 B"),
            ),
            (
                Event::Done {
                    bytes: 1 << 30,
                    files: 1,
                    seconds: 8.0,
                    rate: 134_217_728.0,
                    resumed: 0,
                    path: Route::Direct,
                    lanes: 1,
                    packet: 16_384,
                    helped: 0,
                    receivers: None,
                },
                json!({"event": "done", "bytes": 1u64 << 30, "files": 1, "seconds": 8.0, "rate": 134_217_728.0, "resumed": 0, "path": "direct", "lanes": 1, "packet": 16_384}),
                Some("Done: 1 file, 1.0 GiB in 8.0 s (128.0 MiB/s), direct"),
            ),
            (
                Event::Done {
                    bytes: 1 << 30,
                    files: 1,
                    seconds: 4.0,
                    rate: 134_217_728.0,
                    resumed: 1 << 29,
                    path: Route::Direct,
                    lanes: 2,
                    packet: 1_472,
                    helped: 0,
                    receivers: None,
                },
                json!({"event": "done", "bytes": 1u64 << 30, "files": 1, "seconds": 4.0, "rate": 134_217_728.0, "resumed": 1u64 << 29, "path": "direct", "lanes": 2, "packet": 1_472}),
                Some(
                    "Done: 1 file, 1.0 GiB (512.0 MiB of it resumed) in 4.0 s (128.0 MiB/s), direct",
                ),
            ),
            (
                Event::Done {
                    bytes: 1 << 30,
                    files: 1,
                    seconds: 8.0,
                    rate: 134_217_728.0,
                    resumed: 0,
                    path: Route::Direct,
                    lanes: 1,
                    packet: 1_472,
                    helped: 1 << 29,
                    receivers: Some(3),
                },
                json!({"event": "done", "bytes": 1u64 << 30, "files": 1, "seconds": 8.0, "rate": 134_217_728.0, "resumed": 0, "path": "direct", "lanes": 1, "packet": 1_472,
                    "helped": 1u64 << 29, "receivers": 3}),
                Some(
                    "Done: 1 file, 1.0 GiB to 3 receivers (512.0 MiB of it from other receivers) in 8.0 s (128.0 MiB/s), direct",
                ),
            ),
            (
                Event::Waiting { devices: vec![] },
                json!({"event": "waiting"}),
                None,
            ),
            (
                Event::Waiting {
                    devices: vec!["laptop".into()],
                },
                json!({"event": "waiting", "devices": ["laptop"]}),
                None,
            ),
            (
                Event::track("in", Codec::Vp8, "started"),
                json!({"event": "track", "direction": "in", "kind": "video", "codec": "VP8", "state": "started"}),
                Some("Receiving video (VP8): started"),
            ),
            (
                Event::track("out", Codec::H264, "refused"),
                json!({"event": "track", "direction": "out", "kind": "video", "codec": "H264", "state": "refused"}),
                Some("Sending video: the other side does not understand H264"),
            ),
            (
                Event::Media {
                    kind: "audio",
                    on: false,
                },
                json!({"event": "media", "kind": "audio", "on": false}),
                Some("Sound is off"),
            ),
            (
                Event::Stats {
                    seconds: 2.0,
                    rtt_ms: Some(1.25),
                    sent: Flows::default(),
                    received: Flows {
                        video: Flow {
                            frames: 60,
                            bytes: 2048,
                            lost: 1,
                            ..Flow::default()
                        },
                        audio: Flow::default(),
                    },
                },
                json!({"event": "stats", "seconds": 2.0, "rtt_ms": 1.25,
                    "sent": {"video": flow(0, 0, 0), "audio": flow(0, 0, 0)},
                    "received": {"video": flow(60, 2048, 1), "audio": flow(0, 0, 0)}}),
                Some(
                    "After 2 s, 1.2 ms: sent video 0 frames, 0 B, 0 lost, audio 0 frames, 0 B, 0 lost; received video 60 frames, 2.0 KiB, 1 lost, audio 0 frames, 0 B, 0 lost",
                ),
            ),
            (
                Event::Recorded {
                    path: "a.webm".into(),
                    seconds: 12.34,
                    bytes: 1024,
                },
                json!({"event": "recorded", "path": "a.webm", "seconds": 12.34, "bytes": 1024}),
                Some("Recorded: a.webm, 12.3 s, 1.0 KiB"),
            ),
            (
                Event::CallDone {
                    seconds: 8.0,
                    reason: "duration",
                    path: Route::Direct,
                    sent: Flows::default(),
                    received: Flows::default(),
                },
                json!({"event": "call-done", "seconds": 8.0, "reason": "duration", "path": "direct",
                    "sent": {"video": flow(0, 0, 0), "audio": flow(0, 0, 0)},
                    "received": {"video": flow(0, 0, 0), "audio": flow(0, 0, 0)}}),
                Some("Call ended (its time was over): 8.0 s, sent 0 B, received 0 B, direct"),
            ),
            (
                Event::failed(&Failure::new(Exit::Declined, "declined", "no").hint("h")),
                json!({"event": "failed", "code": "declined", "message": "no", "hint": "h", "retry": false}),
                None,
            ),
            (
                Event::from(&Failure {
                    remains: Some(Box::new(Remains {
                        resume: "peer-cli transfers resume abcdefgh".into(),
                        kept: Some(Kept {
                            id: "abcdefgh".into(),
                            path: "./.peerline/abcdefgh".into(),
                            bytes: 1024,
                            discard: "peer-cli transfers discard abcdefgh".into(),
                        }),
                    })),
                    ..Failure::ctrl_c()
                }),
                json!({"event": "error", "code": "cancelled", "message": "stopped before it was finished", "hint": "", "retry": true, "exit": 130,
                    "resume": "peer-cli transfers resume abcdefgh",
                    "kept": {"id": "abcdefgh", "path": "./.peerline/abcdefgh", "bytes": 1024, "discard": "peer-cli transfers discard abcdefgh"}}),
                Some(
                    "stopped before it was finished\n  kept: 1.0 KiB in ./.peerline/abcdefgh\n  to go on: peer-cli transfers resume abcdefgh\n  to discard it: peer-cli transfers discard abcdefgh",
                ),
            ),
            (
                Event::from(&Failure::usage("no such file: 'a\nb'").hint("check the path")),
                json!({"event": "error", "code": "usage", "message": "no such file: 'a\nb'", "hint": "check the path", "retry": false, "exit": 2}),
                Some("error: no such file: 'a\\u{a}b'; check the path"),
            ),
            (
                Event::from(&Failure::ctrl_c()),
                json!({"event": "error", "code": "cancelled", "message": "stopped before it was finished", "hint": "", "retry": true, "exit": 130}),
                Some("stopped before it was finished"),
            ),
        ]
    }

    #[test]
    fn json_and_wording_of_every_event() {
        for (event, json, line) in samples() {
            let text = event.json();
            assert!(
                text.bytes().all(|byte| (0x20..0x7f).contains(&byte)),
                "{text:?} would act on a terminal"
            );
            assert_eq!(
                serde_json::from_str::<Value>(&text).expect("valid JSON"),
                json
            );
            assert_eq!(event.line(Palette::Plain).as_deref(), line);
        }
    }

    #[test]
    fn absurd_times_do_not_panic() {
        for seconds in [f64::NAN, -1.0, f64::INFINITY] {
            let done = Event::Done {
                bytes: 0,
                files: 0,
                seconds,
                rate: seconds,
                resumed: 0,
                path: Route::Direct,
                lanes: 1,
                packet: 0,
                helped: 0,
                receivers: None,
            };
            assert!(done.line(Palette::Colour).is_some());
            assert!(!done.json().is_empty());
        }
    }
}
