//! A small HTTP client for the program's own commands (`status`, `down`) and tests: this cloud's APIs,
//! nothing else.

use std::{sync::Arc, time::Duration};

use base::{Error, Result, World};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Requests to one cloud.
pub struct Client {
    world: World,
    url: String,
    ca: Option<String>,
    token: Option<String>,
}

/// A command does not wait longer for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

impl Client {
    /// To the cloud at this URL, whose certificate is of this CA (PEM) if it has one.
    pub fn new(world: &World, url: &str, ca: Option<String>) -> Client {
        Client { world: world.clone(), url: url.trim_end_matches('/').to_owned(), ca, token: None }
    }

    /// Logs in as the admin.
    ///
    /// # Errors
    /// When the cloud does not answer or does not know the password.
    pub async fn log_in(&mut self, password: &str) -> Result<()> {
        let body = serde_json::json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": "admin", "domain": {"id": "default"}, "password": password}}},
            "scope": {"project": {"name": "admin", "domain": {"id": "default"}}}}});
        let body = ("application/json", Bytes::from(body.to_string()));
        let answer = self.send(Method::POST, "/identity/v3/auth/tokens", Some(body)).await?;
        let token = answer.headers().get("x-subject-token").and_then(|value| value.to_str().ok());
        match token {
            Some(token) => {
                self.token = Some(token.to_owned());
                Ok(())
            }
            None => Err(Error::unauthorized(format!(
                "the cloud refused the admin's password: {}",
                String::from_utf8_lossy(answer.body())
            ))),
        }
    }

    /// GET, as JSON.
    ///
    /// # Errors
    /// When the cloud does not answer, or answers an error.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let answer = self.send(Method::GET, path, None).await?;
        read(path, &answer)
    }

    /// POST of JSON, answered by JSON.
    ///
    /// # Errors
    /// When the cloud does not answer, or answers an error.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let body = ("application/json", Bytes::from(body.to_string()));
        let answer = self.send(Method::POST, path, Some(body)).await?;
        read(path, &answer)
    }

    /// PUT of bytes, answered by nothing.
    ///
    /// # Errors
    /// When the cloud does not answer, or answers an error.
    pub async fn put(&self, path: &str, bytes: Bytes) -> Result<()> {
        let body = ("application/octet-stream", bytes);
        check(path, &self.send(Method::PUT, path, Some(body)).await?)
    }

    /// Any request, with any answer: its status and its body, null when that is not JSON.
    ///
    /// # Errors
    /// When the cloud does not answer.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value)> {
        let body = body.map(|body| ("application/json", Bytes::from(body.to_string())));
        let answer = self.send(method, path, body).await?;
        Ok((answer.status(), serde_json::from_slice(answer.body()).unwrap_or_default()))
    }

    /// The status of a GET.
    ///
    /// # Errors
    /// When the cloud does not answer.
    pub async fn status(&self, path: &str) -> Result<(StatusCode, String)> {
        let answer = self.send(Method::GET, path, None).await?;
        Ok((answer.status(), String::from_utf8_lossy(answer.body()).into_owned()))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, Bytes)>,
    ) -> Result<Response<Bytes>> {
        let silent = |_| Error::unavailable(format!("{} did not answer in time", self.url));
        self.world.timeout(PATIENCE, self.exchange(method, path, body)).await.map_err(silent)?
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, Bytes)>,
    ) -> Result<Response<Bytes>> {
        let failed = |error: &dyn std::fmt::Display| {
            Error::unavailable(format!("{}{path}: {error}", self.url))
        };
        let (scheme, authority) = self.url.split_once("://").unwrap_or(("http", &self.url));
        let stream = TcpStream::connect(authority).await.map_err(|e| failed(&e))?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", authority)
            .header("accept", "application/json");
        if let Some(token) = &self.token {
            request = request.header("x-auth-token", token);
        }
        let bytes = match body {
            Some((media, bytes)) => {
                request = request.header("content-type", media);
                bytes
            }
            None => Bytes::new(),
        };
        let request = request.body(Full::new(bytes)).map_err(|e| failed(&e))?;
        let response = if scheme == "https" {
            let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
            let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
                .map_err(|e| failed(&e))?;
            let connector = TlsConnector::from(Arc::new(self.tls()?));
            let stream = connector.connect(name, stream).await.map_err(|e| failed(&e))?;
            self.over(TokioIo::new(stream), request).await.map_err(|e| failed(&e))?
        } else {
            self.over(TokioIo::new(stream), request).await.map_err(|e| failed(&e))?
        };
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|e| failed(&e))?.to_bytes();
        Ok(Response::from_parts(head, body))
    }

    async fn over<S>(
        &self,
        stream: TokioIo<S>,
        request: Request<Full<Bytes>>,
    ) -> hyper::Result<Response<hyper::body::Incoming>>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
        self.world.spawn("client-connection", connection);
        sender.send_request(request).await
    }

    fn tls(&self) -> Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        for cert in
            CertificateDer::pem_slice_iter(self.ca.as_deref().unwrap_or_default().as_bytes())
        {
            let cert =
                cert.map_err(|e| Error::internal("the CA's file cannot be read").with_source(e))?;
            roots.add(cert).map_err(|e| Error::internal("the CA is not one").with_source(e))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::internal("TLS").with_source(e))?;
        Ok(builder.with_root_certificates(roots).with_no_client_auth())
    }
}

fn check(path: &str, answer: &Response<Bytes>) -> Result<()> {
    if answer.status().is_success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(answer.body());
    Err(Error::unavailable(format!("{path}: {}: {text}", answer.status())))
}

fn read(path: &str, answer: &Response<Bytes>) -> Result<Value> {
    check(path, answer)?;
    serde_json::from_slice(answer.body())
        .map_err(|error| Error::internal(format!("{path}: {error}")).with_source(error))
}
