//! TURN servers for tests: ours, and coturn, with a certificate that clients are told to trust.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use signaling_protocol::Secret;
use signaling_server::{Config, Server, Tls, TurnConfig};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::harness::Signaling;

pub(crate) const SECRET: &str = "what both servers of a test know";

/// A certificate for one address, by an authority of its own.
pub(crate) struct Certificate {
    _directory: tempfile::TempDir,
    pub(crate) authority: PathBuf,
    chain: PathBuf,
    key: PathBuf,
}

impl Certificate {
    pub(crate) fn of(address: IpAddr) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = authority.self_signed(&key).unwrap();
        let issuer = Issuer::new(authority, key);
        let own = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![address.to_string()]).unwrap();
        let leaf = params.signed_by(&own, &issuer).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, pem: String| {
            let path = directory.path().join(name);
            std::fs::write(&path, pem).unwrap();
            path
        };
        Self {
            authority: write("authority.pem", root.pem()),
            chain: write("chain.pem", leaf.pem()),
            key: write("key.pem", own.serialize_pem()),
            _directory: directory,
        }
    }
}

/// A TURN server; dropping it ends it.
pub(crate) struct Turn {
    pub(crate) certificate: Certificate,
    host: IpAddr,
    port: u16,
    tls_port: u16,
    _running: Running,
}

enum Running {
    Ours(#[expect(dead_code, reason = "aborted when dropped")] AbortOnDrop),
    Coturn(#[expect(dead_code, reason = "killed when dropped")] Child),
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Turn {
    /// The server inside, reached at `host`.
    pub(crate) fn ours(host: Ipv4Addr) -> Self {
        let certificate = Certificate::of(host.into());
        let server = Server::bind(Config {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            turn: Some(TurnConfig {
                listen: vec![(host, 0).into()],
                tls: Some(Tls::from_files(&certificate.chain, &certificate.key).unwrap()),
                ..TurnConfig::default()
            }),
            turn_secret: Some(Secret::new(SECRET)),
            ..Config::default()
        })
        .unwrap();
        let port = server.turn_addrs()[0].port();
        let task = tokio::spawn(server.run(std::future::pending()));
        Self {
            certificate,
            host: host.into(),
            port,
            tls_port: port,
            _running: Running::Ours(AbortOnDrop(task)),
        }
    }

    /// coturn on loopback.
    pub(crate) async fn coturn() -> Self {
        let host = Ipv4Addr::LOCALHOST;
        let certificate = Certificate::of(host.into());
        let free = || TcpListener::bind((host, 0)).unwrap();
        let (first, second) = (free(), free());
        let (port, tls_port) = (
            first.local_addr().unwrap().port(),
            second.local_addr().unwrap().port(),
        );
        drop((first, second));
        let child = Command::new("turnserver")
            .args([
                "-n",
                "--no-cli",
                "--fingerprint",
                "--use-auth-secret",
                "--allow-loopback-peers",
            ])
            .args([
                "--realm=test",
                "--log-file=stdout",
                "--listening-ip=127.0.0.1",
                "--relay-ip=127.0.0.1",
            ])
            .arg(format!("--static-auth-secret={SECRET}"))
            .arg(format!("--listening-port={port}"))
            .arg(format!("--tls-listening-port={tls_port}"))
            .arg(format!("--cert={}", certificate.chain.display()))
            .arg(format!("--pkey={}", certificate.key.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("coturn is missing: run `scripts/test install`");
        let deadline = Instant::now() + Duration::from_secs(20);
        for port in [port, tls_port] {
            let address = SocketAddr::from((host, port));
            while TcpStream::connect(address).is_err() {
                assert!(Instant::now() < deadline, "coturn does not listen");
                tokio::task::yield_now().await;
            }
        }
        Self {
            certificate,
            host: host.into(),
            port,
            tls_port,
            _running: Running::Coturn(child),
        }
    }

    pub(crate) fn tls_port(&self) -> u16 {
        self.tls_port
    }

    pub(crate) fn url(&self, transport: &str) -> String {
        let Self {
            host,
            port,
            tls_port,
            ..
        } = self;
        match transport {
            "tls" => format!("turns:{host}:{tls_port}?transport=tcp"),
            other => format!("turn:{host}:{port}?transport={other}"),
        }
    }

    /// A signaling server that tells peers of this one, at one transport.
    pub(crate) fn signaling(&self, listen: Ipv4Addr, transport: &str) -> Signaling {
        Signaling::with(Config {
            listen: (listen, 0).into(),
            turn_uris: vec![self.url(transport)],
            turn_secret: Some(Secret::new(SECRET)),
            ..Config::default()
        })
    }
}
