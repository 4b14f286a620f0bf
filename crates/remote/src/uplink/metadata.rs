//! Metadata of metric families for parents that speak version 1.0: every so often, all that is known. Not worth a cursor: it comes again.

use super::shared::Shared;
use super::transport::Push;
use crate::wire::body::{Compressor, ContentEncoding};
use crate::wire::{Version, write1};
use model::Metadata;
use std::sync::Arc;

/// Who knows the metadata of the metrics that are scraped.
pub trait MetadataSource: Send + Sync {
    /// Family names with their metadata, each pair once.
    fn metadata(&self) -> Vec<(String, Metadata)>;
}

/// Tries for one part before it is left to the next round.
const TRIES: u32 = 3;

/// Sends until the uplink stops.
pub(super) async fn run(shared: Arc<Shared>, source: Arc<dyn MetadataSource>) {
    let every = shared.config.metadata_config.send_interval.duration();
    if !shared.config.metadata_config.send || every.is_zero() {
        return;
    }
    loop {
        tokio::select! {
            biased;
            () = shared.tasks.sleep(every) => {}
            () = shared.stop.requested() => return,
        }
        // In version 2.0 it travels with the series.
        if shared.parent.version(shared.config.protobuf_message) == Version::V1 {
            send_all(&shared, &source.metadata()).await;
        }
    }
}

async fn send_all(shared: &Shared, all: &[(String, Metadata)]) {
    let max = usize::try_from(shared.config.metadata_config.max_samples_per_send.max(1)).unwrap_or(usize::MAX);
    let (mut plain, mut compressor) = (Vec::new(), Compressor::new());
    for part in all.chunks(max) {
        plain.clear();
        part.iter().for_each(|(family, m)| write1::put_metadata(&mut plain, family, m));
        let mut body = Vec::new();
        if let Err(e) = compressor.compress(ContentEncoding::Snappy, &plain, &mut body) {
            tracing::error!(remote_name = %shared.name, error = %e, "compress metadata");
            return;
        }
        let bytes = body.len() as u64;
        let body = client::Bytes::from(body);
        let n = part.len() as u64;
        let mut sent = false;
        for attempt in 0..TRIES {
            let push = Push { version: Version::V1, encoding: ContentEncoding::Snappy, body: body.clone(), attempt };
            let answer = tokio::select! {
                biased;
                a = shared.transport.send(push) => a,
                () = shared.stop.requested() => return,
            };
            match answer {
                Ok(a) if (200..300).contains(&a.status) => {
                    sent = true;
                    break;
                }
                Ok(a) if a.status != 429 && a.status < 500 => break,
                _ => {
                    shared.metrics.metadata_retried.add(n);
                    shared.tasks.sleep(shared.config.queue_config.max_backoff.duration()).await;
                }
            }
        }
        if sent {
            shared.metrics.metadata_sent.add(n);
            shared.metrics.metadata_bytes.add(bytes);
        } else {
            shared.metrics.metadata_failed.add(n);
        }
    }
}
