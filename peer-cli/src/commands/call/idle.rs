//! A source that is sent to nobody at the moment.

use peerline::media::MediaError;
use peerline::media::source::Source;
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

/// It keeps its place, unless it is a device: that goes on, and what it gave meanwhile is thrown away. If nobody took it,
/// whoever is met would hear and see for ever what was before they came.
pub(super) enum Idle {
    Still(Box<Source>),
    Drained {
        task: AbortOnDropHandle<Awake>,
        stop: oneshot::Sender<()>,
    },
}

/// A source that is wanted again.
pub(super) struct Awake {
    pub(super) source: Box<Source>,
    /// Why nothing follows.
    pub(super) failure: Option<MediaError>,
}

impl Idle {
    pub(super) fn new(source: Box<Source>) -> Self {
        if !source.is_device() {
            return Self::Still(source);
        }
        let (stop, stopped) = oneshot::channel();
        let task = AbortOnDropHandle::new(tokio::spawn(drain(source, stopped)));
        Self::Drained { task, stop }
    }

    /// `None` if draining it has failed, which is a mistake of ours.
    pub(super) async fn wake(self) -> Option<Awake> {
        match self {
            Self::Still(source) => Some(Awake {
                source,
                failure: None,
            }),
            Self::Drained { task, stop } => {
                let _ = stop.send(());
                task.await.ok()
            }
        }
    }
}

async fn drain(mut source: Box<Source>, mut stopped: oneshot::Receiver<()>) -> Awake {
    let failure = loop {
        tokio::select! {
            _ = &mut stopped => break None,
            frame = source.next() => match frame {
                Ok(Some(_)) => {}
                // Its end is told when it is wanted.
                Ok(None) => break None,
                Err(error) => break Some(error),
            },
        }
    };
    Awake { source, failure }
}
