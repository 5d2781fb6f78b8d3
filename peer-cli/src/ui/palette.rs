//! Colour, where the terminal and its user want it.

/// Which colours may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Palette {
    /// ANSI colours.
    Colour,
    /// The terminal's own two colours only.
    Plain,
}

impl Palette {
    /// The thing to read first.
    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// Something went wrong.
    pub(crate) fn alarm(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    /// It is as it should be.
    pub(crate) fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// What is not new.
    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// A name, always in the same one of the colours that can be read on light and dark.
    pub(crate) fn tint(self, name: &str) -> String {
        const COLOURS: [&str; 6] = ["1;31", "1;32", "1;33", "1;34", "1;35", "1;36"];
        let sum: usize = name.bytes().map(usize::from).sum();
        self.wrap(COLOURS[sum % COLOURS.len()], name)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        match self {
            Self::Colour => format!("\x1b[{code}m{text}\x1b[0m"),
            Self::Plain => text.to_owned(),
        }
    }
}
