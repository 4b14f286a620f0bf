//! OTLP metrics, as protobuf and as JSON, translated in two ways.
#![no_main]

mod store;

use libfuzzer_sys::fuzz_target;
use remote::otlp::{OtlpOptions, OtlpReceiver};
use std::sync::{Arc, LazyLock};
use stdx::clock::ManualClock;
use stdx::metrics::Registry;

static RECEIVER: LazyLock<OtlpReceiver> = LazyLock::new(|| {
    let clock = ManualClock::at_ms(1_700_000_000_000);
    OtlpReceiver::new(Arc::new(store::Nowhere), &Registry::new(clock.clone()), clock)
});

fuzz_target!(|data: &[u8]| {
    for all in [false, true] {
        let options = OtlpOptions {
            promote_all_resource_attributes: all,
            convert_histograms_to_nhcb: all,
            promote_scope_metadata: all,
            keep_identifying_resource_attributes: all,
            label_name_underscore_sanitization: all,
            start_zeros: all,
            ..OtlpOptions::default()
        };
        for kind in ["application/x-protobuf", "application/json"] {
            RECEIVER.handle(kind, "", data, &options);
        }
    }
});
