//! The formats that a target may be asked for, and the Accept header that asks.

use exposition::Format;
use exposition::write::Escaping;

yaml::choice! {
    /// A format with its version, as `scrape_protocols` names it.
    pub enum ScrapeProtocol = PrometheusText004 {
        PrometheusProto = "PrometheusProto",
        OpenMetricsText001 = "OpenMetricsText0.0.1",
        OpenMetricsText100 = "OpenMetricsText1.0.0",
        PrometheusText004 = "PrometheusText0.0.4",
        PrometheusText100 = "PrometheusText1.0.0",
    } unknown "unknown scrape protocol {}, supported: [OpenMetricsText0.0.1 OpenMetricsText1.0.0 PrometheusProto PrometheusText0.0.4 PrometheusText1.0.0]"
}

/// Asked for when nothing else is said.
pub const DEFAULT_PROTOCOLS: [ScrapeProtocol; 4] =
    [ScrapeProtocol::OpenMetricsText100, ScrapeProtocol::OpenMetricsText001, ScrapeProtocol::PrometheusText100, ScrapeProtocol::PrometheusText004];

/// The same with protobuf before them: the only one that carries native histograms.
pub const PROTOBUF_FIRST_PROTOCOLS: [ScrapeProtocol; 5] = [
    ScrapeProtocol::PrometheusProto,
    ScrapeProtocol::OpenMetricsText100,
    ScrapeProtocol::OpenMetricsText001,
    ScrapeProtocol::PrometheusText100,
    ScrapeProtocol::PrometheusText004,
];

/// All there are; the weights of an Accept header count down from one more.
const KINDS: usize = 5;

impl ScrapeProtocol {
    pub fn format(self) -> Format {
        match self {
            ScrapeProtocol::PrometheusProto => Format::Protobuf,
            ScrapeProtocol::OpenMetricsText001 | ScrapeProtocol::OpenMetricsText100 => Format::OpenMetrics,
            ScrapeProtocol::PrometheusText004 | ScrapeProtocol::PrometheusText100 => Format::Text,
        }
    }

    fn header(self) -> &'static str {
        match self {
            ScrapeProtocol::PrometheusProto => "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
            ScrapeProtocol::PrometheusText004 => "text/plain;version=0.0.4",
            ScrapeProtocol::PrometheusText100 => "text/plain;version=1.0.0",
            ScrapeProtocol::OpenMetricsText001 => "application/openmetrics-text;version=0.0.1",
            ScrapeProtocol::OpenMetricsText100 => "application/openmetrics-text;version=1.0.0",
        }
    }
}

/// The protocols with falling weights, then anything.
pub fn accept_header(protocols: &[ScrapeProtocol], escaping: Escaping) -> String {
    let mut out = String::with_capacity(256);
    let mut weight = KINDS + 1;
    for p in protocols {
        out.push_str(p.header());
        if matches!(p, ScrapeProtocol::PrometheusText100 | ScrapeProtocol::OpenMetricsText100) {
            out.push_str(";escaping=");
            out.push_str(escaping.as_str());
        }
        out.push_str(&format!(";q=0.{weight},"));
        weight = weight.saturating_sub(1);
    }
    out.push_str(&format!("*/*;q=0.{weight}"));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_as_prometheus_sends_them() {
        assert_eq!(
            accept_header(&DEFAULT_PROTOCOLS, Escaping::AllowUtf8),
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        );
        assert_eq!(accept_header(&[ScrapeProtocol::PrometheusText004], Escaping::Underscores), "text/plain;version=0.0.4;q=0.6,*/*;q=0.5");
    }
}
