//! A line: a connected and verified session with the other side, until it is hung up.

use std::sync::Arc;
use std::time::Duration;

use peerline::channel::{Channel, Delivery};
use peerline::session::{Bye, ByeCode, EngineKind, Intent, Path, Phrase, Session, SessionError};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::causes::last_words;
use crate::connect::Context;
use crate::devices::DeviceName;
use crate::exit::{Exit, Failure};
use crate::known;
use crate::server::Embedded;
use crate::ui::{Answer, Route, event};
use crate::watch;

/// A connected session, with the server that it may need for another path.
pub(crate) struct Line {
    pub(crate) session: Session,
    /// What the other side is called here, if it is a device that is known.
    pub(crate) device: Option<DeviceName>,
    embedded: Option<Embedded>,
    /// The path when it was connected.
    first: Option<Path>,
    /// Says when the other side cannot be reached.
    _watch: AbortOnDropHandle<()>,
}

impl Line {
    /// Reports what was connected, and makes sure that the two sides want to do the same.
    pub(crate) async fn new(
        context: &Context<'_>,
        connected: Result<Session, Failure>,
        embedded: Option<Embedded>,
    ) -> Result<Self, Failure> {
        Self::with(context, connected, None, embedded).await
    }

    /// As [`new`](Self::new), with a device that is known.
    pub(crate) async fn with(
        context: &Context<'_>,
        connected: Result<Session, Failure>,
        device: Option<DeviceName>,
        embedded: Option<Embedded>,
    ) -> Result<Self, Failure> {
        let session = match connected {
            Ok(session) => session,
            Err(failure) => {
                if let Some(embedded) = embedded {
                    embedded.end().await;
                }
                return Err(failure);
            }
        };
        let peer = session.peer();
        context.ui.say(event::Peer {
            agent: peer.agent.clone(),
            engine: engine_name(peer.engine).to_owned(),
            device: device.as_ref().map(ToString::to_string),
        });
        let fit = fits(context.intent, peer.intent);
        let first = session.first_path().cloned();
        let watch = watch::watch(context.ui.clone(), &session);
        let line = Self {
            _watch: watch,
            session,
            device,
            embedded,
            first,
        };
        if let Err(failure) = fit {
            return line.end(Err(failure)).await;
        }
        context.ui.say(connection(line.first.as_ref()));
        Ok(line)
    }

    /// Shows the phrase and asks whether the other side has the same one. With `--json` nobody can be
    /// asked: the script that reads the event decides whether to go on.
    pub(crate) async fn verify(&self, context: &Context<'_>) -> Result<(), Failure> {
        let ended = async { Failure::from(&*self.session.ended().await) };
        verify(context, self.session.phrase(), ended).await
    }

    /// How the bytes travel now.
    pub(crate) async fn route(&self) -> Route {
        let now = self.session.path().await;
        now.as_ref().or(self.first.as_ref()).into()
    }

    /// Why the session ended, if it has or is just about to.
    pub(crate) async fn why_ended(&self) -> Option<Arc<SessionError>> {
        /// A peer that hangs up closes its channels and says goodbye on another one, which may come a
        /// retransmission later.
        const ENDING: Duration = Duration::from_secs(2);
        timeout(ENDING, self.session.ended()).await.ok()
    }

    /// Opens a channel that the command is about; `protocol` names it.
    pub(crate) async fn open(
        &self,
        label: impl Into<String>,
        protocol: &str,
    ) -> Result<Channel, Failure> {
        match self.session.open(label, protocol, Delivery::Reliable).await {
            Ok(channel) => Ok(channel),
            Err(error @ SessionError::Closed) => Err(self.why_closed(Failure::from(&error)).await),
            Err(error) => Err(Failure::from(&error)),
        }
    }

    /// The channel of `protocol`, which the other side opens; others are closed. `verb` is its command.
    pub(crate) async fn accept(
        &mut self,
        context: &Context<'_>,
        protocol: &str,
        verb: &str,
    ) -> Result<Channel, Failure> {
        /// It does so as soon as it is connected.
        const BEGIN: Duration = Duration::from_secs(30);
        let accepting = async {
            while let Some(incoming) = self.session.accept().await {
                if incoming.protocol == protocol {
                    return Ok(incoming.channel);
                }
                tracing::info!(incoming.protocol, "closed an unknown channel");
            }
            Err(Failure::from(&*self.session.ended().await))
        };
        let accepted = tokio::select! {
            biased;
            () = context.stop.cancelled() => return Err(Failure::ctrl_c()),
            accepted = timeout(BEGIN, accepting) => accepted,
        };
        accepted.unwrap_or_else(|_| {
            let message = "the other side is connected but does not begin";
            let failure = Failure::new(Exit::Interrupted, "silent", message);
            Err(failure
                .hint(format!("run peer-cli {verb} there, too"))
                .retry())
        })
    }

    /// Why a channel closed: a session that has ended just now knows better than `failure`, which the channel gave.
    pub(crate) async fn why_closed(&self, failure: Failure) -> Failure {
        let ended = self.why_ended().await;
        ended.map_or(failure, |end| Failure::from(&*end))
    }

