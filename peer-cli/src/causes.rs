//! What the library's errors mean for the one who typed the command: exit code, words, what to try.

use std::io;

use peerline::bench::BenchError;
use peerline::chat::ChatError;
use peerline::device::IntroductionError;
use peerline::media::MediaError;
use peerline::pairing::{ByeCode, PairingError};
use peerline::session::{Bye, SessionError, Wait};
use peerline::signaling::SignalingError;
use peerline::transfer::{Code, Fault, SourceError, TransferError};
use peerline::tunnel::{RelayError, Reset, ResetCode, ServiceError, TunnelError};

use crate::exit::{Exit, Failure, Retry};

/// What helps when a direct path does not work.
const TRY_RELAY: &str = "name a TURN server with --turn on either side, or use another network (a VPN or firewall may block UDP)";

/// What helps against programs that do not understand each other.
const UPDATE: &str = "use the same version on both sides; if they are, please report it";

/// What helps when something in a tree cannot be sent.
const LEAVE_OUT: &str = "mend it, or leave it out with --exclude";

/// What helps when a line broke.
const AGAIN: &str = "run the command again on both sides";

impl From<&SignalingError> for Failure {
    fn from(error: &SignalingError) -> Self {
        // The library's words already say what to try.
        let kind = match error {
            SignalingError::Unreachable { .. } => "signaling-unreachable",
            SignalingError::Refused(refusal) => refusal.code.as_str(),
            SignalingError::Lost(_) => "signaling-lost",
        };
        failure(Exit::NoSignaling, kind, &error, "", error.retry())
    }
}

impl From<&PairingError> for Failure {
    fn from(error: &PairingError) -> Self {
        use PairingError as E;
        let (exit, kind) = match error {
            E::WrongCode => (Exit::WrongCode, "wrong-code"),
            E::UnsupportedVersion => (Exit::WrongCode, "unsupported-version"),
            E::Tampered => (Exit::WrongCode, "tampered"),
            E::CodeUsed => (Exit::WrongCode, "code-used"),
            E::TooManyGuests => (Exit::WrongCode, "code-used"),
            E::UnknownDevice => (Exit::WrongCode, "unknown-device"),
            E::Cancelled => (Exit::Interrupted, "peer-cancelled"),
            E::PeerLeft => (Exit::Interrupted, "peer-left"),
            E::TimedOut => (Exit::Interrupted, "pairing-timeout"),
        };
        // A code is never good for a second try.
        failure(exit, kind, &error, "", false)
    }
}

impl From<&SessionError> for Failure {
    fn from(error: &SessionError) -> Self {
        use SessionError as E;
        let (exit, kind, hint) = match error {
            E::Signaling(error) => return error.into(),
            E::Pairing(error) => return error.into(),
            E::Bye(bye) => return bye.into(),
            E::Timeout(wait) => match wait {
                Wait::Description => (
                    Exit::NoSignaling,
                    "no-description",
                    "try again or use another server",
                ),
                Wait::Ice => (Exit::NoPath, "no-path", TRY_RELAY),
                Wait::Dtls => (Exit::NoPath, "no-dtls", TRY_RELAY),
                Wait::Hello => (Exit::Interrupted, "no-hello", AGAIN),
                Wait::Heartbeat => (Exit::Interrupted, "silent", AGAIN),
            },
            E::Tampered(_) => (
                Exit::WrongCode,
                "tampered",
                "no data was exchanged; use a server that you trust, or none",
            ),
            E::WrongDevice => (
                Exit::WrongCode,
                "wrong-device",
                "no data was exchanged; use a server that you trust, or pair anew",
            ),
            E::NoRelay => (
                Exit::NoPath,
                "no-relay",
                "use a server that has one (`signaling-server --turn`), name one with --turn and --turn-user, or leave out --relay-only",
            ),
            E::PeerLeft => (Exit::Interrupted, "peer-left", AGAIN),
            E::Gone => (Exit::Interrupted, "peer-gone", AGAIN),
            E::Lost => (Exit::Interrupted, "lost", AGAIN),
            E::Description(_) => (Exit::Bug, "description", UPDATE),
            E::Protocol(_) => (Exit::Bug, "protocol", UPDATE),
            E::Engine(_) => (Exit::Bug, "engine", UPDATE),
            E::Closed => (Exit::Bug, "closed", UPDATE),
            // The library may learn to fail in new ways; this program then does not know them.
            _ => (Exit::Bug, "session", UPDATE),
        };
        failure(exit, kind, &error, hint, error.retry())
    }
}

