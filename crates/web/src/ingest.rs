//! Routes whose bodies are bytes of other servers: remote write, remote read, OTLP.

use crate::api::{ApiError, App, ErrorKind};
use crate::server::{Body, Reply, Req};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use remote::read::ReadBody;
use remote::receive::Request;
use std::sync::Arc;

pub async fn handle(app: Arc<App>, req: Req, path: String) -> Reply {
    if req.method != Method::POST {
        return Reply::not_allowed("OPTIONS, POST");
    }
    let done = tokio::task::spawn_blocking(move || match path.as_str() {
        "read" => read(&app, &req),
        "otlp/v1/metrics" => otlp(&app, &req),
        _ => write(&app, &req),
    })
    .await;
    done.unwrap_or_else(|e| ApiError::new(ErrorKind::Internal, format!("request failed: {e}")).reply())
}

fn write(app: &App, req: &Req) -> Reply {
    let Some(receiver) = &app.receiver else {
        return Reply::text(StatusCode::NOT_FOUND, "remote write receiver needs to be enabled with --web.enable-remote-write-receiver\n");
    };
    let peer = req.peer.ip().to_string();
    let named = req.header(&remote::receive::SENDER_HEADER.to_ascii_lowercase());
    let identity = req.identity.as_deref();
    let only_labels = identity.map_or(&[][..], |i| &i.only_labels);
    // A client that may only be itself is called by the name that it was given, not by the one that it says.
    let sender = match identity {
        Some(i) if !i.only_labels.is_empty() => i.name.as_str(),
        _ if named.is_empty() => &peer,
        _ => named,
    };
    from_answer(receiver.handle(&Request {
        content_type: req.header("content-type"),
        content_encoding: req.header("content-encoding"),
        sender,
        only_labels,
        body: &req.body,
    }))
}

fn otlp(app: &App, req: &Req) -> Reply {
    let Some(receiver) = &app.otlp else {
        return Reply::text(StatusCode::NOT_FOUND, "otlp write receiver needs to be enabled with --web.enable-otlp-receiver\n");
    };
    if req.identity.as_deref().is_some_and(|i| !i.only_labels.is_empty()) {
        return crate::scope::forbidden("a client with only_labels may write by remote write only");
    }
    from_answer(receiver.handle(req.header("content-type"), req.header("content-encoding"), &req.body, &app.control.otlp_options()))
}

/// Frames of a streamed answer that may wait for a slow client.
const FRAMES_AHEAD: usize = 4;

fn read(app: &App, req: &Req) -> Reply {
    let Some(reader) = &app.reader else { return Reply::text(StatusCode::NOT_FOUND, "not found\n") };
    let answer = reader.handle(&req.body, &app.control.external_labels());
    let mut reply = Reply::empty(status(answer.status));
    for (name, value) in &answer.headers {
        push(&mut reply, name, value);
    }
    reply.body = match answer.body {
        ReadBody::Whole(bytes) => Body::full(bytes),
        ReadBody::Frames(frames) => {
            let (sender, body) = Body::stream(FRAMES_AHEAD);
            // On a thread of its own: each frame is read from the disk when the client has room for it.
            tokio::task::spawn_blocking(move || {
                for frame in *frames {
                    match frame {
                        Ok(bytes) => {
                            if sender.blocking_send(bytes.into()).is_err() {
                                return;
                            }
                        }
                        Err(e) => {
                            tracing::error!(component = "remote read", err = %e, "stream series");
                            return;
                        }
                    }
                }
            });
            body
        }
    };
    reply
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn push(reply: &mut Reply, name: &str, value: &str) {
    if let (Ok(n), Ok(v)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
        reply.headers.push((n, v));
    }
}

fn from_answer(a: remote::receive::Answer) -> Reply {
    let mut reply = Reply::empty(status(a.status));
    reply.body = Body::full(a.body);
    for (name, value) in &a.headers {
        push(&mut reply, name, value);
    }
    reply
}
