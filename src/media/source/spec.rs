//! What a source is called.

use std::fmt;
use std::str::FromStr;

/// Where sound or pictures come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spec {
    /// Nothing is sent.
    None,
    /// The camera, the microphone; the first, or this device.
    Device(Option<String>),
    /// The screen.
    Screen,
    /// A picture that moves, a tone that beeps: built in.
    Test,
    /// Standard input.
    Stdin,
    /// A file, or anything else that `ffmpeg` opens.
    Location(String),
}

impl FromStr for Spec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "" => {
                return Err(
                    "a source has a name: none, test, camera, mic, screen, - or a file".into(),
                );
            }
            "none" => Self::None,
            "test" => Self::Test,
            "camera" | "mic" => Self::Device(None),
            "screen" => Self::Screen,
            "-" => Self::Stdin,
            _ => match text.split_once(':') {
                Some(("camera" | "mic", device)) if !device.is_empty() => {
                    Self::Device(Some(device.to_owned()))
                }
                _ => Self::Location(text.to_owned()),
            },
        })
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Device(None) => "device",
            Self::Device(Some(name)) | Self::Location(name) => name,
            Self::Screen => "screen",
            Self::Test => "test",
            Self::Stdin => "-",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_sources() {
        for (text, spec) in [
            ("none", Spec::None),
            ("test", Spec::Test),
            ("camera", Spec::Device(None)),
            (
                "camera:/dev/video2",
                Spec::Device(Some("/dev/video2".into())),
            ),
            ("mic:hw:1", Spec::Device(Some("hw:1".into()))),
            ("screen", Spec::Screen),
            ("-", Spec::Stdin),
            ("./test", Spec::Location("./test".into())),
            ("rtsp://h/x", Spec::Location("rtsp://h/x".into())),
        ] {
            assert_eq!(text.parse(), Ok(spec), "{text}");
        }
        assert!("".parse::<Spec>().is_err());
    }
}
