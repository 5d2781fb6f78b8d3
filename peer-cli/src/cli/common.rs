//! The arguments of every command that opens a line, and the choices that they come down to.

use std::time::Duration;

use peerline::session::PathPolicy;
use peerline::signaling::{Fingerprint, ServerUrl};
use signaling_protocol::{IceServer, Secret};

use crate::address::IceUrl;
use crate::ui::Audience;

/// Longest `--timeout`: a week. Beyond that a typing mistake is likelier than patience.
const LONGEST_TIMEOUT: f64 = 7.0 * 86_400.0;

/// What every command that opens a line understands.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Common {
    /// Signaling server to meet at; without one, both sides find each other on this computer or
    /// the local network
    #[arg(
        long,
        value_name = "URL",
        env = "PEERLINE_SERVER",
        help_heading = "Connection"
    )]
    server: Option<ServerUrl>,

    /// Certificate that this server has to show, as `signaling-server --tls-self-signed` prints it
    #[arg(
        long,
        value_name = "SHA256",
        env = "PEERLINE_SERVER_FINGERPRINT",
        help_heading = "Connection"
    )]
    server_fingerprint: Option<Fingerprint>,

    /// Token for the server of --server, if it asks for one; better given in the environment, where
    /// others cannot see it
    #[arg(
        long,
        value_name = "TOKEN",
        env = "PEERLINE_TOKEN",
        hide_env_values = true,
        help_heading = "Connection"
    )]
    token: Option<String>,

    /// Give up if the other side is not connected after this many seconds [default: wait]
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = timeout,
        allow_negative_numbers = true,
        help_heading = "Connection"
    )]
    pub(crate) timeout: Option<Duration>,

    /// Only connect through a TURN server, which hides the addresses of both sides
    #[arg(long, conflicts_with = "direct_only", help_heading = "Connection")]
    relay_only: bool,

    /// Only connect directly, never through a TURN server
    #[arg(long, help_heading = "Connection")]
    direct_only: bool,

    /// STUN server to learn the own public address from; may be repeated
    #[arg(long, value_name = "URL", value_parser = IceUrl::stun, help_heading = "Connection")]
    stun: Vec<IceUrl>,

    /// TURN server to relay through; may be repeated
    #[arg(long, value_name = "URL", value_parser = IceUrl::turn, help_heading = "Connection")]
    turn: Vec<IceUrl>,

    /// User name at the TURN servers
    #[arg(
        long,
        value_name = "NAME",
        env = "PEERLINE_TURN_USER",
        help_heading = "Connection"
    )]
    turn_user: Option<String>,

    /// Password at the TURN servers; better given in the environment, where others cannot see it
    #[arg(
        long,
        value_name = "PASSWORD",
        env = "PEERLINE_TURN_PASSWORD",
        hide_env_values = true,
        help_heading = "Connection"
    )]
    turn_password: Option<String>,

    /// Print events as JSON, one object a line, on stdout
    #[arg(long, conflicts_with = "quiet", help_heading = "Output")]
    json: bool,

    /// Print only the code, questions and errors
    #[arg(short, long, help_heading = "Output")]
    quiet: bool,

    /// Log what happens on stderr, with times; -vv and -vvv say more
    #[arg(short, long, action = clap::ArgAction::Count, help_heading = "Output")]
    pub(crate) verbose: u8,
}

impl Common {
    /// Who listens.
    pub(crate) fn audience(&self) -> Audience {
        match (self.json, self.quiet) {
            (true, _) => Audience::Scripts,
            (_, true) => Audience::Quiet,
            _ => Audience::People,
        }
    }

    /// The server that `--server` names, with the certificate that it has to show.
    pub(crate) fn server(&self) -> Option<ServerUrl> {
        let server = self.server.clone()?;
        Some(self.pinned(server))
    }

    /// A server of a link, with the certificate that it has to show if it is the one of `--server`, or if
    /// there is no `--server` that the fingerprint could be of.
    pub(crate) fn server_of_link(&self, link: ServerUrl) -> ServerUrl {
        let pinned = self.pinned(link.clone());
        match self.server() {
            Some(named) if named.page() != pinned.page() => link,
            _ => pinned,
        }
    }

    /// The token, if it is for this server: a link can lead anywhere, and what is found on the network can
    /// be anybody's.
    pub(crate) fn token_for(&self, server: &ServerUrl) -> Option<Secret> {
        let (named, token) = (self.server()?, self.token.as_deref()?);
        (named.page() == server.page()).then(|| Secret::new(token))
    }

