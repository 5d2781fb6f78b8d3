//! Every failure of the library has an exit code, a stable name and words on one line.

use std::io;
use std::path::PathBuf;

use super::*;

fn io_error() -> io::Error {
    io::ErrorKind::PermissionDenied.into()
}

fn check(failure: &Failure, exit: Exit, kind: &str) {
    assert_eq!((failure.exit, failure.kind), (exit, kind), "{failure}");
    assert!(!failure.message.is_empty());
    let line = failure.to_string();
    assert!(!line.contains('\n') && !line.ends_with('.'), "{line}");
}

#[test]
fn sessions() {
    use SessionError as E;
    let bye = |code| E::Bye(Bye::new(code, "words"));
    for (error, exit, kind) in [
        (
            E::Pairing(PairingError::WrongCode),
            Exit::WrongCode,
            "wrong-code",
        ),
        (
            E::Pairing(PairingError::UnsupportedVersion),
            Exit::WrongCode,
            "unsupported-version",
        ),
        (
            E::Pairing(PairingError::Tampered),
            Exit::WrongCode,
            "tampered",
        ),
        (
            E::Pairing(PairingError::CodeUsed),
            Exit::WrongCode,
            "code-used",
        ),
        (
            E::Pairing(PairingError::TooManyGuests),
            Exit::WrongCode,
            "code-used",
        ),
        (
            E::Pairing(PairingError::Cancelled),
            Exit::Interrupted,
            "peer-cancelled",
        ),
        (
            E::Pairing(PairingError::PeerLeft),
            Exit::Interrupted,
            "peer-left",
        ),
        (
            E::Pairing(PairingError::TimedOut),
            Exit::Interrupted,
            "pairing-timeout",
        ),
        (
            E::Pairing(PairingError::UnknownDevice),
            Exit::WrongCode,
            "unknown-device",
        ),
        (E::WrongDevice, Exit::WrongCode, "wrong-device"),
        (E::Tampered("x"), Exit::WrongCode, "tampered"),
        (
            E::Timeout(Wait::Description),
            Exit::NoSignaling,
            "no-description",
        ),
        (E::Timeout(Wait::Ice), Exit::NoPath, "no-path"),
        (E::Timeout(Wait::Dtls), Exit::NoPath, "no-dtls"),
        (E::Timeout(Wait::Hello), Exit::Interrupted, "no-hello"),
        (E::Timeout(Wait::Heartbeat), Exit::Interrupted, "silent"),
        (E::NoRelay, Exit::NoPath, "no-relay"),
        (E::PeerLeft, Exit::Interrupted, "peer-left"),
        (E::Gone, Exit::Interrupted, "peer-gone"),
        (E::Lost, Exit::Interrupted, "lost"),
        (E::Protocol("x"), Exit::Bug, "protocol"),
        (E::Engine("x".into()), Exit::Bug, "engine"),
        (E::Closed, Exit::Bug, "closed"),
        (bye(ByeCode::Done), Exit::Interrupted, "peer-done"),
        (bye(ByeCode::Cancelled), Exit::Interrupted, "peer-cancelled"),
        (bye(ByeCode::Declined), Exit::Declined, "declined"),
        (bye(ByeCode::Tampered), Exit::WrongCode, "tampered"),
        (bye(ByeCode::WrongCode), Exit::WrongCode, "wrong-code"),
        (bye(ByeCode::Timeout), Exit::Interrupted, "peer-timeout"),
        (bye(ByeCode::Protocol), Exit::Bug, "peer-protocol"),
        (bye(ByeCode::Internal), Exit::Interrupted, "peer-failed"),
    ] {
        check(&Failure::from(&error), exit, kind);
    }
}

#[test]
fn introductions() {
    use IntroductionError as E;
    for (error, exit, kind) in [
        (E::Protocol("x"), Exit::Bug, "protocol"),
        (E::Version(2), Exit::Bug, "protocol"),
        (E::NotItsKey, Exit::WrongCode, "wrong-device"),
        (E::Itself, Exit::Usage, "itself"),
        (E::Ended, Exit::Interrupted, "closed"),
        (E::TimedOut, Exit::Interrupted, "pairing-timeout"),
        (E::NotKept("x".into()), Exit::Local, "local-io"),
    ] {
        check(&Failure::from(&error), exit, kind);
    }
}

#[test]
fn signaling() {
    use peerline::signaling::{Lost, Refusal, Unreachable};
    use signaling_protocol::ErrorCode;
    let server: peerline::signaling::ServerUrl = "http://h".parse().unwrap();
    let refused = |code, retry| {
        let message = "text".into();
        SignalingError::Refused(Refusal {
            code,
            message,
            retry,
        })
    };
    for (error, kind, retry) in [
        (
            SignalingError::Unreachable {
                server,
                cause: Unreachable::Refused,
            },
            "signaling-unreachable",
            Retry::Helps,
        ),
        (
            refused(ErrorCode::NoSuchRoom, true),
            "no-such-room",
            Retry::Helps,
        ),
        (
            refused(ErrorCode::Unauthorized, false),
            "unauthorized",
            Retry::Useless,
        ),
        (
            SignalingError::Lost(Lost::Closed),
            "signaling-lost",
            Retry::Helps,
        ),
    ] {
        let failure = Failure::from(&SessionError::Signaling(error));
        check(&failure, Exit::NoSignaling, kind);
        assert_eq!(failure.retry, retry, "{failure}");
    }
}

