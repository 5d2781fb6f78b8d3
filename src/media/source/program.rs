//! What `ffmpeg` is told.

use super::super::codec::Kind;
use super::super::error::MediaError;
use std::path::{Path, PathBuf};

/// A camera, a microphone or a screen.
#[derive(Debug)]
pub(super) struct Device {
    format: &'static str,
    options: &'static [&'static str],
    name: String,
}

impl Device {
    /// The one with this name, or the first.
    pub(super) fn of(kind: Kind, name: Option<&str>) -> Result<Self, MediaError> {
        let owned = name.map(str::to_owned);
        if cfg!(target_os = "macos") {
            let first = match kind {
                Kind::Video => "0:none",
                Kind::Audio => "none:0",
            };
            return Ok(Self {
                format: "avfoundation",
                options: &["-framerate", "30"],
                name: owned.unwrap_or_else(|| first.into()),
            });
        }
        match kind {
            Kind::Video => {
                let name = owned.unwrap_or_else(|| "/dev/video0".into());
                if !Path::new(&name).exists() {
                    let what = "camera";
                    return Err(MediaError::NoDevice {
                        what,
                        looked_for: name,
                    });
                }
                Ok(Self {
                    format: "v4l2",
                    options: &["-framerate", "30"],
                    name,
                })
            }
            Kind::Audio if pulse_socket().is_some_and(|socket| socket.exists()) => Ok(Self {
                format: "pulse",
                options: &[],
                name: owned.unwrap_or_else(|| "default".into()),
            }),
            Kind::Audio if Path::new("/proc/asound/pcm").exists() => Ok(Self {
                format: "alsa",
                options: &[],
                name: owned.unwrap_or_else(|| "default".into()),
            }),
            Kind::Audio => Err(MediaError::NoDevice {
                what: "microphone",
                looked_for: "PulseAudio and ALSA".into(),
            }),
        }
    }

    /// The screen of an X server.
    pub(super) fn screen() -> Result<Self, MediaError> {
        if cfg!(target_os = "macos") {
            return Ok(Self {
                format: "avfoundation",
                options: &["-framerate", "30", "-capture_cursor", "1"],
                name: "Capture screen 0:none".into(),
            });
        }
        match std::env::var("DISPLAY") {
            Ok(display) if !display.is_empty() => Ok(Self {
                format: "x11grab",
                options: &["-framerate", "15"],
                name: display,
            }),
            _ => Err(MediaError::NoDevice {
                what: "screen",
                looked_for: "DISPLAY".into(),
            }),
        }
    }

    pub(super) fn name(&self) -> String {
        self.name.clone()
    }

    pub(super) fn input(&self) -> Vec<String> {
        let mut words = words(&[
            "-fflags",
            "nobuffer",
            "-thread_queue_size",
            "64",
            "-f",
            self.format,
        ]);
        words.extend(self.options.iter().map(|option| (*option).to_owned()));
        words.extend(["-i".to_owned(), self.name.clone()]);
        words
    }
}

fn pulse_socket() -> Option<PathBuf> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR")?;
    Some(PathBuf::from(runtime).join("pulse/native"))
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Input from its standard input.
pub(super) fn stdin() -> Vec<String> {
    words(&["-i", "pipe:0"])
}

/// Input from a file or address. Its first stream of the kind is taken.
pub(super) fn location(location: &str, kind: Kind) -> Vec<String> {
    words(&["-i", &plain(location), "-map", stream(kind)])
}

/// A file whose name begins with `-`, or looks like a protocol, is a file all the same.
fn plain(location: &str) -> String {
    match location.contains("://") {
        true => location.to_owned(),
        false => format!("file:{location}"),
    }
}

fn stream(kind: Kind) -> &'static str {
    match kind {
        Kind::Audio => "0:a:0",
        Kind::Video => "0:v:0",
    }
}