/// The peer ended the session before we were done.
impl From<&Bye> for Failure {
    fn from(bye: &Bye) -> Self {
        let (exit, kind, hint) = match bye.code {
            ByeCode::Done => (Exit::Interrupted, "peer-done", AGAIN),
            ByeCode::Cancelled => (Exit::Interrupted, "peer-cancelled", ""),
            ByeCode::Declined => (Exit::Declined, "declined", ""),
            ByeCode::Tampered => (
                Exit::WrongCode,
                "tampered",
                "use a server that you trust, or none",
            ),
            ByeCode::WrongCode => (Exit::WrongCode, "wrong-code", "make a new code"),
            ByeCode::Timeout => (Exit::Interrupted, "peer-timeout", AGAIN),
            ByeCode::Protocol => (Exit::Bug, "peer-protocol", UPDATE),
            // Its disk, its server or its program: it says so itself, and is not ours to report.
            ByeCode::Internal => (Exit::Interrupted, "peer-failed", "the other side says why"),
        };
        let message = match bye.code {
            ByeCode::Cancelled => "the other side stopped it".to_owned(),
            ByeCode::Declined => "the other side declined".to_owned(),
            _ => format!("the other side ended the session ({})", bye.message),
        };
        failure(exit, kind, &message, hint, exit == Exit::Interrupted)
    }
}

impl From<&IntroductionError> for Failure {
    fn from(error: &IntroductionError) -> Self {
        use IntroductionError as E;
        let (exit, kind, hint) = match error {
            E::Protocol(_) | E::Version(_) => (Exit::Bug, "protocol", UPDATE),
            E::NotItsKey => (
                Exit::WrongCode,
                "wrong-device",
                "nothing was kept; use a server that you trust, or none",
            ),
            E::Itself => (
                Exit::Usage,
                "itself",
                "a device is one user on one machine; name another directory with PEERLINE_HOME for a second one",
            ),
            E::Ended => (Exit::Interrupted, "closed", AGAIN),
            E::TimedOut => (
                Exit::Interrupted,
                "pairing-timeout",
                "both sides must run peer-cli pair",
            ),
            E::NotKept(_) => (
                Exit::Local,
                "local-io",
                "check the disk and the permissions",
            ),
        };
        failure(exit, kind, &error, hint, exit == Exit::Interrupted)
    }
}

impl From<&BenchError> for Failure {
    fn from(error: &BenchError) -> Self {
        use BenchError as E;
        let (exit, kind, hint) = match error {
            E::Cancelled => return Self::ctrl_c(),
            E::Closed => (Exit::Interrupted, "closed", AGAIN),
            E::Silent => (Exit::Interrupted, "silent", AGAIN),
            E::Protocol(_) => (Exit::Bug, "protocol", UPDATE),
            // The library may learn to fail in new ways; this program then does not know them.
            _ => (Exit::Bug, "bench", UPDATE),
        };
        failure(exit, kind, &error, hint, error.retry())
    }
}

impl From<&RelayError> for Failure {
    fn from(error: &RelayError) -> Self {
        use RelayError as E;
        let (exit, kind, hint) = match error {
            E::Cancelled => return Self::ctrl_c(),
            E::Peer(reset) => return reset_by_peer(reset, error),
            E::Write { source, .. } if source.kind() == io::ErrorKind::BrokenPipe => {
                (Exit::Local, "local-io", "what read it has ended")
            }
            E::Read { .. } | E::Write { .. } => {
                (Exit::Local, "local-io", "check what it is connected to")
            }
            E::Silent => (Exit::Interrupted, "silent", AGAIN),
            E::Tunnel(TunnelError::Closed) => (Exit::Interrupted, "closed", AGAIN),
            E::List | E::Tunnel(TunnelError::Protocol(_)) => (Exit::Bug, "protocol", UPDATE),
            // The library may learn to fail in new ways; this program then does not know them.
            _ => (Exit::Bug, "tunnel", UPDATE),
        };
        failure(exit, kind, &error, hint, error.retry())
    }
}

impl From<&ServiceError> for Failure {
    fn from(error: &ServiceError) -> Self {
        use ServiceError as E;
        let (exit, kind, hint, retry) = match error {
            E::NotFound { .. } => (Exit::Local, "not-found", "check the name of the host", true),
            E::Denied { .. } => (
                Exit::Usage,
                "denied",
                "name what is to be exposed by its address",
                false,
            ),
            // The library may learn to fail in new ways; this program then does not know them.
            _ => (Exit::Bug, "service", UPDATE, false),
        };
        failure(exit, kind, &error, hint, retry)
    }
}

