//! Finds out what a source is, and who has to read it.

use super::super::codec::Kind;
use super::super::container::{self, Input, Opened, Reader};
use super::super::error::MediaError;
use super::super::ffmpeg::{Program, Running};
use super::program::{self, Device};
use super::{Source, Spec, Timing, live};
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::Stdio;

pub(super) fn open(spec: &Spec, kind: Kind) -> Result<Source, MediaError> {
    match spec {
        // Told before.
        Spec::None | Spec::Test => Source::clip(kind),
        Spec::Device(name) => device(&Device::of(kind, name.as_deref())?, kind),
        Spec::Screen if kind == Kind::Video => device(&Device::screen()?, kind),
        Spec::Screen => Err(lacks(spec, kind)),
        Spec::Stdin => stream(Box::new(io::stdin()), spec, kind),
        Spec::Location(location) if Path::new(location).is_file() => file(location, spec, kind),
        Spec::Location(location) if location.contains("://") => other(location, kind),
        Spec::Location(location) => Err(MediaError::Read {
            name: location.clone(),
            source: io::ErrorKind::NotFound.into(),
        }),
    }
}

fn lacks(spec: &Spec, wanted: Kind) -> MediaError {
    let name = spec.to_string();
    MediaError::Lacks { name, wanted }
}

fn device(device: &Device, kind: Kind) -> Result<Source, MediaError> {
    encoded(device.input(), kind, None, device.name(), Timing::Device)
}

/// What has to be encoded. `rest` is what the program reads from its standard input.
fn encoded(
    input: Vec<String>,
    kind: Kind,
    rest: Option<Input>,
    name: String,
    timing: Timing,
) -> Result<Source, MediaError> {
    let output = match kind {
        Kind::Audio => program::encode_sound(),
        Kind::Video => program::raw(),
    };
    let stdin = match rest {
        Some(_) => Stdio::piped(),
        None => Stdio::null(),
    };
    let mut running = start(&[input, output].concat(), stdin)?;
    if let (Some(mut stdin), Some(mut rest)) = (running.take_stdin(), rest) {
        // It ends when the input does, or the program.
        std::thread::spawn(move || {
            let _ = io::copy(&mut rest, &mut stdin);
        });
    }
    match kind {
        Kind::Audio => from_program(name, running, timing),
        Kind::Video => live::encode(name, running, timing),
    }
}

fn file(location: &str, spec: &Spec, kind: Kind) -> Result<Source, MediaError> {
    let unreadable = |source| MediaError::Read {
        name: location.into(),
        source,
    };
    let input = File::open(location).map_err(unreadable)?;
    match container::open(Box::new(io::BufReader::new(input))).map_err(unreadable)? {
        Opened::Known(reader) => known(reader, spec, kind),
        // `ffmpeg` looks around in it by itself.
        Opened::Other(_) => other(location, kind),
    }
}

fn stream(input: Input, spec: &Spec, kind: Kind) -> Result<Source, MediaError> {
    let opened = container::open(input).map_err(|source| MediaError::Read {
        name: spec.to_string(),
        source,
    })?;
    let rest = match opened {
        Opened::Known(reader) => return known(reader, spec, kind),
        Opened::Other(rest) => rest,
    };
    encoded(
        program::stdin(),
        kind,
        Some(rest),
        spec.to_string(),
        Timing::Stream,
    )
}

fn known(reader: Reader, spec: &Spec, kind: Kind) -> Result<Source, MediaError> {
    if reader.codec().kind() != kind {
        return Err(lacks(spec, kind));
    }
    let timing = match spec {
        Spec::Stdin => Timing::Stream,
        _ => Timing::Stored,
    };
    Ok(Source::read(spec.to_string(), reader, None, timing))
}

/// What `ffmpeg` reads: passed through if it can be sent as it is.
fn other(location: &str, kind: Kind) -> Result<Source, MediaError> {
    let found = Program::Ffprobe.ask(&program::probe(location, kind))?;
    let found = found.trim();
    if found.is_empty() {
        let name = location.to_owned();
        return Err(MediaError::Lacks { name, wanted: kind });
    }
    let input = program::location(location, kind);
    let timing = match location.contains("://") {
        true => Timing::Stream,
        false => Timing::Stored,
    };
    let name = location.to_owned();
    match program::copy(found) {
        Some(output) => {
            let running = start(&[input, output].concat(), Stdio::null())?;
            from_program(name, running, timing)
        }
        None => encoded(input, kind, None, name, timing),
    }
}

fn start(arguments: &[String], stdin: Stdio) -> Result<Running, MediaError> {
    let arguments = arguments.iter().map(String::as_str);
    Program::Ffmpeg.start(arguments, stdin, Stdio::piped())
}

/// What `ffmpeg` writes is IVF or Ogg; if it writes nothing, it says why.
fn from_program(name: String, mut running: Running, timing: Timing) -> Result<Source, MediaError> {
    let Some(stdout) = running.take_stdout() else {
        return Err(running.failure());
    };
    match container::open(Box::new(io::BufReader::new(stdout))) {
        Ok(Opened::Known(reader)) => Ok(Source::read(name, reader, Some(running), timing)),
        Ok(Opened::Other(_)) | Err(_) => Err(match running.finish() {
            Err(error) => error,
            Ok(()) => MediaError::Program {
                program: "ffmpeg",
                said: "it wrote nothing".into(),
            },
        }),
    }
}
