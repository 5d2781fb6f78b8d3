//! As much of descriptions (RFC 8866, RFC 3264) as is needed to see who understands what.

/// A section of sound, pictures or channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    /// `audio`, `video` or `application`.
    pub(super) kind: String,
    /// Port 0: it is refused (RFC 3264 section 6).
    pub(super) refused: bool,
    /// The names of its codecs in capital letters, without what only carries others.
    pub(super) codecs: Vec<String>,
}

/// Formats that carry others or repair them, and are no codecs.
const HELPERS: [&str; 6] = [
    "RTX",
    "RED",
    "ULPFEC",
    "FLEXFEC-03",
    "CN",
    "TELEPHONE-EVENT",
];

/// Payload types that have a codec without a line of their own (RFC 3551 section 6).
const STATIC: [(&str, &str); 3] = [("0", "PCMU"), ("8", "PCMA"), ("9", "G722")];

/// The sections of a description, in their order.
pub(super) fn sections(sdp: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for line in sdp.lines() {
        if let Some(media) = line.strip_prefix("m=") {
            let words: Vec<&str> = media.split(' ').collect();
            let formats = words.get(3..).unwrap_or_default();
            let fixed = STATIC.iter().filter(|(number, _)| formats.contains(number));
            sections.push(Section {
                kind: words.first().copied().unwrap_or_default().to_owned(),
                refused: words.get(1).is_some_and(|port| *port == "0"),
                codecs: fixed.map(|(_, name)| (*name).to_owned()).collect(),
            });
        } else if let (Some(map), Some(section)) =
            (line.strip_prefix("a=rtpmap:"), sections.last_mut())
        {
            let name = map.split_once(' ').map_or("", |(_, format)| format);
            let name = name
                .split('/')
                .next()
                .unwrap_or_default()
                .to_ascii_uppercase();
            if !HELPERS.contains(&name.as_str()) && !section.codecs.contains(&name) {
                section.codecs.push(name);
            }
        }
    }
    sections
}
