//! The authority: its account, and one order. The thin edge to `instant-acme`.

use super::{AcmeConfig, AcmeError, keep};
use crate::{
    outbound::Endpoint,
    tls::{Challenges, Shown, TlsError},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, BodyWrapper, BytesResponse, ChallengeType,
    HttpClient, Identifier, NewAccount, NewOrder, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::{
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::CertifiedKey,
};
use std::{fs, future::Future, io, path::PathBuf, pin::Pin, sync::Arc, time::Duration};

/// Most bytes of an answer: chains of certificates have a few thousand.
const ANSWER_BYTES: usize = 1024 * 1024;

/// How long one answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// How long the authority may take to look at the names, and to make the certificate.
const PATIENCE: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(120));

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrderError {
    #[error("the authority: {0}")]
    Authority(#[from] instant_acme::Error),
    #[error("the authority does not find this server under its names: {0:?}")]
    Refused(OrderStatus),
    #[error("the authority asks for {0} to be proved in no way that this server knows")]
    NoChallenge(String),
    #[error("{0:?} were not enough")]
    Late(Duration),
    #[error("no key or request can be made: {0}")]
    Make(#[from] rcgen::Error),
    #[error("it cannot be kept: {0}")]
    Keep(io::Error),
    #[error("{0}")]
    Unusable(TlsError),
}

/// Whom certificates are ordered from.
#[derive(Debug)]
pub(super) struct Authority {
    directory: String,
    contact: Option<String>,
    endpoint: Endpoint,
    /// Where the account is kept.
    account: PathBuf,
}

impl Authority {
    pub(super) fn new(config: &AcmeConfig, account: PathBuf) -> Result<Self, AcmeError> {
        let endpoint = Endpoint::new(&config.directory, config.ca.as_deref(), ANSWER_BYTES);
        let endpoint = endpoint.map_err(|error| AcmeError::Directory {
            url: config.directory.clone(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            directory: config.directory.clone(),
            contact: config.email.as_ref().map(|email| format!("mailto:{email}")),
            endpoint,
            account,
        })
    }

    /// A certificate for these names, with those that signed it and its key, in PEM.
    pub(super) async fn order(
        &self,
        names: &[String],
        challenges: &Arc<Challenges>,
    ) -> Result<String, OrderError> {
        let account = self.account().await?;
        let identifiers: Vec<_> = names.iter().cloned().map(Identifier::Dns).collect();
        let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
        let mut shown = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let name = authorization.identifier().to_string();
            let challenge = authorization.challenge(ChallengeType::TlsAlpn01);
            let mut challenge = challenge.ok_or(OrderError::NoChallenge(name.clone()))?;
            let digest = challenge.key_authorization().digest();
            shown.push(show(challenges, &name, digest.as_ref())?);
            challenge.set_ready().await?;
        }
        let status = order.poll_ready(&PATIENCE).await?;
        if status != OrderStatus::Ready {
            return Err(OrderError::Refused(status));
        }
        drop(shown);
        let key = KeyPair::generate()?;
        let mut request = CertificateParams::new(names)?;
        request.distinguished_name = DistinguishedName::new();
        let request = request.serialize_request(&key)?;
        order.finalize_csr(request.der()).await?;
        let chain = order.poll_certificate(&PATIENCE).await?;
        Ok(format!("{chain}\n{}", key.serialize_pem()))
    }

    /// The account that is kept, or a new one.
    async fn account(&self) -> Result<Account, OrderError> {
        let builder = Account::builder_with_http(Box::new(Client(self.endpoint.clone())));
        let kept = fs::read(&self.account).ok();
        if let Some(kept) = kept.and_then(|text| serde_json::from_slice(&text).ok()) {
            let kept: AccountCredentials = kept;
            return Ok(builder.from_credentials(kept).await?);
        }
        let contact: Vec<_> = self.contact.iter().map(String::as_str).collect();
        let wanted = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let (account, credentials) = builder
            .create(&wanted, self.directory.clone(), None)
            .await?;
        let text = serde_json::to_string(&credentials).map_err(instant_acme::Error::Json)?;
        keep(&self.account, &text).map_err(OrderError::Keep)?;
        Ok(account)
    }
}

/// Shows the authority that a name is this server's.
fn show(challenges: &Arc<Challenges>, name: &str, digest: &[u8]) -> Result<Shown, OrderError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = ring::sign::any_supported_type(&key);
    let key = key.map_err(|error| OrderError::Unusable(error.into()))?;
    // Not `from_der`, which looks into the certificate and does not know the extension that is the point.
    let certified = CertifiedKey::new(vec![certificate.der().clone()], key);
    Ok(challenges.show(name, certified))
}

/// Requests to the authority.
struct Client(Endpoint);

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let other = |error| instant_acme::Error::Other(error);
        let endpoint = self.0.at(&request.uri().to_string());
        Box::pin(async move {
            let endpoint = endpoint.map_err(|error| other(Box::new(error)))?;
            let (head, body) = request.into_parts();
            let body = match body.collect().await {
                Ok(body) => body.to_bytes(),
                Err(never) => match never {},
            };
            let request = Request::from_parts(head, Full::new(body));
            let response = endpoint.send(request, ANSWER_LIMIT).await;
            let response = response.map_err(|error| other(Box::new(error)))?;
            Ok(response.map(Full::new).into())
        })
    }
}
