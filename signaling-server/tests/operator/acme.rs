//! Certificates from an authority: Pebble, the test server of Let's Encrypt's makers, which really looks at the
//! server's port.

use crate::{
    common::{DEADLINE, TestServer},
    http::over,
    tls::{connect, secured},
};
use serde_json::json;
use signaling_server::{Acme, AcmeConfig, Tls};
use std::{fs, net::SocketAddr, path::Path, process::Stdio, time::Duration};
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

/// The name that is ordered; Pebble finds it on this machine.
const NAME: &str = "localhost";

/// A port that nobody listens at. Pebble takes numbers only.
fn free() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

struct Pebble {
    /// What its own server is trusted by.
    trust: TempDir,
    address: SocketAddr,
    management: SocketAddr,
    child: Option<Child>,
}

impl Pebble {
    /// One that does not run yet.
    fn new() -> Self {
        let trust = tempfile::tempdir().unwrap();
        Tls::self_signed(Some(trust.path()), &[]).unwrap();
        Self {
            trust,
            address: free(),
            management: free(),
            child: None,
        }
    }

    fn config(&self, cache: &Path) -> AcmeConfig {
        AcmeConfig {
            names: vec![NAME.to_owned()],
            email: Some("admin@example.org".to_owned()),
            directory: format!("https://localhost:{}/dir", self.address.port()),
            cache: cache.to_owned(),
            ca: Some(self.trust.path().join("cert.pem")),
        }
    }

    /// Runs it; it looks for names at this port.
    async fn start(&mut self, looks_at: u16) {
        let file = self.trust.path().join("pebble.json");
        let config = json!({ "pebble": {
            "listenAddress": self.address,
            "managementListenAddress": self.management,
            "certificate": self.trust.path().join("cert.pem"),
            "privateKey": self.trust.path().join("key.pem"),
            "httpPort": 1,
            "tlsPort": looks_at,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
        } });
        fs::write(&file, config.to_string()).unwrap();
        let child = Command::new("pebble")
            .arg("-config")
            .arg(&file)
            .arg("-strict")
            // It would otherwise wait for up to 15 s before it looks.
            .env("PEBBLE_VA_NOSLEEP", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("pebble is installed (scripts/test install)");
        self.child = Some(child);
        for address in [self.address, self.management] {
            let listens = async {
                while TcpStream::connect(address).await.is_err() {
                    // Nothing tells when it listens.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            timeout(DEADLINE, listens).await.expect("pebble listens");
        }
    }

    /// What it signs with, as a directory that [`connect`] trusts.
    async fn root(&self) -> TempDir {
        let stream = connect(self.management, self.trust.path()).await.unwrap();
        let answer = over(stream, "GET /roots/0", &[], "").await;
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("cert.pem"), answer.body).unwrap();
        directory
    }
}

#[tokio::test]
async fn a_certificate_is_ordered_kept_and_shown() {
    let cache = tempfile::tempdir().unwrap();
    let mut pebble = Pebble::new();
    let acme = Acme::new(pebble.config(cache.path())).unwrap();
    let tls = acme.tls();
    let placeholder = tls.fingerprint();
    let server = TestServer::with_config(secured(&tls)).await;
    pebble.start(server.address.port()).await;
    let root = pebble.root().await;
    let early = connect(server.address, root.path()).await;
    assert!(early.is_err(), "nobody has signed it yet");

    let keeping = AbortOnDropHandle::new(tokio::spawn(acme.keep()));
    let ordered = async {
        while tls.fingerprint() == placeholder {
            // Nothing tells when it changes.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE * 3, ordered).await.expect("a certificate");
    let stream = connect(server.address, root.path()).await.unwrap();
    assert_eq!(over(stream, "GET /healthz", &[], "").await.status, 200);
    drop(keeping);

    // It is there at once the next time, and no other one is ordered: the authority is gone.
    drop(pebble.child.take());
    let again = Acme::new(pebble.config(cache.path())).unwrap();
    assert_eq!(again.tls().fingerprint(), tls.fingerprint());
    #[cfg(unix)]
    for entry in fs::read_dir(cache.path()).unwrap() {
        use std::os::unix::fs::PermissionsExt;
        for file in fs::read_dir(entry.unwrap().path()).unwrap() {
            let mode = file.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "account and key are nobody else's");
        }
    }
}
