//! What the other side sends: each track goes to the recording and to the eye or ear.

use peerline::media::IncomingTrack;
use peerline::media::codec::Codec;
use peerline::media::player::Player;
use peerline::media::record::TapedTrack;

/// One track, until the other side takes it back.
pub(in crate::commands) struct Receiver {
    track: IncomingTrack,
    taped: Option<TapedTrack>,
    player: Option<Player>,
}

impl Receiver {
    pub(in crate::commands) fn new(
        track: IncomingTrack,
        taped: Option<TapedTrack>,
        player: Option<Player>,
    ) -> Self {
        Self {
            track,
            taped,
            player,
        }
    }

    /// Returns what it was.
    pub(in crate::commands) async fn run(mut self) -> Codec {
        while let Some(frame) = self.track.next().await {
            let clock = self.track.clock();
            let mut needs_key = false;
            if let Some(taped) = &self.taped {
                needs_key |= taped.push(&frame, clock);
            }
            if let Some(player) = &mut self.player {
                needs_key |= player.push(&frame);
            }
            if needs_key {
                self.track.want_key();
            }
        }
        self.track.codec()
    }
}
