//! Messages of the control channel: `docs/protocol.md` section 5.1.

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::kept::{Digests, Range, Run};
use super::manifest::{Entry, Kind, Manifest};
use super::swarm::blocks::Span;
use crate::channel::MAX_MESSAGE;

/// One control message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub(super) enum ControlMessage {
    Offer(Offer),
    Entries {
        from: u32,
        entries: Vec<WireEntry>,
    },
    Accept {
        /// Bytes of lane messages that may be sent beyond the last `credit`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        window: Option<u64>,
        /// How many extra lanes it takes at a time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lanes: Option<u16>,
        /// Whether it understands `zeros`.
        #[serde(default, skip_serializing_if = "is_false")]
        zeros: bool,
        /// Whether it exchanges blocks with others.
        #[serde(default, skip_serializing_if = "is_false")]
        share: bool,
    },
    /// Digests of blocks, by their number in the transfer.
    Digests {
        blocks: Vec<KnownRun>,
    },
    /// Blocks that the receiver has verified, by their number in the transfer.
    Got {
        blocks: Vec<Span>,
    },
    /// Another receiver, and the code that both are told.
    Introduce {
        helper: u32,
        code: String,
        side: Side,
    },
    /// A pairing record for another receiver, or from it.
    Relay {
        helper: u32,
        data: String,
    },
    /// The receiver reaches another one.
    Linked {
        helper: u32,
    },
    /// It does not any more, or never did.
    Unlinked {
        helper: u32,
    },
    /// Blocks that hold nothing but zeros, and are not sent otherwise.
    Zeros {
        blocks: Vec<Range>,
    },
    /// Bytes of lane messages that the receiver has taken so far, and how many of them on one lane.
    Credit {
        bytes: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lane: Option<u16>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lane_bytes: Option<u64>,
    },
    /// The sender can send no more on a lane.
    LaneLost {
        lane: u16,
    },
    /// The receiver has taken so many bytes of a lane and takes no more from it.
    LaneEnded {
        lane: u16,
        bytes: u64,
    },
    Decline {
        reason: String,
    },
    /// Blocks that the receiver has of an earlier attempt.
    Have {
        blocks: Vec<Run>,
        #[serde(default, skip_serializing_if = "is_false")]
        last: bool,
    },
    /// Blocks of `have` that the source does not hold any more.
    Changed {
        blocks: Vec<Range>,
    },
    /// All blocks of `have` have been compared.
    Checked,
    Resend {
        file: u32,
        block: u32,
    },
    Progress {
        bytes: u64,
        files: u32,
    },
    Complete {
        digest: Digest,
        /// Of a stream.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<u64>,
    },
    Receipt {
        digest: Digest,
        bytes: u64,
        files: u32,
    },
    Cancel {
        code: String,
        message: String,
    },
    /// From a later version; ignored.
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Offer {
    pub(super) version: u32,
    pub(super) title: String,
    pub(super) files: u32,
    pub(super) directories: u32,
    pub(super) bytes: u64,
    /// How many of them are in no hole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<u64>,
    pub(super) entries: u32,
    pub(super) block_size: u32,
    /// Whether the sender understands `have`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) resume: bool,
    /// One file, the size of which comes with `complete`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) stream: bool,
    /// Whether others receive the same, and can be exchanged blocks with.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) share: bool,
}

/// Blocks one after the other, by their number in the transfer, and the digest of each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KnownRun {
    pub(super) from: u32,
    pub(super) digests: Digests,
}

/// Who of two receivers pairs as what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Side {
    Host,
    Guest,
}