#[test]
fn transfers() {
    use TransferError as E;
    let peer = |code| E::Peer {
        code,
        message: "words".into(),
    };
    let declined = |by| E::Declined {
        by,
        reason: "no".into(),
    };
    let path = || PathBuf::from("p");
    for (error, exit, kind) in [
        (declined(Fault::Us), Exit::Declined, "declined"),
        (declined(Fault::Peer), Exit::Declined, "declined"),
        (E::Cancelled, Exit::CtrlC, "cancelled"),
        (
            E::NoSpace {
                path: path(),
                needed: 2,
                free: 1,
            },
            Exit::Local,
            "no-space",
        ),
        (
            E::Exists {
                path: "p".into(),
                found: "a file",
            },
            Exit::Local,
            "exists",
        ),
        (E::BadBlock { what: "x".into() }, Exit::BadData, "bad-block"),
        (
            E::SourceChanged { path: path() },
            Exit::Local,
            "source-changed",
        ),
        (
            E::Io {
                path: path(),
                source: io_error(),
            },
            Exit::Local,
            "local-io",
        ),
        (E::Closed, Exit::Interrupted, "closed"),
        (E::TooLarge { most: 1 }, Exit::Declined, "too-large"),
        (E::Protocol("x".into()), Exit::Bug, "protocol"),
        (peer(Code::Declined), Exit::Declined, "declined"),
        (peer(Code::TooLarge), Exit::Declined, "declined"),
        (peer(Code::Cancelled), Exit::Interrupted, "peer-cancelled"),
        (peer(Code::NoSpace), Exit::Local, "peer-no-space"),
        (peer(Code::Exists), Exit::Local, "peer-exists"),
        (peer(Code::Io), Exit::Local, "peer-io"),
        (
            peer(Code::SourceChanged),
            Exit::Local,
            "peer-source-changed",
        ),
        (peer(Code::BadManifest), Exit::BadData, "peer-bad-manifest"),
        (peer(Code::BadBlock), Exit::BadData, "peer-bad-block"),
        (peer(Code::Closed), Exit::Interrupted, "closed"),
        (peer(Code::Protocol), Exit::Bug, "peer-protocol"),
    ] {
        check(&Failure::from(&error), exit, kind);
    }
}

#[test]
fn sources() {
    let error = SourceError::Io {
        path: "p".into(),
        source: io_error(),
    };
    check(&Failure::from(&error), Exit::Local, "local-io");
    let error = SourceError::Special {
        path: "p".into(),
        what: "a pipe",
    };
    check(&Failure::from(&error), Exit::Usage, "special");
}

#[test]
fn the_other_side_learns_the_kind_and_nothing_else() {
    let local = Failure::from(&TransferError::Io {
        path: "/home/me".into(),
        source: io_error(),
    });
    assert_eq!(
        last_words(&local),
        Bye::new(ByeCode::Internal, "it cannot go on: local-io")
    );
    assert_eq!(last_words(&Failure::ctrl_c()).code, ByeCode::Cancelled);
}

#[test]
fn measurements() {
    use BenchError as E;
    for (error, exit, kind) in [
        (E::Cancelled, Exit::CtrlC, "cancelled"),
        (E::Closed, Exit::Interrupted, "closed"),
        (E::Silent, Exit::Interrupted, "silent"),
        (E::Protocol("x"), Exit::Bug, "protocol"),
    ] {
        check(&Failure::from(&error), exit, kind);
    }
}

#[test]
fn tunnels() {
    use RelayError as E;
    let what = "stdout";
    let write = |source| E::Write { what, source };
    let peer = |code| E::Peer(Reset::new(code, "words"));
    for (error, exit, kind) in [
        (E::Cancelled, Exit::CtrlC, "cancelled"),
        (write(io_error()), Exit::Local, "local-io"),
        (
            E::Read {
                what,
                source: io_error(),
            },
            Exit::Local,
            "local-io",
        ),
        (
            peer(ResetCode::Cancelled),
            Exit::Interrupted,
            "peer-cancelled",
        ),
        (peer(ResetCode::Refused), Exit::Declined, "refused"),
        (
            peer(ResetCode::Unreachable),
            Exit::Interrupted,
            "peer-unreachable",
        ),
        (peer(ResetCode::Busy), Exit::Interrupted, "peer-busy"),
        (peer(ResetCode::Failed), Exit::Local, "peer-io"),
        (E::Silent, Exit::Interrupted, "silent"),
        (E::List, Exit::Bug, "protocol"),
        (E::Tunnel(TunnelError::Closed), Exit::Interrupted, "closed"),
        (E::Tunnel(TunnelError::Protocol("x")), Exit::Bug, "protocol"),
    ] {
        check(&Failure::from(&error), exit, kind);
    }
    let ended = Failure::from(&write(io::ErrorKind::BrokenPipe.into()));
    assert_eq!(ended.hint, "what read it has ended");
}

#[test]
fn services() {
    let address = || "db:5432".to_owned();
    let error = ServiceError::NotFound {
        address: address(),
        source: io_error(),
    };
    check(&Failure::from(&error), Exit::Local, "not-found");
    let error = ServiceError::Denied {
        address: address(),
        ip: [127, 0, 0, 1].into(),
        why: "by another name than localhost",
    };
    check(&Failure::from(&error), Exit::Usage, "denied");
}

#[test]
fn rooms() {
    use ChatError as E;
    for (error, exit, kind) in [
        (E::Closed, Exit::Interrupted, "closed"),
        (E::Protocol("x"), Exit::Bug, "protocol"),
        (E::Silent, Exit::Interrupted, "silent"),
        (E::Full, Exit::Declined, "room-full"),
        (E::GivenUp, Exit::Interrupted, "too-slow"),
        (E::TooLong, Exit::Usage, "too-long"),
    ] {
        check(&Failure::from(&error), exit, kind);
    }
}