fn reset_by_peer(reset: &Reset, error: &RelayError) -> Failure {
    let (exit, kind, hint) = match reset.code {
        ResetCode::Cancelled => (Exit::Interrupted, "peer-cancelled", AGAIN),
        ResetCode::Refused => (Exit::Declined, "refused", "ask the other side to offer it"),
        ResetCode::Unreachable => (
            Exit::Interrupted,
            "peer-unreachable",
            "start what is to be reached there",
        ),
        ResetCode::Busy => (
            Exit::Interrupted,
            "peer-busy",
            "try again when some have ended",
        ),
        // What failed there, it says itself.
        _ => (Exit::Local, "peer-io", "the other side has to look at it"),
    };
    failure(exit, kind, &error, hint, error.retry())
}

impl From<&TransferError> for Failure {
    fn from(error: &TransferError) -> Self {
        use TransferError as E;
        let (exit, kind, hint) = match error {
            E::Cancelled => return Self::ctrl_c(),
            E::Peer { code, .. } => return stopped_by_peer(*code, error),
            E::Declined { by: Fault::Us, .. } => (Exit::Declined, "declined", ""),
            E::Declined { .. } => (
                Exit::Declined,
                "declined",
                "ask the other side to accept it",
            ),
            E::NoSpace { .. } => (
                Exit::Local,
                "no-space",
                "free some, or receive elsewhere with --out",
            ),
            E::Exists { .. } => (
                Exit::Local,
                "exists",
                "replace it with --overwrite, or receive elsewhere with --out",
            ),
            E::BadManifest(_) => (Exit::BadData, "bad-manifest", "nothing was written"),
            E::BadBlock { .. } => (
                Exit::BadData,
                "bad-block",
                "check memory and disk of both machines",
            ),
            E::SourceChanged { .. } => (
                Exit::Local,
                "source-changed",
                "send it again when nothing writes to it",
            ),
            // Only stdout can break like this.
            E::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe => {
                (Exit::Local, "local-io", "what read it has ended")
            }
            E::Io { .. } => (
                Exit::Local,
                "local-io",
                "check the disk and the permissions",
            ),
            E::Closed => (Exit::Interrupted, "closed", AGAIN),
            E::TooLarge { .. } => (Exit::Declined, "too-large", "--max-size says what is taken"),
            E::Protocol(_) => (Exit::Bug, "protocol", UPDATE),
        };
        failure(exit, kind, &error, hint, error.retry())
    }
}

fn stopped_by_peer(code: Code, error: &TransferError) -> Failure {
    let (exit, kind, hint) = match code {
        Code::Declined | Code::TooLarge => (Exit::Declined, "declined", ""),
        Code::Cancelled => {
            let stopped = "the other side stopped the transfer";
            return failure(Exit::Interrupted, "peer-cancelled", &stopped, AGAIN, true);
        }
        Code::NoSpace => (Exit::Local, "peer-no-space", "its disk needs more room"),
        Code::Exists => (
            Exit::Local,
            "peer-exists",
            "it can replace files with --overwrite",
        ),
        Code::Io => (
            Exit::Local,
            "peer-io",
            "its disk or permissions need a look",
        ),
        Code::SourceChanged => (Exit::Local, "peer-source-changed", AGAIN),
        Code::BadManifest => (
            Exit::BadData,
            "peer-bad-manifest",
            "rename what it complains about",
        ),
        Code::BadBlock => (
            Exit::BadData,
            "peer-bad-block",
            "check memory and disk of both machines",
        ),
        Code::Closed => (Exit::Interrupted, "closed", AGAIN),
        Code::Protocol => (Exit::Bug, "peer-protocol", UPDATE),
    };
    failure(exit, kind, &error, hint, error.retry())
}

impl From<&ChatError> for Failure {
    fn from(error: &ChatError) -> Self {
        use ChatError as E;
        let (exit, kind, hint, retry) = match error {
            E::Closed => (Exit::Interrupted, "closed", AGAIN, true),
            E::Protocol(_) => (Exit::Bug, "protocol", UPDATE, false),
            E::Silent => (
                Exit::Interrupted,
                "silent",
                "run peer-cli chat on the other side",
                true,
            ),
            E::Full => (
                Exit::Declined,
                "room-full",
                "somebody must leave before you can come",
                true,
            ),
            E::GivenUp => (Exit::Interrupted, "too-slow", AGAIN, true),
            E::TooLong => (Exit::Usage, "too-long", "say it in several messages", false),
            _ => (Exit::Bug, "chat", UPDATE, false),
        };
        failure(exit, kind, error, hint, retry)
    }
}