/// Asks `ffprobe` for the name of the codec.
pub(super) fn probe(location: &str, kind: Kind) -> Vec<String> {
    let stream = &stream(kind)[2..];
    let show = ["-show_entries", "stream=codec_name", "-of", "csv=p=0"];
    let mut words = words(&["-v", "error", "-select_streams", stream]);
    words.extend(show.map(str::to_owned));
    words.push(plain(location));
    words
}

/// Output of a codec, by `ffprobe`'s name, that can be sent as it is. H.264 is not among them: in files it mostly
/// has pictures that refer to later ones, which browsers do not take.
pub(super) fn copy(codec: &str) -> Option<Vec<String>> {
    let format: &[&str] = match codec {
        "vp8" | "vp9" | "av1" => &["-c:v", "copy", "-an", "-f", "ivf"],
        "opus" => &[
            "-c:a",
            "copy",
            "-vn",
            "-page_duration",
            "20000",
            "-f",
            "ogg",
        ],
        _ => return None,
    };
    Some(words(&[format, &OUTPUT].concat()))
}

/// Output of sound that has to be encoded: Opus in packets of 20 ms.
pub(super) fn encode_sound() -> Vec<String> {
    let format = [
        "-vn",
        "-ac",
        "2",
        "-ar",
        "48000",
        "-c:a",
        "libopus",
        "-b:a",
        "48k",
        "-frame_duration",
        "20",
        "-page_duration",
        "20000",
        "-f",
        "ogg",
    ];
    words(&[&format[..], &OUTPUT].concat())
}

/// Output of pictures as they are, for [`encode_raw`]: at most 1280 columns, 30 a second.
pub(super) fn raw() -> Vec<String> {
    let format = [
        "-an",
        "-vf",
        "scale='min(1280,iw)':-2,fps=30",
        "-pix_fmt",
        "yuv420p",
        "-f",
        "yuv4mpegpipe",
    ];
    words(&[&format[..], &OUTPUT].concat())
}

/// Encodes pictures from standard input: VP8 at so many bits a second, with a key frame each second, since nobody can ask
/// this encoder for one. Low rates are for small pictures.
pub(super) fn encode_raw(rate: u64) -> Vec<String> {
    let width = match rate {
        ..150_000 => 320,
        150_000..400_000 => 640,
        _ => 1280,
    };
    let mut all = words(&["-f", "yuv4mpegpipe", "-i", "pipe:0", "-vf"]);
    all.push(format!("scale='min({width},iw)':-2"));
    let fixed = [
        "-c:v",
        "libvpx",
        "-deadline",
        "realtime",
        "-cpu-used",
        "8",
        "-threads",
        "2",
        "-g",
        "30",
        "-error-resilient",
        "1",
        "-auto-alt-ref",
        "0",
        "-lag-in-frames",
        "0",
    ];
    all.extend(words(&fixed));
    let (most, buffer) = (rate * 11 / 10, rate / 2);
    for (option, value) in [("-b:v", rate), ("-maxrate", most), ("-bufsize", buffer)] {
        all.extend([option.to_owned(), value.to_string()]);
    }
    all.extend(words(&[&["-f", "ivf"][..], &OUTPUT].concat()));
    all
}

/// Each frame leaves at once.
const OUTPUT: [&str; 3] = ["-flush_packets", "1", "pipe:1"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_never_options_or_protocols() {
        for (given, plain) in [
            ("-x.mp4", "file:-x.mp4"),
            ("concat:a|b", "file:concat:a|b"),
            ("https://h/x", "https://h/x"),
        ] {
            assert!(location(given, Kind::Video).contains(&plain.to_owned()));
            assert_eq!(
                probe(given, Kind::Audio).last().map(String::as_str),
                Some(plain)
            );
        }
    }

    #[test]
    fn only_what_browsers_take_is_passed_through() {
        for (codec, copied) in [
            ("vp8", true),
            ("av1", true),
            ("opus", true),
            ("h264", false),
            ("", false),
        ] {
            assert_eq!(copy(codec).is_some(), copied, "{codec}");
        }
    }
}
