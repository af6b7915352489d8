//! The words of each service: [`base::Kind`] to a status, and the error's body as that service sends it.
//! Nothing else decides statuses.

use base::{Error, Kind};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::{Microversion, MicroversionScheme, Reply, v};

/// How a service words its errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// `{"itemNotFound": {"code": 404, "message": "…"}}`
    Nova,
    /// `{"error": {"code": 404, "message": "…", "title": "Not Found"}}`
    Keystone,
    /// A page of HTML, or JSON for who accepts nothing else.
    Glance,
    /// `{"errors": [{"status": 404, "title": "Not Found", "detail": "…", "request_id": "…"}]}`
    Placement,
    /// Keystone's form, for what is no OpenStack service.
    Plain,
}

/// What an error's body needs to know of its request.
pub(crate) struct Site<'s> {
    pub(crate) request_id: &'s str,
    /// The request's `Accept`.
    pub(crate) accept: Option<&'s HeaderValue>,
    pub(crate) version: Microversion,
    pub(crate) scheme: Option<&'s MicroversionScheme>,
    /// Where tokens are made: for `WWW-Authenticate`.
    pub(crate) identity_url: &'s str,
    /// The version itself was refused.
    pub(crate) negotiating: bool,
}

const UNAUTHORIZED: &str = "The request you have made requires authentication.";