impl From<&MediaError> for Failure {
    fn from(error: &MediaError) -> Self {
        use MediaError as E;
        let (exit, kind, hint) = match error {
            E::NoProgram { package, .. } => {
                let hint = format!(
                    "install the package {package}; --video test and --audio test need nothing"
                );
                return failure(Exit::Local, "no-program", &error, &hint, false);
            }
            E::NoDevice { .. } => (
                Exit::Local,
                "no-device",
                "name another one, a file, or test, which needs no device",
            ),
            E::Lacks { .. } => (Exit::Usage, "no-such-track", "name another source, or none"),
            E::Read { source, .. } if source.kind() == io::ErrorKind::InvalidData => (
                Exit::Local,
                "bad-media",
                "check the file, or encode it anew",
            ),
            E::Read { .. } => (
                Exit::Local,
                "local-io",
                "check the path and its permissions",
            ),
            E::Write { source, .. } if source.kind() == io::ErrorKind::InvalidInput => (
                Exit::Usage,
                "usage",
                "name a file that ends in .webm or .mkv",
            ),
            E::Write { source, .. } if source.kind() == io::ErrorKind::AlreadyExists => (
                Exit::Local,
                "exists",
                "name another file, or move that one away",
            ),
            E::Write { .. } => (
                Exit::Local,
                "local-io",
                "check the disk and the permissions",
            ),
            E::Container { .. } => (Exit::Usage, "container", "record to a .mkv file"),
            E::Program { .. } => (Exit::Local, "program", "check the source with ffplay"),
            // The library may learn to fail in new ways; this program then does not know them.
            _ => (Exit::Bug, "media", UPDATE),
        };
        failure(exit, kind, &error, hint, false)
    }
}

impl From<&SourceError> for Failure {
    fn from(error: &SourceError) -> Self {
        let (exit, kind, hint) = match error {
            SourceError::Io { .. } => (
                Exit::Local,
                "local-io",
                "check the path and its permissions",
            ),
            SourceError::Name { .. } => (Exit::Usage, "name", LEAVE_OUT),
            SourceError::Several { problems, .. } => {
                let io = |problem: &SourceError| matches!(problem, SourceError::Io { .. });
                let exit = if problems.iter().all(io) {
                    Exit::Local
                } else {
                    Exit::Usage
                };
                (exit, "unsendable", LEAVE_OUT)
            }
            SourceError::Special { .. } => (Exit::Usage, "special", "leave it out"),
            SourceError::Duplicate { .. } => (Exit::Usage, "duplicate", ""),
            SourceError::Manifest(_) => (Exit::Usage, "unsendable", "send fewer at a time"),
        };
        failure(exit, kind, &error, hint, false)
    }
}

fn failure(
    exit: Exit,
    kind: &'static str,
    message: &dyn ToString,
    hint: &str,
    retry: bool,
) -> Failure {
    Failure {
        exit,
        kind,
        message: message.to_string(),
        hint: hint.to_owned(),
        retry: if retry { Retry::Helps } else { Retry::Useless },
        remains: None,
    }
}

/// What the other side is told when this one ends the session with `failure`. Paths and addresses of
/// this machine are not its business; what it should know of a transfer, the transfer has told it.
pub(crate) fn last_words(failure: &Failure) -> Bye {
    let code = match failure.exit {
        Exit::Done => ByeCode::Done,
        Exit::CtrlC => ByeCode::Cancelled,
        Exit::Declined => ByeCode::Declined,
        Exit::WrongCode => ByeCode::Tampered,
        // It said why itself, and our answer must not be a second reason.
        Exit::Interrupted if failure.kind.starts_with("peer-") => ByeCode::Done,
        Exit::NoPath | Exit::Interrupted => ByeCode::Timeout,
        Exit::Usage => ByeCode::Protocol,
        Exit::Bug | Exit::NoSignaling | Exit::BadData | Exit::Local => ByeCode::Internal,
    };
    Bye::new(code, format!("it cannot go on: {}", failure.kind))
}

#[cfg(test)]
mod tests;
