//! A transfer, from its offer to its receipt (`send-file`, `receive-file`).

use serde::Serialize;

use super::{Route, Wording};
use crate::ui::clean::clean;
use crate::ui::palette::Palette;
use crate::ui::size::{Bytes, Rate, Span, count};

/// What the other side wants to send.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Offer {
    /// How the sender calls it.
    pub(crate) title: String,
    /// Number of files.
    pub(crate) files: u64,
    /// Number of directories.
    pub(crate) directories: u64,
    /// Size of all files.
    pub(crate) bytes: u64,
    /// How much of that is in no hole, if files are sparse.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<u64>,
}

/// How far it is.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Progress {
    /// Verified by the receiver.
    pub(crate) bytes: u64,
    /// All of it.
    pub(crate) total: u64,
    /// Smoothed; what was there before does not count.
    pub(crate) rate: f64,
    /// Bytes that were there before.
    pub(crate) resumed: u64,
}

/// An earlier attempt left something, and it is still good.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Resuming {
    /// Bytes that are not sent again.
    pub(crate) bytes: u64,
    /// All of it.
    pub(crate) total: u64,
}

/// A file is not what it was at the earlier attempt: what differs is sent anew.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Changed {
    /// Relative path.
    pub(crate) path: String,
}

/// One file is complete and verified.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct File {
    /// Relative path.
    pub(crate) path: String,
    /// Its size.
    pub(crate) size: u64,
    /// Its digest in hex (protocol section 5.4).
    pub(crate) digest: String,
}

/// Everything is verified, synced and in place on the receiving side.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Done {
    /// All of it.
    pub(crate) bytes: u64,
    /// Number of files.
    pub(crate) files: u64,
    /// From the first byte to the receipt.
    pub(crate) seconds: f64,
    /// Average of what was sent now.
    pub(crate) rate: f64,
    /// Bytes that an earlier attempt had sent.
    pub(crate) resumed: u64,
    /// Direct or relayed.
    pub(crate) path: Route,
    /// Most connections that carried the files at a time.
    pub(crate) lanes: u16,
    /// The largest datagrams in which they travelled, UDP payload in bytes; 0 if there were none.
    pub(crate) packet: u16,
    /// Bytes that other receivers gave.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) helped: u64,
    /// How many have received it (`send-file --to-many`); `bytes` counts once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) receivers: Option<u16>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Wording for Offer {
    fn line(&self, _: Palette) -> Option<String> {
        let mut what = count(self.files, "file");
        if self.directories > 0 {
            what = format!("{what} in {}", count(self.directories, "directory"));
        }
        let (title, size) = (clean(&self.title), size(self.bytes, self.data));
        Some(format!("Offered: {title} ({what}, {size})"))
    }
}

/// So many bytes, of which so many are in no hole.
pub(crate) fn size(bytes: u64, data: Option<u64>) -> String {
    let bytes = Bytes(bytes);
    match data {
        None => bytes.to_string(),
        Some(data) => format!("{bytes}, {} of it data", Bytes(data)),
    }
}

/// The bar shows it.
impl Wording for Progress {}

impl Wording for Resuming {
    fn line(&self, _: Palette) -> Option<String> {
        let (bytes, total) = (Bytes(self.bytes), Bytes(self.total));
        Some(format!("Resuming: {bytes} of {total} are there"))
    }
}

impl Wording for Changed {
    fn line(&self, _: Palette) -> Option<String> {
        let path = clean(&self.path);
        Some(format!("Changed since: {path}; what differs is sent anew"))
    }
}

impl Wording for File {
    fn line(&self, _: Palette) -> Option<String> {
        Some(format!("{}  {}", clean(&self.path), Bytes(self.size)))
    }
}

impl Wording for Done {
    fn line(&self, _: Palette) -> Option<String> {
        let receivers = self
            .receivers
            .map(|receivers| format!(" to {}", count(receivers.into(), "receiver")));
        let part = |bytes: u64, what: &str| match bytes {
            0 => String::new(),
            bytes => format!(" ({} of it {what})", Bytes(bytes)),
        };
        Some(format!(
            "Done: {}, {}{}{}{} in {} ({}), {}",
            count(self.files, "file"),
            Bytes(self.bytes),
            receivers.unwrap_or_default(),
            part(self.helped, "from other receivers"),
            part(self.resumed, "resumed"),
            Span::of(self.seconds),
            Rate(self.rate),
            self.path.word(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Event;
    use super::super::tests::said;
    use super::*;

    #[test]
    fn json_and_wording() {
        said(
            Offer {
                title: "photos".into(),
                files: 2,
                directories: 1,
                bytes: 2048,
                data: None,
            },
            json!({"event": "offer", "title": "photos", "files": 2, "directories": 1, "bytes": 2048}),
            Some("Offered: photos (2 files in 1 directory, 2.0 KiB)"),
        );
        said(
            Offer {
                title: "disk".into(),
                files: 1,
                directories: 0,
                bytes: 100 << 30,
                data: Some(2048),
            },
            json!({"event": "offer", "title": "disk", "files": 1, "directories": 0, "bytes": 107_374_182_400_u64, "data": 2048}),
            Some("Offered: disk (1 file, 100.0 GiB, 2.0 KiB of it data)"),
        );
        said(
            Progress {
                bytes: 1,
                total: 2,
                rate: 3.0,
                resumed: 1,
            },
            json!({"event": "progress", "bytes": 1, "total": 2, "rate": 3.0, "resumed": 1}),
            None,
        );
        said(
            Resuming {
                bytes: 1024,
                total: 2048,
            },
            json!({"event": "resuming", "bytes": 1024, "total": 2048}),
            Some("Resuming: 1.0 KiB of 2.0 KiB are there"),
        );
        said(
            Changed {
                path: "a\nb".into(),
            },
            json!({"event": "changed", "path": "a\nb"}),
            Some("Changed since: a\\u{a}b; what differs is sent anew"),
        );
        said(
            File {
                path: "d/\u{202e}gpj.exe".into(),
                size: 0,
                digest: "e3".into(),
            },
            json!({"event": "file", "path": "d/\u{202e}gpj.exe", "size": 0, "digest": "e3"}),
            Some("d/\\u{202e}gpj.exe  0 B"),
        );
        said(
            Done {
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
        );
        said(
            Done {
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
            Some("Done: 1 file, 1.0 GiB (512.0 MiB of it resumed) in 4.0 s (128.0 MiB/s), direct"),
        );
        said(
            Done {
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
        );
    }

    #[test]
    fn absurd_times_do_not_panic() {
        for seconds in [f64::NAN, -1.0, f64::INFINITY] {
            let done = Done {
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
            assert!(!Event::from(done).json().is_empty());
        }
    }
}