impl Envelope {
    /// The status of an error.
    pub fn status(self, kind: Kind) -> StatusCode {
        match kind {
            Kind::BadRequest => StatusCode::BAD_REQUEST,
            Kind::Unauthorized => StatusCode::UNAUTHORIZED,
            Kind::Forbidden => StatusCode::FORBIDDEN,
            Kind::OverQuota if self == Envelope::Glance => StatusCode::PAYLOAD_TOO_LARGE,
            Kind::OverQuota => StatusCode::FORBIDDEN,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Kind::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Kind::Conflict => StatusCode::CONFLICT,
            Kind::Gone => StatusCode::GONE,
            Kind::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Kind::UnsupportedMedia => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Kind::RangeNotSatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
            Kind::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
            Kind::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Kind::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The error as an answer. What is internal is logged here and not shown.
    pub(crate) fn render(self, error: &Error, site: &Site<'_>) -> Reply {
        let kind = error.kind();
        let status = self.status(kind);
        let message = match kind {
            Kind::Internal => {
                tracing::error!(request.id = site.request_id, "a request failed: {error:?}");
                self.unexpected()
            }
            _ => {
                if kind == Kind::Unavailable {
                    tracing::warn!(
                        request.id = site.request_id,
                        "a request was put off: {error:?}"
                    );
                }
                error.message().to_owned()
            }
        };
        // Everybody but Keystone has Keystone's own filter in front, which answers in its own words.
        let filter = kind == Kind::Unauthorized;
        let mut reply = if filter {
            keystone(status, UNAUTHORIZED)
        } else {
            match self {
                Envelope::Nova => nova(status, &message, error),
                Envelope::Keystone | Envelope::Plain => keystone(status, &message),
                Envelope::Glance => glance(status, &message, site.accept),
                Envelope::Placement => placement(status, &message, error, site),
            }
        };
        if kind == Kind::Unauthorized {
            let challenge = format!("Keystone uri=\"{}\"", site.identity_url);
            reply = reply.header("www-authenticate", challenge);
        }
        if let Some(after) = error.retry_after() {
            reply = reply.header("retry-after", after.as_secs().max(1).to_string());
        } else if kind == Kind::Unavailable {
            reply = reply.header("retry-after", "1");
        }
        reply
    }

    fn unexpected(self) -> String {
        match self {
            Envelope::Nova => {
                "Unexpected API Error. Please report this with the request id and the time; the log of \
                 the service says more."
            }
            Envelope::Keystone | Envelope::Plain => {
                "An unexpected error prevented the server from fulfilling your request."
            }
            Envelope::Glance | Envelope::Placement => {
                "The server has either erred or is incapable of performing the requested operation."
            }
        }
        .to_owned()
    }

    /// 403 for a policy of this name.
    pub fn refused(self, policy: &str) -> Error {
        Error::new(
            Kind::Forbidden,
            match self {
                Envelope::Nova => format!("Policy doesn't allow {policy} to be performed."),
                Envelope::Keystone | Envelope::Plain => {
                    format!("You are not authorized to perform the requested action: {policy}.")
                }
                Envelope::Glance => {
                    format!("You are not authorized to complete {policy} action.")
                }
                Envelope::Placement => format!("Policy does not allow {policy} to be performed."),
            },
        )
    }

    /// 404 for a path that no card has.
    pub(crate) fn no_route(self) -> Error {
        Error::not_found(match self {
            Envelope::Keystone => {
                "The requested URL was not found on the server. If you entered the URL manually please \
                 check your spelling and try again."
            }
            Envelope::Placement => "",
            _ => "The resource could not be found.",
        })
    }

    /// 405 for a path that has other methods.
    pub(crate) fn no_method(self) -> Error {
        Error::new(
            Kind::MethodNotAllowed,
            match self {
                Envelope::Keystone => "The method is not allowed for the requested URL.",
                _ => "The method specified is not allowed for this resource.",
            },
        )
    }

    /// A body that is no JSON.
    pub(crate) fn malformed_json(self, why: &serde_json::Error) -> Error {
        Error::bad_request(match self {
            Envelope::Nova => "Malformed request body".to_owned(),
            Envelope::Keystone => wants("valid JSON", "request body"),
            Envelope::Glance => "Malformed JSON in request body.".to_owned(),
            Envelope::Placement => format!("Malformed JSON: {why}"),
            Envelope::Plain => format!("The body is no JSON: {why}"),
        })
    }

    /// A body that is JSON, but no object.
    pub(crate) fn not_an_object(self, value: &Value) -> Error {
        Error::bad_request(match self {
            Envelope::Keystone => wants("valid JSON", "request body"),
            Envelope::Nova => format!("{} is not of type 'object'", crate::validate::repr(value)),
            Envelope::Glance if value.is_array() => "Expected a JSON object.".to_owned(),
            Envelope::Glance => "Unexpected body type. Expected list/dict.".to_owned(),
            Envelope::Placement => format!(
                "JSON does not validate: {} is not of type 'object'",
                crate::validate::repr(value)
            ),
            Envelope::Plain => "The body is no JSON object.".to_owned(),
        })
    }

    /// What no body at all is taken for; an error when the service wants one.
    pub(crate) fn without_body(self) -> base::Result<Value> {
        match self {
            Envelope::Nova => Ok(Value::Null),
            Envelope::Keystone | Envelope::Plain => Ok(json!({})),
            Envelope::Glance => Err(Error::bad_request("Body expected in request.")),
            Envelope::Placement => {
                Err(Error::bad_request("Malformed JSON: Expecting value: line 1 column 1 (char 0)"))
            }
        }
    }

    /// A body without a media type; none when the service takes it for JSON.
    pub(crate) fn without_media(self) -> Option<Error> {
        match self {
            Envelope::Nova => Some(Error::bad_request("Malformed request body")),
            Envelope::Placement => {
                Some(Error::bad_request("content-type header required when content-length > 0"))
            }
            Envelope::Keystone | Envelope::Glance | Envelope::Plain => None,
        }
    }

    /// A body of the wrong media type.
    pub(crate) fn unsupported_media(self, given: &str, accepted: &[&str]) -> Error {
        let accepted = accepted.join(", ");
        match self {
            // Keystone answers this with a 400.
            Envelope::Keystone => Error::bad_request(wants(&accepted, "Content-Type header")),
            // Once the default of Python's servers, so that Nova takes it for none at all.
            Envelope::Nova if given == "text/plain" => Error::bad_request("Malformed request body"),
            Envelope::Nova => Error::new(Kind::UnsupportedMedia, "Unsupported Content-Type"),
            Envelope::Placement => Error::new(
                Kind::UnsupportedMedia,
                format!("The media type {given} is not supported, use {accepted}"),
            ),
            Envelope::Glance | Envelope::Plain => Error::new(
                Kind::UnsupportedMedia,
                format!("The request media type {given} is not supported by this server."),
            ),
        }
    }
}

/// Keystone's sentence for whatever is missing.
fn wants(what: &str, place: &str) -> String {
    format!(
        "Expecting to find {what} in {place}. The server could not comply with the request since it is \
         either malformed or otherwise incorrect. The client is assumed to be in error."
    )
}

fn nova(status: StatusCode, message: &str, error: &Error) -> Reply {
    let name = match status.as_u16() {
        400 => "badRequest",
        401 => "unauthorized",
        403 => "forbidden",
        404 => "itemNotFound",
        405 => "badMethod",
        409 => "conflictingRequest",
        413 | 429 => "overLimit",
        415 => "badMediaType",
        501 => "notImplemented",
        503 => "serviceUnavailable",
        _ => "computeFault",
    };
    let mut fault = json!({"code": status.as_u16(), "message": message});
    if matches!(status.as_u16(), 413 | 429) {
        let after = error.retry_after().map_or(0, |after| after.as_secs());
        fault["retryAfter"] = after.to_string().into();
    }
    Reply::json(status.as_u16(), json!({name: fault}))
}

fn keystone(status: StatusCode, message: &str) -> Reply {
    let body = json!({"error": {
        "code": status.as_u16(),
        "message": message,
        "title": title(status),
    }});
    Reply::json(status.as_u16(), body)
}

/// webob's page: HTML for who takes it, JSON for who takes that only, else text.
fn glance(status: StatusCode, message: &str, accept: Option<&HeaderValue>) -> Reply {
    let title = title(status);
    let code = status.as_u16();
    let accept = accept.and_then(|a| a.to_str().ok()).unwrap_or("*/*");
    let (html, json) = (quality(accept, "text/html"), quality(accept, "application/json"));
    if html > 0 && html >= json {
        let page = format!(
            "<html>\n <head>\n  <title>{code} {title}</title>\n </head>\n <body>\n  \
             <h1>{code} {title}</h1>\n  {}<br /><br />\n\n\n </body>\n</html>",
            escape(message)
        );
        Reply::bytes(code, "text/html; charset=UTF-8", page)
    } else if json > 0 {
        let body = json!({
            "message": format!("{message}<br /><br />\n\n\n"),
            "code": format!("{code} {title}"),
            "title": title,
        });
        Reply::json(code, body)
    } else {
        let page = format!("{code} {title}\n\n{message}\n\n   ");
        Reply::bytes(code, "text/plain; charset=UTF-8", page)
    }
}

/// How much, in thousandths, an `Accept` header likes a media type; the most specific range counts.
fn quality(accept: &str, media: &str) -> u32 {
    let kind = media.split('/').next().unwrap_or("");
    let mut best = (0, 0);
    for part in accept.split(',') {
        let mut pieces = part.split(';').map(str::trim);
        let range = pieces.next().unwrap_or("");
        let specific = match range {
            _ if range.eq_ignore_ascii_case(media) => 3,
            _ if range.strip_suffix("/*").is_some_and(|r| r.eq_ignore_ascii_case(kind)) => 2,
            "*/*" => 1,
            _ => continue,
        };
        let likes = pieces.find_map(|piece| piece.strip_prefix("q=")).unwrap_or("1");
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
        let likes = (likes.parse::<f32>().unwrap_or(1.0).clamp(0.0, 1.0) * 1000.0) as u32;
        if specific > best.0 {
            best = (specific, likes);
        }
    }
    best.1
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#x27;")
}

fn placement(status: StatusCode, message: &str, error: &Error, site: &Site<'_>) -> Reply {
    let detail = match explanation(status) {
        Some(explanation) => format!("{explanation}\n\n {message}  "),
        None => message.to_owned(),
    };
    let mut one = json!({"status": status.as_u16(), "title": title(status), "detail": detail});
    if site.version >= v(1, 23) && !site.negotiating {
        one["code"] = error.code().unwrap_or("placement.undefined_code").into();
    }
    one["request_id"] = site.request_id.into();
    if let Some(scheme) = site.scheme
        && site.negotiating
        && status == StatusCode::NOT_ACCEPTABLE
    {
        one["max_version"] = scheme.max.to_string().into();
        one["min_version"] = scheme.min.to_string().into();
    }
    Reply::json(status.as_u16(), json!({"errors": [one]}))
}

/// What webob says before the details.
fn explanation(status: StatusCode) -> Option<&'static str> {
    Some(match status.as_u16() {
        400 => {
            "The server could not comply with the request since it is either malformed or otherwise \
             incorrect. "
        }
        403 => "Access was denied to this resource.",
        404 => "The resource could not be found.",
        406 => "The resource could not be generated that was acceptable to your browser.",
        409 => "There was a conflict when trying to complete your request.",
        413 => "The body of your request was too large for this server.",
        415 => "The request media type is not supported by this server.",
        _ => return None,
    })
}

/// The title of a status, as Python's libraries have it.
fn title(status: StatusCode) -> &'static str {
    match status.as_u16() {
        413 => "Request Entity Too Large",
        416 => "Request Range Not Satisfiable",
        422 => "Unprocessable Entity",
        500 => "Internal Server Error",
        _ => status.canonical_reason().unwrap_or("Error"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::ReplyBody;

    fn render(envelope: Envelope, error: &Error, accept: Option<&'static str>) -> (Reply, String) {
        let accept = accept.map(HeaderValue::from_static);
        let site = Site {
            request_id: "req-1",
            accept: accept.as_ref(),
            version: v(1, 30),
            scheme: None,
            identity_url: "http://x/identity",
            negotiating: false,
        };
        let reply = envelope.render(error, &site);
        let body = match &reply.body {
            ReplyBody::Json(value) => value.to_string(),
            ReplyBody::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            _ => String::new(),
        };
        (reply, body)
    }

    #[test]
    fn each_service_has_its_own() {
        let error = Error::not_found("Image x<y could not be found.");
        for (envelope, accept, expected) in [
            (
                Envelope::Nova,
                None,
                r#"{"itemNotFound":{"code":404,"message":"Image x<y could not be found."}}"#,
            ),
            (
                Envelope::Keystone,
                None,
                r#"{"error":{"code":404,"message":"Image x<y could not be found.","title":"Not Found"}}"#,
            ),
            (
                Envelope::Glance,
                Some("*/*"),
                "<html>\n <head>\n  <title>404 Not Found</title>\n </head>\n <body>\n  <h1>404 Not \
              Found</h1>\n  Image x&lt;y could not be found.<br /><br />\n\n\n </body>\n</html>",
            ),
            (
                Envelope::Glance,
                Some("application/json"),
                r#"{"message":"Image x<y could not be found.<br /><br />\n\n\n","code":"404 Not Found","title":"Not Found"}"#,
            ),
            (
                Envelope::Glance,
                Some("text/plain"),
                "404 Not Found\n\nImage x<y could not be found.\n\n   ",
            ),
            (
                Envelope::Placement,
                None,
                r#"{"errors":[{"status":404,"title":"Not Found","detail":"The resource could not be found.\n\n Image x<y could not be found.  ","code":"placement.undefined_code","request_id":"req-1"}]}"#,
            ),
        ] {
            let (reply, body) = render(envelope, &error, accept);
            assert_eq!(reply.status, 404);
            assert_eq!(body, expected);
        }
    }

    #[test]
    fn nova_names_its_faults() {
        for (kind, status, name) in [
            (Kind::BadRequest, 400, "badRequest"),
            (Kind::Forbidden, 403, "forbidden"),
            (Kind::OverQuota, 403, "forbidden"),
            (Kind::MethodNotAllowed, 405, "badMethod"),
            (Kind::NotAcceptable, 406, "computeFault"),
            (Kind::Conflict, 409, "conflictingRequest"),
            (Kind::Gone, 410, "computeFault"),
            (Kind::TooLarge, 413, "overLimit"),
            (Kind::UnsupportedMedia, 415, "badMediaType"),
            (Kind::TooManyRequests, 429, "overLimit"),
            (Kind::NotImplemented, 501, "notImplemented"),
            (Kind::Unavailable, 503, "serviceUnavailable"),
        ] {
            let (reply, body) = render(Envelope::Nova, &Error::new(kind, "why"), None);
            assert_eq!(reply.status, status);
            assert!(
                body.starts_with(&format!("{{\"{name}\":{{\"code\":{status},\"message\":\"why\""))
            );
        }
    }

    #[test]
    fn nobody_shows_what_is_internal() {
        let error = Error::internal("the disk /x broke").with_source(std::io::Error::other("EIO"));
        for envelope in [
            Envelope::Nova,
            Envelope::Keystone,
            Envelope::Glance,
            Envelope::Placement,
            Envelope::Plain,
        ] {
            let (reply, body) = render(envelope, &error, None);
            assert_eq!(reply.status, 500);
            assert!(!body.contains("disk") && !body.contains("EIO"), "{body}");
        }
    }

    #[test]
    fn who_is_unknown_is_told_where_to_log_in() {
        for envelope in [Envelope::Nova, Envelope::Keystone, Envelope::Glance, Envelope::Placement]
        {
            let (reply, body) = render(envelope, &Error::unauthorized("no such token"), None);
            assert_eq!(reply.status, 401);
            assert_eq!(reply.headers["www-authenticate"], "Keystone uri=\"http://x/identity\"");
            assert_eq!(
                body,
                r#"{"error":{"code":401,"message":"The request you have made requires authentication.","title":"Unauthorized"}}"#
            );
        }
    }

    #[test]
    fn says_when_to_come_back() {
        let after = std::time::Duration::from_secs(7);
        let error = Error::unavailable("later").with_retry_after(after);
        assert_eq!(render(Envelope::Nova, &error, None).0.headers["retry-after"], "7");
        let error = Error::new(Kind::TooManyRequests, "slow").with_retry_after(after);
        let (_, body) = render(Envelope::Nova, &error, None);
        assert_eq!(body, r#"{"overLimit":{"code":429,"message":"slow","retryAfter":"7"}}"#);
    }
}
