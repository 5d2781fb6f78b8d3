//! Where the other side is seen and heard.

use peerline::media::codec::Codec;
use peerline::media::player::{Picture, Player};
use peerline::media::{Kind, MediaError};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::arguments::Where;
use crate::ui::{Canvas, Ui};

/// Over the window.
const TITLE: &str = "Peerline";

/// Shows and plays tracks.
pub(super) struct View {
    place: Where,
    sound: bool,
    ui: Ui,
    canvas: Option<Canvas>,
    drawing: Option<AbortOnDropHandle<()>>,
}

impl View {
    pub(super) fn open(place: Where, sound: bool, ui: &Ui) -> Self {
        Self {
            place,
            sound,
            ui: ui.clone(),
            canvas: (place == Where::Terminal).then(|| Canvas::open(ui)),
            drawing: None,
        }
    }

    /// What plays a track; `None` if it shall not be played.
    pub(super) fn player(&mut self, codec: Codec) -> Option<Player> {
        let player = match (codec.kind(), self.place) {
            (Kind::Audio, _) if self.sound => Player::play(codec, TITLE),
            (Kind::Video, Where::Window) => Player::play(codec, TITLE),
            (Kind::Video, Where::Terminal) => self.draw(codec),
            _ => return None,
        };
        player
            .inspect_err(|error| self.ui.note(&format!("Cannot show it: {error}.")))
            .ok()
    }

    fn draw(&mut self, codec: Codec) -> Result<Player, MediaError> {
        let canvas = self.canvas.get_or_insert_with(|| Canvas::open(&self.ui));
        let (width, height) = canvas.pixels();
        let (player, pictures) = Player::decode(codec, width, height)?;
        let pen = canvas.pen();
        // The last picture that came is the one that is seen.
        self.drawing = Some(AbortOnDropHandle::new(tokio::spawn(draw(
            pictures,
            move |picture| {
                pen.draw(picture);
            },
        ))));
        Ok(player)
    }

    /// Figures under the picture.
    pub(super) fn status(&self, line: &str) {
        if let Some(canvas) = &self.canvas {
            canvas.status(line);
        }
    }

    /// Gives the terminal back.
    pub(super) fn close(&mut self) {
        self.drawing = None;
        self.canvas = None;
    }
}

async fn draw(mut pictures: watch::Receiver<Picture>, pen: impl Fn(&Picture)) {
    while pictures.changed().await.is_ok() {
        pen(&pictures.borrow_and_update());
    }
}