fn is_false(value: &bool) -> bool {
    !value
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WireEntry {
    pub(super) path: String,
    pub(super) kind: WireKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mtime: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mode: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum WireKind {
    File,
    Directory,
}

impl ControlMessage {
    pub(super) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    pub(super) fn to_text(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers are always JSON")
    }
}

impl From<&Entry> for WireEntry {
    fn from(entry: &Entry) -> Self {
        let (kind, size) = match entry.kind {
            Kind::File { size } => (WireKind::File, Some(size)),
            Kind::Directory => (WireKind::Directory, None),
        };
        Self {
            path: entry.path.as_str().to_owned(),
            kind,
            size,
            mtime: entry.mtime,
            mode: entry.mode.map(u32::from),
        }
    }
}

/// The `entries` messages of a manifest, each as full as a data channel message may be.
pub(super) fn entries_messages(manifest: &Manifest) -> impl Iterator<Item = String> {
    // `{"type":"entries","from":4294967295,"entries":[]}` has 50 bytes.
    const ENVELOPE: usize = 64;
    let mut from = 0;
    std::iter::from_fn(move || {
        let rest = &manifest.entries()[from..];
        let first = from;
        let mut list = String::new();
        for entry in rest {
            let mut wire = WireEntry::from(entry);
            if manifest.is_stream() {
                wire.size = None;
            }
            let text = serde_json::to_string(&wire).expect("always JSON");
            if list.len() + text.len() + ENVELOPE > MAX_MESSAGE {
                break;
            }
            if !list.is_empty() {
                list.push(',');
            }
            list.push_str(&text);
            from += 1;
        }
        (from > first)
            .then(|| format!("{{\"type\":\"entries\",\"from\":{first},\"entries\":[{list}]}}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_spelt_as_in_the_protocol() {
        let digest = Digest::of(b"");
        let hex = digest.to_string();
        let entry = WireEntry {
            path: "a/b".to_owned(),
            kind: WireKind::File,
            size: Some(3),
            mtime: Some(-1),
            mode: Some(0o644),
        };
        let offer = Offer {
            version: 1,
            title: "a".to_owned(),
            files: 1,
            directories: 0,
            bytes: 3,
            data: None,
            entries: 1,
            block_size: 1 << 20,
            resume: false,
            stream: false,
            share: false,
        };
        let stream = Offer {
            stream: true,
            bytes: 0,
            ..offer.clone()
        };
        let resumable = Offer {
            resume: true,
            data: Some(0),
            ..offer.clone()
        };
        let run = Run {
            file: 1,
            from: 2,
            digests: Digests(vec![digest]),
        };
        for (message, text) in [
            (
                ControlMessage::Offer(offer),
                r#"{"type":"offer","version":1,"title":"a","files":1,"directories":0,"bytes":3,"entries":1,"blockSize":1048576}"#.to_owned(),
            ),
            (
                ControlMessage::Offer(resumable),
                r#"{"type":"offer","version":1,"title":"a","files":1,"directories":0,"bytes":3,"data":0,"entries":1,"blockSize":1048576,"resume":true}"#.to_owned(),
            ),
            (
                ControlMessage::Offer(stream),
                r#"{"type":"offer","version":1,"title":"a","files":1,"directories":0,"bytes":0,"entries":1,"blockSize":1048576,"stream":true}"#.to_owned(),
            ),
            (
                ControlMessage::Zeros { blocks: vec![Range { file: 1, from: 2, count: 3 }] },
                r#"{"type":"zeros","blocks":[{"file":1,"from":2,"count":3}]}"#.to_owned(),
            ),
            (
                ControlMessage::Have { blocks: vec![run], last: false },
                r#"{"type":"have","blocks":[{"file":1,"from":2,"digests":"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"}]}"#.to_owned(),
            ),
            (
                ControlMessage::Have { blocks: vec![], last: true },
                r#"{"type":"have","blocks":[],"last":true}"#.to_owned(),
            ),
            (
                ControlMessage::Changed { blocks: vec![Range { file: 1, from: 2, count: 3 }] },
                r#"{"type":"changed","blocks":[{"file":1,"from":2,"count":3}]}"#.to_owned(),
            ),
            (
                ControlMessage::Checked,
                r#"{"type":"checked"}"#.to_owned(),
            ),
            (
                ControlMessage::Entries { from: 0, entries: vec![entry] },
                r#"{"type":"entries","from":0,"entries":[{"path":"a/b","kind":"file","size":3,"mtime":-1,"mode":420}]}"#.to_owned(),
            ),
            (
                ControlMessage::Accept { window: None, lanes: None, zeros: false, share: false },
                r#"{"type":"accept"}"#.to_owned(),
            ),
            (
                ControlMessage::Accept { window: Some(9), lanes: Some(16), zeros: true, share: false },
                r#"{"type":"accept","window":9,"lanes":16,"zeros":true}"#.to_owned(),
            ),
            (
                ControlMessage::Credit { bytes: 7, lane: None, lane_bytes: None },
                r#"{"type":"credit","bytes":7}"#.to_owned(),
            ),
            (
                ControlMessage::Credit { bytes: 7, lane: Some(1), lane_bytes: Some(5) },
                r#"{"type":"credit","bytes":7,"lane":1,"laneBytes":5}"#.to_owned(),
            ),
            (
                ControlMessage::LaneLost { lane: 1 },
                r#"{"type":"lane-lost","lane":1}"#.to_owned(),
            ),
            (
                ControlMessage::LaneEnded { lane: 1, bytes: 5 },
                r#"{"type":"lane-ended","lane":1,"bytes":5}"#.to_owned(),
            ),
            (
                ControlMessage::Decline { reason: "no".to_owned() },
                r#"{"type":"decline","reason":"no"}"#.to_owned(),
            ),
            (
                ControlMessage::Resend { file: 1, block: 2 },
                r#"{"type":"resend","file":1,"block":2}"#.to_owned(),
            ),
            (
                ControlMessage::Progress { bytes: 5, files: 6 },
                r#"{"type":"progress","bytes":5,"files":6}"#.to_owned(),
            ),
            (
                ControlMessage::Complete { digest, size: None },
                format!(r#"{{"type":"complete","digest":"{hex}"}}"#),
            ),
            (
                ControlMessage::Complete { digest, size: Some(7) },
                format!(r#"{{"type":"complete","digest":"{hex}","size":7}}"#),
            ),
            (
                ControlMessage::Receipt { digest, bytes: 1, files: 2 },
                format!(r#"{{"type":"receipt","digest":"{hex}","bytes":1,"files":2}}"#),
            ),
            (
                ControlMessage::Accept { window: None, lanes: None, zeros: false, share: true },
                r#"{"type":"accept","share":true}"#.to_owned(),
            ),
            (
                ControlMessage::Digests { blocks: vec![KnownRun { from: 7, digests: Digests(vec![digest]) }] },
                r#"{"type":"digests","blocks":[{"from":7,"digests":"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"}]}"#.to_owned(),
            ),
            (
                ControlMessage::Got { blocks: vec![Span(7, 2), Span(12, 1)] },
                r#"{"type":"got","blocks":[[7,2],[12,1]]}"#.to_owned(),
            ),
            (
                ControlMessage::Introduce { helper: 3, code: "pair-a-b-c".to_owned(), side: Side::Guest },
                r#"{"type":"introduce","helper":3,"code":"pair-a-b-c","side":"guest"}"#.to_owned(),
            ),
            (
                ControlMessage::Relay { helper: 3, data: "AQ".to_owned() },
                r#"{"type":"relay","helper":3,"data":"AQ"}"#.to_owned(),
            ),
            (
                ControlMessage::Linked { helper: 3 },
                r#"{"type":"linked","helper":3}"#.to_owned(),
            ),
            (
                ControlMessage::Unlinked { helper: 3 },
                r#"{"type":"unlinked","helper":3}"#.to_owned(),
            ),
            (
                ControlMessage::Cancel { code: "io".to_owned(), message: "m".to_owned() },
                r#"{"type":"cancel","code":"io","message":"m"}"#.to_owned(),
            ),
        ] {
            assert_eq!(message.to_text(), text);
            assert_eq!(ControlMessage::parse(&text).unwrap(), message);
        }
    }

    #[test]
    fn unknown_is_ignored_and_malformed_is_an_error() {
        for text in [r#"{"type":"later","x":[1]}"#, r#"{"x":1,"type":"wave"}"#] {
            assert_eq!(
                ControlMessage::parse(text).unwrap(),
                ControlMessage::Unknown
            );
        }
        let extra = r#"{"type":"resend","file":1,"block":2,"lane":3}"#;
        let expected = ControlMessage::Resend { file: 1, block: 2 };
        assert_eq!(ControlMessage::parse(extra).unwrap(), expected);
        let deep = format!(r#"{{"type":"accept","x":{}"#, "[".repeat(60_000));
        for text in [
            "",
            "[]",
            "{}",
            "1",
            r#"{"type":1}"#,
            r#"{"type":"resend","file":-1,"block":0}"#,
            r#"{"type":"resend","file":1e999,"block":0}"#,
            r#"{"type":"resend","file":1,"file":1,"block":0}"#,
            r#"{"type":"progress","bytes":18446744073709551616,"files":0}"#,
            r#"{"type":"complete","digest":"00"}"#,
            r#"{"type":"entries","from":0,"entries":[{"path":"a","kind":"symlink"}]}"#,
            deep.as_str(),
        ] {
            assert!(ControlMessage::parse(text).is_err(), "{text:.80}");
        }
    }
}
