//! Requests that the server, or its command line, makes: small, bounded, one connection each. Redirects
//! are not followed.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    client::conn::http1,
    header::{self, HeaderValue},
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use signaling_protocol::Secret;
use std::{path::Path, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;
use url::{Host, Url};

/// Where requests go.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    url: Url,
    tls: Option<Arc<ClientConfig>>,
    /// Most bytes of an answer that are read.
    answer_bytes: usize,
}

/// Why an address cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    #[error("it is not an http or https URL")]
    Url,
    #[error("it must not have a user name, password or fragment in it")]
    Credentials,
    #[error("outside a private network it has to be https: tokens travel there")]
    Plain,
    #[error("{0}")]
    Trust(String),
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("{0}")]
    Network(String),
}

impl Endpoint {
    /// Takes an address; `ca` is whom to trust instead of those whom the system trusts.
    pub(crate) fn new(
        url: &str,
        ca: Option<&Path>,
        answer_bytes: usize,
    ) -> Result<Self, EndpointError> {
        let url = Url::parse(url).map_err(|_| EndpointError::Url)?;
        let host = url.host().ok_or(EndpointError::Url)?;
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(EndpointError::Credentials);
        }
        let tls = match url.scheme() {
            "https" => Some(Arc::new(trust(ca)?)),
            "http" if is_private(&host) => None,
            "http" => return Err(EndpointError::Plain),
            _ => return Err(EndpointError::Url),
        };
        Ok(Self {
            url,
            tls,
            answer_bytes,
        })
    }

    /// The same server, another path.
    pub(crate) fn at(&self, path_and_query: &str) -> Result<Self, EndpointError> {
        let url = self.url.join(path_and_query);
        Ok(Self {
            url: url.map_err(|_| EndpointError::Url)?,
            tls: self.tls.clone(),
            answer_bytes: self.answer_bytes,
        })
    }

    /// Sends one request, with JSON if there is any, and reads the answer.
    pub(crate) async fn request(
        &self,
        method: Method,
        token: Option<&Secret>,
        json: Option<String>,
        limit: Duration,
    ) -> Result<(StatusCode, Bytes), RequestError> {
        let mut request = Request::builder().method(method);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        if json.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = Full::new(Bytes::from(json.unwrap_or_default()));
        let request = request.body(body).map_err(network)?;
        let response = self.send(request, limit).await?;
        Ok((response.status(), response.into_body()))
    }

    /// Sends a request, whatever address is in it, here.
    pub(crate) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
        limit: Duration,
    ) -> Result<Response<Bytes>, RequestError> {
        let query = self.url.query().map(|query| format!("?{query}"));
        let path = format!("{}{}", self.url.path(), query.unwrap_or_default());
        *request.uri_mut() = path.parse().map_err(network)?;
        let host = HeaderValue::from_str(self.url.authority()).map_err(network)?;
        let headers = request.headers_mut();
        headers.insert(header::HOST, host);
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        let answered = async {
            let stream = self.connect().await?;
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
                .await
                .map_err(network)?;
            let connection = AbortOnDropHandle::new(tokio::spawn(connection));
            let response = sender.send_request(request).await.map_err(network)?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, self.answer_bytes);
            let body = body.collect().await.map_err(network)?.to_bytes();
            drop(connection);
            Ok(Response::from_parts(head, body))
        };
        timeout(limit, answered)
            .await
            .unwrap_or(Err(RequestError::Timeout(limit)))
    }

    async fn connect(&self) -> Result<Box<dyn Duplex>, RequestError> {
        let port = self.url.port_or_known_default().unwrap_or(443);
        let host = match self.url.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(ip)) => ip.to_string(),
            Some(Host::Ipv6(ip)) => ip.to_string(),
            None => return Err(RequestError::Network("no host".to_owned())),
        };
        let stream = TcpStream::connect((host.as_str(), port))
            .await
            .map_err(network)?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let name = ServerName::try_from(host).map_err(network)?;
        let stream = TlsConnector::from(Arc::clone(tls))
            .connect(name, stream)
            .await
            .map_err(network)?;
        Ok(Box::new(stream))
    }
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn network(error: impl ToString) -> RequestError {
    RequestError::Network(error.to_string())
}

fn trust(ca: Option<&Path>) -> Result<ClientConfig, EndpointError> {
    let mut roots = RootCertStore::empty();
    match ca {
        None => {
            let loaded = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(loaded.certs);
        }
        Some(path) => {
            let unreadable = |error: &dyn ToString| {
                EndpointError::Trust(format!("{}: {}", path.display(), error.to_string()))
            };
            for certificate in
                CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))?
            {
                let certificate = certificate.map_err(|error| unreadable(&error))?;
                roots.add(certificate).map_err(|error| unreadable(&error))?;
            }
        }
    }
    if roots.is_empty() {
        let message = "there is no certificate authority to trust".to_owned();
        return Err(EndpointError::Trust(message));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| EndpointError::Trust(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// Whether this is on this machine or a network of one's own, as far as the name tells.
fn is_private(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => !name.contains('.') || name.ends_with(".local"),
        Host::Ipv4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        Host::Ipv6(ip) => ip.is_loopback() || ip.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_go_nowhere_in_the_clear() {
        for (url, good) in [
            ("https://auth.example.org/peerline?x=1", true),
            ("http://127.0.0.1:9000/", true),
            ("http://[::1]:9000/", true),
            ("http://auth:9000/", true),
            ("http://10.1.2.3/", true),
            ("http://auth.example.org/", false),
            ("http://192.0.2.1/", false),
            ("https://user:secret@auth.example.org/", false),
            ("https://auth.example.org/#x", false),
            ("ftp://auth/", false),
            ("auth.example.org", false),
            ("", false),
        ] {
            let endpoint = Endpoint::new(url, None, 1);
            assert_eq!(endpoint.is_ok(), good, "{url}: {endpoint:?}");
        }
    }
}
