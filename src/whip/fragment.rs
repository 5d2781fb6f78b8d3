//! Fragments of session descriptions that carry ICE and nothing else (RFC 8840 section 9), and what they change in a
//! whole one.
//!
//! Pure.

use signaling_protocol::IceCandidate;

/// Largest fragment: 64 candidates of 200 bytes fit.
pub(super) const MAX_FRAGMENT: usize = 16 << 10;

/// Lengths of a username fragment and of a password (RFC 8839 section 5.4).
const UFRAG: std::ops::RangeInclusive<usize> = 4..=256;
const PASSWORD: std::ops::RangeInclusive<usize> = 22..=256;

/// What names an ICE session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) ufrag: String,
    pub(super) password: String,
}

/// A fragment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fragment {
    /// Absent if it says nothing of its session.
    pub(super) credentials: Option<Credentials>,
    /// Each with the section that it is of.
    pub(super) candidates: Vec<IceCandidate>,
    /// There will be no more.
    pub(super) is_last: bool,
}

/// Not a fragment, or one that no honest peer sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Malformed(pub(super) &'static str);

impl Fragment {
    /// Reads one.
    pub(super) fn parse(text: &str) -> Result<Self, Malformed> {
        if text.len() > MAX_FRAGMENT {
            return Err(Malformed("the fragment is too large"));
        }
        let mut fragment = Self::default();
        let (mut ufrag, mut password, mut mid) = (None, None, None);
        let mut section: Option<u16> = None;
        for line in text.lines().map(str::trim_end) {
            let attribute = match line.split_once('=') {
                Some(("a", attribute)) => attribute,
                Some(("m", _)) => {
                    section = Some(section.map_or(0, |index| index.saturating_add(1)));
                    mid = None;
                    continue;
                }
                // Nothing else is of use, and a description in its whole length may be sent, too.
                Some((name, _)) if name.len() == 1 => continue,
                _ if line.is_empty() => continue,
                _ => return Err(Malformed("a line of the fragment has no type")),
            };
            match attribute.split_once(':') {
                Some(("ice-ufrag", value)) => ufrag = ufrag.or(Some(value)),
                Some(("ice-pwd", value)) => password = password.or(Some(value)),
                Some(("mid", value)) => mid = Some(value),
                Some(("candidate", _)) => fragment.candidates.push(IceCandidate {
                    candidate: attribute.to_owned(),
                    sdp_mid: mid.map(str::to_owned),
                    sdp_m_line_index: section.or(Some(0)).filter(|_| mid.is_none()),
                    username_fragment: None,
                }),
                None if attribute == "end-of-candidates" => fragment.is_last = true,
                _ => {}
            }
        }
        fragment.credentials = match (ufrag, password) {
            (None, None) => None,
            (Some(ufrag), Some(password)) => Some(Credentials::new(ufrag, password)?),
            _ => return Err(Malformed("ice-ufrag and ice-pwd belong together")),
        };
        if let Some(credentials) = &fragment.credentials {
            for candidate in &mut fragment.candidates {
                candidate.username_fragment = Some(credentials.ufrag.clone());
            }
        }
        Ok(fragment)
    }

    /// Writes one of the first section of `description`, which all others are bundled with.
    pub(super) fn write(&self, description: &str) -> String {
        let mut text = String::new();
        let mut line = |line: &str| {
            text.push_str(line);
            text.push_str("\r\n");
        };
        let lines = || description.lines().map(str::trim_end);
        lines()
            .filter(|line| {
                line.starts_with("a=group:BUNDLE ") || line.starts_with("a=ice-options:")
            })
            .take_while(|line| !line.starts_with("m="))
            .take(2)
            .for_each(&mut line);
        if let Some(Credentials { ufrag, password }) = &self.credentials {
            line(&format!("a=ice-ufrag:{ufrag}"));
            line(&format!("a=ice-pwd:{password}"));
        }
        lines()
            .find(|line| line.starts_with("m="))
            .into_iter()
            .for_each(&mut line);
        lines()
            .find(|line| line.starts_with("a=mid:"))
            .into_iter()
            .for_each(&mut line);
        for candidate in &self.candidates {
            line(&attribute(&candidate.candidate));
        }
        if self.is_last {
            line("a=end-of-candidates");
        }
        text
    }
}

fn attribute(candidate: &str) -> String {
    match candidate.starts_with("candidate:") {
        true => format!("a={candidate}"),
        false => format!("a=candidate:{candidate}"),
    }
}

impl Credentials {
    fn new(ufrag: &str, password: &str) -> Result<Self, Malformed> {
        let is_ice = |text: &str| {
            text.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte))
        };
        if !UFRAG.contains(&ufrag.len()) || !is_ice(ufrag) {
            return Err(Malformed("ice-ufrag is not one"));
        }
        if !PASSWORD.contains(&password.len()) || !is_ice(password) {
            return Err(Malformed("ice-pwd is not one"));
        }
        Ok(Self {
            ufrag: ufrag.into(),
            password: password.into(),
        })
    }

    /// Those of a description, whose first ones are everybody's.
    pub(super) fn of(description: &str) -> Result<Self, Malformed> {
        let find = |name: &str| {
            let value = |line: &'_ str| line.trim_end().strip_prefix(name).map(str::to_owned);
            description.lines().find_map(value)
        };
        match (find("a=ice-ufrag:"), find("a=ice-pwd:")) {
            (Some(ufrag), Some(password)) => Self::new(&ufrag, &password),
            _ => Err(Malformed("the description has no ice-ufrag and ice-pwd")),
        }
    }

    /// The same description in this ICE session, of which no candidates are known.
    pub(super) fn put_into(&self, description: &str) -> String {
        let mut text = String::with_capacity(description.len());
        for line in description.lines().map(str::trim_end) {
            if is_of_candidates(line) {
                continue;
            }
            if line.starts_with("a=ice-ufrag:") {
                text.push_str("a=ice-ufrag:");
                text.push_str(&self.ufrag);
            } else if line.starts_with("a=ice-pwd:") {
                text.push_str("a=ice-pwd:");
                text.push_str(&self.password);
            } else {
                text.push_str(line);
            }
            text.push_str("\r\n");
        }
        text
    }
}

