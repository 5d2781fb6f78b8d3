//! How many sections a peer describes over the life of a session. Pure.

use super::SessionError;
use std::collections::HashSet;

/// Most sections of a session. Browsers use those again that were stopped, so that hours of cameras and screens that come
/// and go take some dozens.
const MOST: usize = 1024;

/// Longest name of a section; browsers count.
const LONGEST: usize = 64;

/// The names of all sections that the peer ever described: the engine keeps a transceiver for each.
#[derive(Debug, Default)]
pub(super) struct Sections(HashSet<String>);

impl Sections {
    /// The peer describes these.
    pub(super) fn described(&mut self, sdp: &str) -> Result<(), SessionError> {
        let names = sdp.lines().filter_map(|line| line.strip_prefix("a=mid:"));
        for name in names.map(str::trim_end) {
            if name.len() > LONGEST {
                return Err(SessionError::Protocol(
                    "a section of it has too long a name",
                ));
            }
            if self.0.len() == MOST && !self.0.contains(name) {
                return Err(SessionError::Protocol("it describes ever new sections"));
            }
            self.0.insert(name.to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_may_come_for_ever_and_new_ones_may_not() {
        let mut sections = Sections::default();
        let offer = |from: usize| -> String {
            let section = |number| format!("m=video 9 X 96\r\na=mid:{number}\r\n");
            (from..from + 64).map(section).collect()
        };
        for from in (0..MOST).step_by(64) {
            sections.described(&offer(from)).unwrap();
            sections.described(&offer(0)).unwrap();
        }
        assert!(sections.described(&offer(1)).is_ok());
        assert!(sections.described(&offer(MOST - 63)).is_err());
        let long = format!("a=mid:{}\r\n", "x".repeat(LONGEST + 1));
        assert!(Sections::default().described(&long).is_err());
    }
}