    fn pinned(&self, server: ServerUrl) -> ServerUrl {
        match self.server_fingerprint {
            Some(fingerprint) => server.pinned(fingerprint),
            None => server,
        }
    }

    /// `--relay-only` and `--direct-only` as one choice.
    pub(crate) fn paths(&self) -> PathPolicy {
        match (self.relay_only, self.direct_only) {
            (true, _) => PathPolicy::RelayOnly,
            (_, true) => PathPolicy::DirectOnly,
            _ => PathPolicy::Any,
        }
    }

    /// The STUN and TURN servers of `--stun` and `--turn`, in that order.
    pub(crate) fn ice_servers(&self) -> Vec<IceServer> {
        let stun = self.stun.iter().map(|url| (url, None, None));
        let turn = self.turn.iter().map(|url| {
            (
                url,
                self.turn_user.clone(),
                self.turn_password.as_deref().map(Secret::new),
            )
        });
        stun.chain(turn)
            .map(|(url, username, credential)| IceServer {
                urls: vec![url.as_str().to_owned()],
                username,
                credential,
            })
            .collect()
    }
}

pub(crate) fn timeout(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= LONGEST_TIMEOUT => {
            Ok(Duration::from_secs_f64(seconds))
        }
        _ => Err("it is not a number of seconds above 0 and up to a week".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Parsed;
    use super::super::tests::parse_words;
    use super::*;

    fn common(words: &[&str]) -> Common {
        match parse_words(words) {
            Ok(Parsed::Run(cli)) => cli.command.common().expect("opens a line").clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn common_arguments_become_choices() {
        let plain = common(&["send-file", "x"]);
        assert_eq!(
            (plain.audience(), plain.paths()),
            (Audience::People, PathPolicy::Any)
        );
        assert_eq!(plain.timeout, None);
        assert_eq!(plain.ice_servers(), []);

        let full = common(&[
            "receive-file",
            "--json",
            "--relay-only",
            "--timeout",
            "2.5",
            "-vv",
            "--stun",
            "stun:s",
            "--turn",
            "turn:t",
            "--turn-user",
            "u",
            "--turn-password",
            "p",
        ]);
        assert_eq!(
            (full.audience(), full.paths()),
            (Audience::Scripts, PathPolicy::RelayOnly)
        );
        assert_eq!(full.timeout, Some(Duration::from_millis(2500)));
        assert_eq!(full.verbose, 2);
        let servers = full.ice_servers();
        assert_eq!(
            servers[0],
            IceServer {
                urls: vec!["stun:s".into()],
                username: None,
                credential: None
            }
        );
        assert_eq!(servers[1].credential, Some(Secret::new("p")));
        assert_eq!(
            common(&["send-file", "-q", "--direct-only", "x"]).paths(),
            PathPolicy::DirectOnly
        );
    }

    #[test]
    fn a_token_goes_to_the_server_that_was_named_and_to_no_other() {
        let token = |words: &[&str], server: &str| {
            let common = common(&[&["send-file", "x", "--token", "t"], words].concat());
            common.token_for(&server.parse().unwrap()).is_some()
        };
        let named = ["--server", "https://h.example"];
        assert!(token(&named, "https://h.example/"));
        assert!(!token(&named, "https://evil.example/"));
        assert!(!token(&named, "http://h.example/"), "not in the clear");
        assert!(!token(&named, "https://h.example:444/"));
        assert!(!token(&[], "https://h.example/"), "a link, or found");
    }

    #[test]
    fn a_fingerprint_is_of_the_server_that_was_named() {
        let print = format!("sha256:{}", "0a".repeat(32));
        let pinned = common(&[
            "send-file",
            "x",
            "--server",
            "10.0.0.1:8787",
            "--server-fingerprint",
            &print,
        ]);
        let server = pinned.server().unwrap();
        assert_eq!(server.page(), "https://10.0.0.1:8787/");
        assert_eq!(server.pin().unwrap().to_string(), print);
        let other = pinned.server_of_link("https://h.example".parse().unwrap());
        assert_eq!(other.pin(), None);
        let same = pinned.server_of_link("https://10.0.0.1:8787".parse().unwrap());
        assert_eq!(same, server);
        let alone = common(&["send-file", "x", "--server-fingerprint", &print]);
        let link = alone.server_of_link("https://h.example".parse().unwrap());
        assert!(link.pin().is_some());
    }
}