fn is_of_candidates(line: &str) -> bool {
    line.starts_with("a=candidate:") || line == "a=end-of-candidates"
}

/// A description with these candidates in its first section, which all others are bundled with, and no others.
pub(super) fn with_candidates(
    description: &str,
    candidates: &[IceCandidate],
    is_last: bool,
) -> String {
    let mut text = String::with_capacity(description.len() + 128 * candidates.len());
    let (mut section, mut written) = (0, false);
    let put = |text: &mut String| {
        for candidate in candidates {
            text.push_str(&attribute(&candidate.candidate));
            text.push_str("\r\n");
        }
        if is_last {
            text.push_str("a=end-of-candidates\r\n");
        }
    };
    for line in description.lines().map(str::trim_end) {
        if is_of_candidates(line) {
            continue;
        }
        if line.starts_with("m=") {
            if section == 1 && !written {
                put(&mut text);
                written = true;
            }
            section += 1;
        }
        text.push_str(line);
        text.push_str("\r\n");
    }
    if !written {
        put(&mut text);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CANDIDATE: &str = "candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host";

    fn candidate(mid: Option<&str>, index: Option<u16>, ufrag: Option<&str>) -> IceCandidate {
        IceCandidate {
            candidate: CANDIDATE.into(),
            sdp_mid: mid.map(Into::into),
            sdp_m_line_index: index,
            username_fragment: ufrag.map(Into::into),
        }
    }

    #[test]
    fn fragments_are_read() {
        // RFC 9725 section 4.3.2, and as shorter ones come.
        let full = format!(
            "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\na={CANDIDATE}\r\na=end-of-candidates\r\n"
        );
        let fragment = Fragment::parse(&full).unwrap();
        let credentials = fragment.credentials.clone().unwrap();
        assert_eq!(credentials.ufrag, "EsAw");
        assert_eq!(
            fragment.candidates,
            [candidate(Some("0"), None, Some("EsAw"))]
        );
        assert!(fragment.is_last);
        let bare = Fragment::parse(&format!("a={CANDIDATE}\n")).unwrap();
        assert_eq!(bare.candidates, [candidate(None, Some(0), None)]);
        assert_eq!((bare.credentials, bare.is_last), (None, false));
        assert_eq!(Fragment::parse("").unwrap(), Fragment::default());
        let written = fragment.write(
            "v=0\r\na=group:BUNDLE 0 1\r\nm=audio 9 X 0\r\na=mid:0\r\nm=video 9 X 1\r\na=mid:1\r\n",
        );
        assert!(
            written.starts_with("a=group:BUNDLE 0 1\r\na=ice-ufrag:EsAw\r\n"),
            "{written}"
        );
        assert_eq!(Fragment::parse(&written).unwrap(), fragment);
    }

    #[test]
    fn what_is_no_fragment_is_refused() {
        for text in [
            "candidate",
            "a=ice-ufrag:abcd\r\n",
            "a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n",
            "a=ice-ufrag:abc\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n",
            "a=ice-ufrag:abcd\r\na=ice-pwd:short\r\n",
            "a=ice-ufrag:ab d\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n",
            &"a=x\r\n".repeat(MAX_FRAGMENT / 4),
        ] {
            assert!(Fragment::parse(text).is_err(), "{text:.40}");
        }
    }

    #[test]
    fn a_description_gets_another_ice_session_and_candidates() {
        let sdp = "v=0\r\nm=audio 9 X 0\r\na=ice-ufrag:aaaa\r\na=ice-pwd:b\r\na=candidate:old\r\na=mid:0\r\nm=video 9 X 1\r\na=ice-ufrag:aaaa\r\na=ice-pwd:b\r\na=end-of-candidates\r\n";
        let new = Credentials::new("cccc", &"d".repeat(22)).unwrap();
        let restarted = new.put_into(sdp);
        assert_eq!(restarted.matches("a=ice-ufrag:cccc\r\n").count(), 2);
        assert!(!restarted.contains("candidate") && !restarted.contains("aaaa"));
        assert_eq!(Credentials::of(&restarted), Ok(new));
        let full = with_candidates(&restarted, &[candidate(None, None, None)], true);
        let at = |text: &str| full.find(text).unwrap();
        assert!(at("a=mid:0") < at(CANDIDATE) && at(CANDIDATE) < at("a=end-of-candidates"));
        assert!(at("a=end-of-candidates") < at("m=video"));
        let only = with_candidates(
            "v=0\r\nm=audio 9 X 0\r\n",
            &[candidate(None, None, None)],
            false,
        );
        assert_eq!(only, format!("v=0\r\nm=audio 9 X 0\r\na={CANDIDATE}\r\n"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(([a-z]=)?[a-z:-]{0,20} ?[ -~]{0,40}\r?\n){0,20}") {
            let _ = Credentials::of(&text);
            let _ = with_candidates(&text, &[], true);
            if let Ok(fragment) = Fragment::parse(&text) {
                let again = Fragment::parse(&fragment.write(""));
                prop_assert_eq!(again.map(|again| again.candidates.len()), Ok(fragment.candidates.len()));
            }
        }
    }
}
