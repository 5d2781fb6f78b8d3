//! A link as a QR code made of half blocks: two modules to a character, so that it is square.

use qrcode::{Color, EcLevel, QrCode};

use super::palette::Palette;

/// Light modules around the code. The standard asks for 4; phones read 2 on any screen, and the
/// difference decides whether a code fits a terminal of 24 lines.
const QUIET: usize = 2;

/// The picture as lines without a final newline, or `None` if it would not fit `columns` by `rows`.
pub(crate) fn picture(link: &str, columns: usize, rows: usize, palette: Palette) -> Option<String> {
    // A screen has no dirt and no folds: the lowest correction level gives the smallest picture.
    let code = QrCode::with_error_correction_level(link, EcLevel::L).ok()?;
    let width = code.width() + 2 * QUIET;
    if width > columns || width.div_ceil(2) > rows {
        return None;
    }
    let mut canvas = vec![vec![false; width]; width];
    for (index, module) in code.to_colors().into_iter().enumerate() {
        let (y, x) = (index / code.width(), index % code.width());
        canvas[y + QUIET][x + QUIET] = module == Color::Dark;
    }
    Some(half_blocks(&canvas, palette))
}

fn half_blocks(dark: &[Vec<bool>], palette: Palette) -> String {
    let lines = dark.chunks(2).map(|pair| {
        let line: String = (0..pair[0].len())
            .map(|x| {
                // A missing last row is ground, like the quiet zone above it.
                let lower = pair.get(1).is_some_and(|row| row[x]);
                // Without colours the ground is dark, and the light modules are drawn.
                let inked = |dark: bool| dark == (palette == Palette::Colour);
                match (inked(pair[0][x]), inked(lower)) {
                    (true, true) => '█',
                    (true, false) => '▀',
                    (false, true) => '▄',
                    (false, false) => ' ',
                }
            })
            .collect();
        match palette {
            Palette::Colour => format!("\x1b[30;107m{line}\x1b[0m"),
            Palette::Plain => line,
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: &str = "http://192.168.1.23:8787/#4821-crane-velvet-orbit";

    /// Reads the picture back into modules, without the quiet zone.
    fn modules(picture: &str, palette: Palette) -> Vec<bool> {
        let rows: Vec<(Vec<bool>, Vec<bool>)> = picture
            .lines()
            .map(|line| {
                let line = line
                    .trim_start_matches("\x1b[30;107m")
                    .trim_end_matches("\x1b[0m");
                line.chars()
                    .map(|c| {
                        let (upper, lower) = match c {
                            '█' => (true, true),
                            '▀' => (true, false),
                            '▄' => (false, true),
                            ' ' => (false, false),
                            other => panic!("unexpected {other:?}"),
                        };
                        let dark = |inked: bool| inked == (palette == Palette::Colour);
                        (dark(upper), dark(lower))
                    })
                    .unzip()
            })
            .collect();
        let all: Vec<Vec<bool>> = rows
            .into_iter()
            .flat_map(|(upper, lower)| [upper, lower])
            .collect();
        let width = all[0].len();
        (QUIET..width - QUIET)
            .flat_map(|y| all[y][QUIET..width - QUIET].to_vec())
            .collect()
    }

    #[test]
    fn the_picture_holds_exactly_the_modules_of_the_code() {
        let code = QrCode::with_error_correction_level(LINK, EcLevel::L).expect("encodes");
        for palette in [Palette::Colour, Palette::Plain] {
            let picture = picture(LINK, 80, 40, palette).expect("fits");
            let dark: Vec<bool> = code
                .to_colors()
                .into_iter()
                .map(|module| module == Color::Dark)
                .collect();
            assert_eq!(modules(&picture, palette), dark, "{palette:?}");
        }
    }

    #[test]
    fn an_ordinary_link_leaves_room_for_the_text_on_24_lines() {
        let picture = picture(LINK, 80, 18, Palette::Plain).expect("fits");
        assert!(picture.lines().count() <= 18);
        assert!(picture.lines().all(|line| line.chars().count() <= 40));
    }

    #[test]
    fn no_picture_rather_than_a_cut_one() {
        assert_eq!(picture(LINK, 30, 40, Palette::Plain), None);
        assert_eq!(picture(LINK, 80, 10, Palette::Plain), None);
        assert_eq!(picture(&"x".repeat(5000), 1000, 1000, Palette::Plain), None);
    }
}
