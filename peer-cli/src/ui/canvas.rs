//! Pictures in a terminal: each character is two pixels, one above the other, as a half block.

use std::fmt::Write as _;

use peerline::media::player::Picture;

use super::voice::Ui;

/// A terminal that does not say how large it is.
const ROWS: u16 = 24;
const COLUMNS: u16 = 80;

/// Lines under the picture: the figures, and the last thing that was said.
const UNDER: u16 = 2;

/// The screen of a terminal, taken until it is dropped. What is said meanwhile scrolls through the last line.
pub(crate) struct Canvas {
    ui: Ui,
    rows: u16,
    columns: u16,
}

/// Draws on a canvas, from anywhere.
pub(crate) struct Pen(Ui);

impl Canvas {
    /// Switches to the other screen, so that what was on this one comes back.
    pub(crate) fn open(ui: &Ui) -> Self {
        let (rows, columns) = console::Term::stderr()
            .size_checked()
            .unwrap_or((ROWS, COLUMNS));
        let rows = rows.max(UNDER + 1);
        // Another screen, cleared, no cursor; only the last line scrolls.
        ui.draw(&format!(
            "\x1b[?1049h\x1b[2J\x1b[?25l\x1b[{rows};{rows}r\x1b[{rows};1H"
        ));
        Self {
            ui: ui.clone(),
            rows,
            columns,
        }
    }

    /// Columns and rows of pixels for the picture.
    pub(crate) fn pixels(&self) -> (usize, usize) {
        (self.columns.into(), 2 * usize::from(self.rows - UNDER))
    }

    pub(crate) fn pen(&self) -> Pen {
        Pen(self.ui.clone())
    }

    /// The line under the picture.
    pub(crate) fn status(&self, line: &str) {
        let row = self.rows - 1;
        let line: String = line.chars().take(self.columns.into()).collect();
        self.ui.draw(&format!(
            "\x1b7\x1b[{row};1H\x1b[0;7m{line}\x1b[K\x1b[0m\x1b8"
        ));
    }
}

impl Drop for Canvas {
    fn drop(&mut self) {
        self.ui.draw("\x1b[r\x1b[?25h\x1b[?1049l");
    }
}

impl Pen {
    pub(crate) fn draw(&self, picture: &Picture) {
        self.0.draw(&half_blocks(picture));
    }
}

/// The picture from the top left on; colours are named where they change.
fn half_blocks(picture: &Picture) -> String {
    let row_bytes = 3 * picture.width;
    let mut text = String::from("\x1b7");
    if row_bytes == 0 {
        return String::new();
    }
    for (row, pair) in picture.rgb.chunks_exact(2 * row_bytes).enumerate() {
        let _ = write!(text, "\x1b[{};1H", row + 1);
        let (upper, lower) = pair.split_at(row_bytes);
        let mut last = None;
        for (up, low) in upper.chunks_exact(3).zip(lower.chunks_exact(3)) {
            if last != Some((up, low)) {
                let _ = write!(
                    text,
                    "\x1b[38;2;{};{};{};48;2;{};{};{}m",
                    up[0], up[1], up[2], low[0], low[1], low[2]
                );
                last = Some((up, low));
            }
            text.push('\u{2580}');
        }
        text.push_str("\x1b[0m");
    }
    text.push_str("\x1b8");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_rows_of_pixels_are_one_of_characters() {
        let picture = Picture {
            width: 2,
            height: 2,
            rgb: vec![1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6],
        };
        let expected = "\x1b7\x1b[1;1H\x1b[38;2;1;2;3;48;2;4;5;6m\u{2580}\u{2580}\x1b[0m\x1b8";
        assert_eq!(half_blocks(&picture), expected);
        assert_eq!(half_blocks(&Picture::default()), "");
    }
}
