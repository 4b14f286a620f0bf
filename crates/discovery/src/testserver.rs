//! An HTTP server on loopback for tests: answers with what a function says, or with a stream that stays open.

use http_body_util::BodyExt;
use http_body_util::channel::Channel;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

pub(crate) type Asked = hyper::Request<Bytes>;

pub(crate) enum Say {
    Json(String),
    Status(u16, String),
    /// Pieces as they come; ends when the sender is dropped.
    Stream(mpsc::UnboundedReceiver<String>),
}

/// The server's URL.
pub(crate) async fn serve(answer: impl Fn(&Asked) -> Say + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind loopback");
    let at = listener.local_addr().expect("bound");
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            let service = service_fn(move |r: hyper::Request<Incoming>| {
                let answer = Arc::clone(&answer);
                async move {
                    let (head, body) = r.into_parts();
                    let body = body.collect().await.map(|b| b.to_bytes()).unwrap_or_default();
                    let (status, kind, mut rest) = match answer(&hyper::Request::from_parts(head, body)) {
                        Say::Json(text) => (200, "application/json", one(text)),
                        Say::Status(code, text) => (code, "text/plain", one(text)),
                        Say::Stream(rest) => (200, "application/json", rest),
                    };
                    let (mut send, body) = Channel::<Bytes, Infallible>::new(16);
                    tokio::spawn(async move {
                        while let Some(piece) = rest.recv().await {
                            if send.send_data(Bytes::from(piece)).await.is_err() {
                                break;
                            }
                        }
                    });
                    hyper::Response::builder().status(status).header("content-type", kind).body(body)
                }
            });
            tokio::spawn(async move {
                let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    format!("http://{at}")
}

fn one(text: String) -> mpsc::UnboundedReceiver<String> {
    let (send, receive) = mpsc::unbounded_channel();
    send.send(text).expect("the receiver is here");
    receive
}
