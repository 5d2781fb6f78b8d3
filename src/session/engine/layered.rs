//! Sections in which the peer sends a picture in layers (RFC 8853), described once more. Pure.
//!
//! The engine learns which stream is which layer from header extensions that browsers send until they hear that it
//! arrived. Each description makes it forget that, if it names the track of the section, and what comes from then on is
//! dropped for good. So the track is named once only.

use std::collections::HashMap;

/// Those that the engine knows: the section, and its track.
#[derive(Debug, Default)]
pub(super) struct Layered(HashMap<String, String>);

impl Layered {
    /// What the engine is told of a description of the peer.
    pub(super) fn told(&mut self, sdp: &str) -> String {
        let mut lines: Vec<&str> = sdp.split_inclusive('\n').collect();
        let starts = lines.iter().enumerate();
        let mut starts: Vec<_> = starts
            .filter(|(_, line)| line.starts_with("m="))
            .map(|(index, _)| index)
            .collect();
        starts.push(lines.len());
        for section in starts.windows(2) {
            let section = &mut lines[section[0]..section[1]];
            if self.is_known(section) {
                let names_track = |line: &&mut &str| {
                    let names = ["a=msid:", "a=ssrc:", "a=ssrc-group:"];
                    names.iter().any(|name| line.starts_with(name))
                };
                for line in section.iter_mut().filter(names_track) {
                    *line = "";
                }
            }
        }
        lines.concat()
    }

    /// Whether the engine knows the layers of a section; it does afterwards.
    fn is_known(&mut self, section: &[&str]) -> bool {
        let value = |name: &str| {
            let mut lines = section.iter();
            lines.find_map(|line| line.trim_end().strip_prefix(name))
        };
        let Some(mid) = value("a=mid:") else {
            return false;
        };
        let is_sent = value("a=recvonly").is_none() && value("a=inactive").is_none();
        let track = value("a=msid:").filter(|_| is_sent && value("a=rid:").is_some());
        let Some(track) = track else {
            self.0.remove(mid);
            return false;
        };
        self.0.insert(mid.to_owned(), track.to_owned()).as_deref() == Some(track)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description(track: &str, direction: &str) -> String {
        format!(
            "v=0\r\nm=audio 9 X 111\r\na=mid:0\r\na=msid:s a\r\na=ssrc:1 cname:c\r\n\
             m=video 9 X 96\r\na=mid:1\r\na={direction}\r\na=msid:s {track}\r\na=ssrc:2 cname:c\r\n\
             a=rid:q send\r\na=simulcast:send q;f\r\nm=video 9 X 96\r\na=mid:2\r\na=msid:s v\r\n"
        )
    }

    #[test]
    fn a_track_in_layers_is_named_once() {
        let mut layered = Layered::default();
        let first = description("v", "sendrecv");
        assert_eq!(layered.told(&first), first);
        let again = layered.told(&first);
        let expected = first.replace("a=msid:s v\r\na=ssrc:2 cname:c\r\na=rid", "a=rid");
        assert_eq!(again, expected);
        let other = description("w", "sendonly");
        assert_eq!(layered.told(&other), other, "it is another one");
        let idle = description("w", "inactive");
        assert_eq!(layered.told(&idle), idle);
        assert_eq!(layered.told(&other), other, "it was stopped in between");
        assert_eq!(layered.told(""), "");
    }
}
