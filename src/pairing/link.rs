//! Links: the server's page with the code as fragment, which browsers never send to the server.

use super::code::{Code, CodeError};
use std::str::FromStr;

/// What one gets from somebody else: a bare code, or a link that also names the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// The server's page, as in `https://host:8787/`; none in a bare code.
    pub server: Option<String>,
    /// The code.
    pub code: Code,
}

impl Code {
    /// The link that opens the server's page at `page` with this code: `https://host/#7-crane-velvet-orbit`.
    pub fn link(&self, page: &str) -> String {
        let page = page.split('#').next().unwrap_or_default();
        // A URL without a path has the path `/`; a page below a path is linked as it is.
        let path = page.split_once("://").map_or(page, |(_, rest)| rest);
        let slash = if path.contains('/') { "" } else { "/" };
        format!("{page}{slash}#{self}")
    }
}

/// Reads a code or a link.
impl FromStr for Invitation {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        let text = text.trim();
        match text.split_once('#') {
            Some((page, code)) => {
                let server = (!page.is_empty()).then(|| page.to_owned());
                Ok(Self {
                    server,
                    code: code.parse()?,
                })
            }
            None if text.contains("://") => Err(CodeError::LinkWithoutCode),
            None => Ok(Self {
                server: None,
                code: text.parse()?,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_written_and_read_back() {
        let code: Code = "7-crane-velvet-orbit".parse().unwrap();
        for (page, link) in [
            ("https://host", "https://host/#7-crane-velvet-orbit"),
            ("https://host/", "https://host/#7-crane-velvet-orbit"),
            (
                "http://10.0.0.2:8787",
                "http://10.0.0.2:8787/#7-crane-velvet-orbit",
            ),
            (
                "https://host/line/",
                "https://host/line/#7-crane-velvet-orbit",
            ),
            (
                "https://host/page#old",
                "https://host/page#7-crane-velvet-orbit",
            ),
        ] {
            assert_eq!(code.link(page), link);
            let invitation: Invitation = link.parse().unwrap();
            assert_eq!(invitation.code, code);
            assert_eq!(invitation.server.as_deref(), link.split('#').next());
        }
    }

    #[test]
    fn bare_codes_and_broken_links() {
        let bare: Invitation = " 7 crane velvet orbit ".parse().unwrap();
        assert_eq!(bare.server, None);
        assert_eq!(bare, "#7-crane-velvet-orbit".parse().unwrap());
        assert_eq!(
            "https://host/".parse::<Invitation>(),
            Err(CodeError::LinkWithoutCode)
        );
        assert_eq!(
            "https://host/#".parse::<Invitation>(),
            Err(CodeError::Empty)
        );
    }
}
