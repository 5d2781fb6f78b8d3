//! Files with sound and pictures: made with ffmpeg, and looked at with ffprobe.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// What ffprobe says of a recording.
pub(crate) struct Probed {
    pub(crate) codecs: Vec<String>,
    pub(crate) seconds: f64,
    pub(crate) pictures: u64,
}

fn ffprobe(words: &[&str]) -> String {
    let output = Command::new("ffprobe")
        .args(["-v", "error"])
        .args(words)
        .output();
    let output = output.expect("ffmpeg is installed");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{words:?}");
    String::from_utf8(output.stdout).expect("text")
}

pub(crate) fn probe(path: &Path) -> Probed {
    let path = text(path);
    let entries = "stream=codec_name:format=duration";
    let json = ffprobe(&["-show_entries", entries, "-of", "json", path]);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let count = "stream=nb_read_frames";
    let pictures = ffprobe(&[
        "-select_streams",
        "v",
        "-count_frames",
        "-show_entries",
        count,
        "-of",
        "csv=p=0",
        path,
    ]);
    let name = |stream: &Value| stream["codec_name"].as_str().expect("named").to_owned();
    let mut codecs: Vec<_> = json["streams"]
        .as_array()
        .expect("a list")
        .iter()
        .map(name)
        .collect();
    codecs.sort();
    Probed {
        codecs,
        seconds: json["format"]["duration"]
            .as_str()
            .expect("known")
            .parse()
            .expect("a number"),
        pictures: pictures.trim().trim_end_matches(',').parse().unwrap_or(0),
    }
}

/// Makes a file with ffmpeg.
pub(crate) fn make(path: &Path, words: &[&str]) {
    let made = Command::new("ffmpeg")
        .args(["-y", "-v", "error"])
        .args(words)
        .arg(path)
        .status();
    assert!(made.expect("ffmpeg is installed").success(), "{words:?}");
}

/// The picture of the test clip turns white when its tone begins, to 100 ms.
#[track_caller]
pub(crate) fn check_sync(path: &Path) {
    let (flashes, tones) = flashes_and_tones(path);
    assert!(flashes.len() >= 5, "{flashes:?} {tones:?}");
    // The end may come between the two.
    assert!(tones.len() + 1 >= flashes.len(), "{flashes:?} {tones:?}");
    let end = tones.last().copied().unwrap_or_default() + 100.0;
    for flash in flashes.into_iter().filter(|flash| *flash < end) {
        let near = tones.iter().map(|tone| (flash - tone).abs());
        let skew = near.fold(f64::INFINITY, f64::min);
        assert!(skew < 100.0, "{skew} ms at {flash}");
    }
}

/// When the picture of the test clip turns white, and when its tone begins, in ms of the recording.
fn flashes_and_tones(path: &Path) -> (Vec<f64>, Vec<f64>) {
    let path = text(path);
    let decode = |words: &[&str]| {
        let output = Command::new("ffmpeg")
            .args(["-v", "error", "-i", path])
            .args(words)
            .output();
        output.expect("ffmpeg is installed").stdout
    };
    let times = ffprobe(&[
        "-select_streams",
        "v:0",
        "-show_entries",
        "frame=pts_time",
        "-of",
        "csv=p=0",
        path,
    ]);
    let times = times
        .lines()
        .filter_map(|line| line.trim_end_matches(',').parse::<f64>().ok());
    let grey = decode(&[
        "-map",
        "0:v:0",
        "-vf",
        "scale=1:1:flags=area",
        "-fps_mode",
        "passthrough",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "gray",
        "-",
    ]);
    let pictures = times
        .zip(grey)
        .map(|(time, level)| (1000.0 * time, i32::from(level)));
    let sound = decode(&[
        "-map",
        "0:a:0",
        "-af",
        "aresample=async=1:first_pts=0",
        "-ac",
        "1",
        "-ar",
        "48000",
        "-f",
        "s16le",
        "-",
    ]);
    let samples: Vec<i32> = sound
        .chunks_exact(2)
        .map(|pair| i32::from(i16::from_le_bytes([pair[0], pair[1]])).abs())
        .collect();
    let loud = samples.chunks(240).enumerate();
    let loud =
        loud.map(|(index, chunk)| (5.0 * index as f64, chunk.iter().copied().max().unwrap_or(0)));
    (onsets(pictures), onsets(loud))
}

fn onsets(levels: impl Iterator<Item = (f64, i32)>) -> Vec<f64> {
    let levels: Vec<_> = levels.collect();
    let level = |pair: &(f64, i32)| pair.1;
    let highest = levels.iter().map(level).max().unwrap_or(0);
    let lowest = levels.iter().map(level).min().unwrap_or(0);
    let threshold = lowest + 3 * (highest - lowest) / 4;
    let mut found = Vec::new();
    let mut quiet_since = Some(f64::MAX);
    for (ms, level) in levels {
        if level < threshold {
            quiet_since = Some(quiet_since.unwrap_or(ms).min(ms));
        } else if let Some(since) = quiet_since.take()
            && ms - since > 300.0
        {
            found.push(ms);
        }
    }
    found
}
