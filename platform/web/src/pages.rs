//! What the port shows of itself, without a token: version documents, health, readiness, metrics.

use base::Result;
use http::Method;

use crate::{Reply, dispatch::Way, router::Inner};

impl Inner {
    /// The page at this path, if it is one of ours.
    pub(crate) fn page(
        &self,
        method: &Method,
        path: &str,
        way: &mut Way<'_>,
    ) -> Option<Result<Reply>> {
        let bare = path.strip_suffix('/').unwrap_or(path);
        let reply = match bare {
            "/healthz" => Reply::bytes(200, "text/plain; charset=utf-8", "ok\n"),
            "/readyz" => self.readiness(),
            "/metrics" => Reply::bytes(
                200,
                "text/plain; version=0.0.4; charset=utf-8",
                self.registry.render(),
            ),
            _ => {
                let (document, envelope) = self.documents.get(bare)?;
                way.envelope = *envelope;
                let reply = Reply::json_bytes(document.status, document.body.clone());
                match &document.location {
                    Some(location) => reply.header("location", location),
                    None => reply,
                }
            }
        };
        if !matches!(*method, Method::GET | Method::HEAD) {
            way.allow = Some("GET, HEAD".to_owned());
            return Some(Err(way.envelope.no_method()));
        }
        Some(Ok(reply))
    }

    fn readiness(&self) -> Reply {
        let mut reasons = String::new();
        for (name, check) in &self.ready {
            if let Err(reason) = check() {
                reasons.push_str(&format!("{name}: {reason}\n"));
            }
        }
        let plain = "text/plain; charset=utf-8";
        if reasons.is_empty() {
            Reply::bytes(200, plain, "ready\n")
        } else {
            Reply::bytes(503, plain, reasons).header("retry-after", "1")
        }
    }
}
