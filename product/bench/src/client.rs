//! Keep-alive HTTP/1.1 connections to one cloud.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// Any failure ends a measurement.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Where, and as whom.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    pub token: Arc<str>,
}

/// One connection.
pub struct Connection {
    target: Target,
    sender: SendRequest<Full<Bytes>>,
}

/// An answer.
pub struct Answer {
    pub status: StatusCode,
    pub token: Option<String>,
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON, if the request succeeded.
    pub fn json(&self) -> Result<Value, Failure> {
        if !self.status.is_success() {
            return Err(format!("{}: {}", self.status, String::from_utf8_lossy(&self.body)).into());
        }
        Ok(serde_json::from_slice(&self.body)?)
    }
}

impl Connection {
    pub async fn open(target: &Target) -> Result<Connection, Failure> {
        let stream = TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Connection { target: target.clone(), sender })
    }

    pub async fn get(&mut self, path: &str) -> Result<Answer, Failure> {
        self.send(Method::GET, path, None, &[]).await
    }

    pub async fn post(&mut self, path: &str, body: &Value) -> Result<Answer, Failure> {
        self.send(Method::POST, path, Some(body), &[]).await
    }

    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&'static str, &str)],
    ) -> Result<Answer, Failure> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.target.address.to_string())
            .header("x-auth-token", &*self.target.token);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let bytes = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        self.sender.ready().await?;
        let answer = self.sender.send_request(request.body(Full::new(bytes))?).await?;
        let token = answer.headers().get("x-subject-token");
        let token = token.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok(Answer { status, token, body })
    }
}

/// The body of a log-in by password.
pub fn log_in(user: &str, password: &str, project: &str) -> Value {
    json!({"auth": {
        "identity": {"methods": ["password"], "password": {"user": {
            "name": user, "domain": {"id": "default"}, "password": password}}},
        "scope": {"project": {"name": project, "domain": {"id": "default"}}}}})
}