    /// Says goodbye, hangs up, and ends the embedded server.
    pub(crate) async fn end<T>(self, result: Result<T, Failure>) -> Result<T, Failure> {
        let result = match &self.device {
            Some(name) => result.map_err(|failure| known::ended(failure, name)),
            None => result,
        };
        let bye = match &result {
            Ok(_) => Bye::new(ByeCode::Done, "done"),
            Err(failure) => last_words(failure),
        };
        self.session.close(bye).await;
        if let Some(embedded) = self.embedded {
            embedded.end().await;
        }
        result
    }
}

/// How the two sides are connected.
pub(crate) fn connection(path: Option<&Path>) -> event::Connected {
    let unknown = || "?".to_owned();
    event::Connected {
        path: path.into(),
        relay: path
            .and_then(|path| path.relay)
            .map(|relay| relay.to_string()),
        rtt_ms: path.map_or(0.0, |path| path.round_trip.as_secs_f64() * 1000.0),
        local: path.map_or_else(unknown, |path| path.local.clone()),
        remote: path.map_or_else(unknown, |path| path.remote.clone()),
    }
}

/// Shows words and asks whether the other side has the same ones, until `ended` says why nobody needs to know.
pub(crate) async fn verify(
    context: &Context<'_>,
    phrase: &Phrase,
    ended: impl Future<Output = Failure>,
) -> Result<(), Failure> {
    context.ui.say(event::Phrase {
        phrase: phrase.to_string(),
    });
    let answer = tokio::select! {
        biased;
        () = context.stop.cancelled() => return Err(Failure::ctrl_c()),
        failure = ended => return Err(failure),
        answer = context.ui.confirm("Does the other side show the same words?") => answer,
    };
    match answer {
        Answer::Yes | Answer::Nobody => Ok(()),
        Answer::No => Err(Failure::new(
            Exit::WrongCode,
            "phrase-differs",
            "the words differ, so somebody may be in the middle; no data was exchanged",
        )
        .hint("use a server that you trust, or none")),
    }
}

fn engine_name(engine: EngineKind) -> &'static str {
    match engine {
        EngineKind::Native => "native",
        EngineKind::Browser => "browser",
    }
}

/// Whether the two sides came for the two ends of the same thing.
fn fits(ours: Intent, theirs: Intent) -> Result<(), Failure> {
    let wanted = match ours {
        Intent::SendFiles => Intent::ReceiveFiles,
        Intent::ReceiveFiles => Intent::SendFiles,
        Intent::Expose => Intent::Connect,
        Intent::Connect => Intent::Expose,
        same => same,
    };
    let any = theirs == Intent::Any || ours == Intent::Any;
    if theirs == wanted || any && ours != Intent::Pair {
        return Ok(());
    }
    let message = format!("the other side wants to {}", purpose(theirs));
    let hint = match wanted {
        Intent::ReceiveFiles => "it must receive files, with receive-file or the page",
        Intent::SendFiles => "it must send files, with send-file or the page",
        Intent::Pair => "it must run peer-cli pair, in a version that can",
        Intent::Expose => "it must run peer-cli expose",
        Intent::Connect => "it must run peer-cli connect",
        Intent::Pipe => "it must run peer-cli pipe",
        Intent::Chat => "it must run peer-cli chat, or open the link of one",
        _ => "both sides must run commands that belong together",
    };
    Err(Failure::usage(message).hint(hint))
}

fn purpose(intent: Intent) -> &'static str {
    match intent {
        Intent::SendFiles => "send files, too",
        Intent::ReceiveFiles => "receive files, too",
        Intent::Pipe => "connect a pipe",
        Intent::Chat => "chat",
        Intent::Call => "call",
        Intent::Pair => "pair devices",
        Intent::Bench => "measure the line",
        Intent::Expose => "let services be used, too",
        Intent::Connect => "use services",
        _ => "do something else",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_that_want_the_same_do_not_fit() {
        use Intent::{
            Any, Bench, Call, Chat, Connect, Expose, Pair, Pipe, ReceiveFiles, SendFiles,
        };
        for (ours, theirs, fit) in [
            (SendFiles, ReceiveFiles, true),
            (ReceiveFiles, SendFiles, true),
            (SendFiles, Any, true),
            (ReceiveFiles, Any, true),
            (SendFiles, SendFiles, false),
            (ReceiveFiles, ReceiveFiles, false),
            (SendFiles, Call, false),
            (Pair, Pair, true),
            (Pair, Any, false),
            (Pair, SendFiles, false),
            (SendFiles, Pair, false),
            (Bench, Bench, true),
            (Bench, SendFiles, false),
            (Expose, Connect, true),
            (Connect, Expose, true),
            (Expose, Expose, false),
            (Connect, Connect, false),
            (Pipe, Pipe, true),
            (Pipe, Connect, false),
            (Chat, Chat, true),
            (Chat, Any, true),
            (Chat, Pipe, false),
        ] {
            let result = fits(ours, theirs);
            assert_eq!(result.is_ok(), fit, "{ours:?} {theirs:?}");
            if let Err(failure) = result {
                assert_eq!(failure.exit, Exit::Usage);
                assert!(!failure.hint.is_empty());
            }
        }
    }
}
