//! Every flag, once: name, kind, default, mode, help. Parsing, `--help`, `/api/v1/status/flags` and docs/flags.md all come from here.
//!
//! Prometheus' flags of 2.37 and of 3.14 are all here, hidden ones too. Those that only mean something to a Go program are accepted and do
//! nothing; their help says so.

use crate::cli::{Flag, Kind};

/// Who may use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Both,
    Server,
    Agent,
}

#[derive(Clone, Copy, Debug)]
pub struct ServerFlag {
    pub flag: Flag,
    pub mode: Mode,
}

const fn flag(name: &'static str, kind: Kind, default: &'static str, mode: Mode, help: &'static str) -> ServerFlag {
    ServerFlag { flag: Flag::new(name, kind, default, help), mode }
}

const fn hidden(name: &'static str, kind: Kind, default: &'static str, mode: Mode, help: &'static str) -> ServerFlag {
    ServerFlag { flag: Flag::new(name, kind, default, help).hidden(), mode }
}

use Kind::{Bool, Duration, Float, GoDuration, Int, Int64, List, OneOf, Size, Text, Word};
use Mode::{Agent, Both, Server};

const NOTHING: &str = "Accepted for compatibility; does nothing here.";

pub const FLAGS: &[ServerFlag] = &[
    flag("config.file", Text, "prometheus.yml", Both, "Path of the configuration file."),
    flag("config.auto-reload", Bool, "false", Both, "Reload when the configuration file, or a file it names, has changed."),
    flag("config.auto-reload-interval", Duration, "30s", Both, "How often to look for such a change; at least 1s."),
    flag("web.listen-address", List, "0.0.0.0:9090", Both, "Address to listen on. May be repeated."),
    flag("auto-gomaxprocs", Bool, "true", Both, NOTHING),
    flag("auto-gomemlimit", Bool, "true", Both, NOTHING),
    flag("auto-gomemlimit.ratio", Float, "0.9", Both, NOTHING),
    flag("web.config.file", Text, "", Both, "File that turns on TLS, basic authentication and bearer tokens."),
    flag("web.read-timeout", Duration, "5m", Both, "Longest time to read a request, and to keep an idle connection."),
    flag("web.max-connections", Int, "512", Both, "Connections at the same time, over all listeners."),
    flag("web.max-notifications-subscribers", Int, "16", Both, "Subscribers of live notifications at the same time."),
    flag("web.external-url", Text, "", Both, "URL under which others reach this server; its path prefixes the routes."),
    flag("web.route-prefix", Text, "", Both, "Prefix of the routes, when it is not the path of the external URL."),
    flag("web.user-assets", Text, "", Both, "Directory that is served at /user."),
    flag("web.enable-lifecycle", Bool, "false", Both, "Allow /-/reload and /-/quit."),
    flag("web.enable-admin-api", Bool, "false", Both, "Allow /api/v1/admin: delete series, clean tombstones, snapshot."),
    flag("web.enable-remote-write-receiver", Bool, "false", Both, "Take samples by remote write at /api/v1/write, /api/v1/push and /api/v1/receive."),
    flag(
        "web.remote-write-receiver.accepted-protobuf-messages",
        List,
        "prometheus.WriteRequest,io.prometheus.write.v2.Request",
        Both,
        "Remote-write messages that are taken.",
    ),
    flag("web.enable-otlp-receiver", Bool, "false", Both, "Take OTLP metrics at /api/v1/otlp/v1/metrics."),
    flag(
        "web.console.templates",
        Text,
        "consoles",
        Both,
        "Directory of console templates. Consoles are not served here; accepted for compatibility.",
    ),
    flag(
        "web.console.libraries",
        Text,
        "console_libraries",
        Both,
        "Directory of console libraries. Consoles are not served here; accepted for compatibility.",
    ),
    flag("web.page-title", Text, "Prometheus Time Series Collection and Processing Server", Both, "Title of the page."),
    flag("web.cors.origin", Text, ".*", Both, "Regular expression, anchored, of origins that may read answers in a browser."),
    flag("storage.tsdb.path", Text, "data/", Server, "Directory of the storage."),
    flag(
        "storage.tsdb.retention.time",
        Duration,
        "",
        Server,
        "How long samples are kept; 15d when neither time nor size is set. The configuration file wins.",
    ),
    flag(
        "storage.tsdb.retention.size",
        Size,
        "",
        Server,
        "How many bytes the storage may take; the oldest blocks go first. The configuration file wins.",
    ),
    flag("storage.tsdb.no-lockfile", Bool, "false", Server, "Do not lock the directory."),
    flag("storage.tsdb.head-chunks-write-queue-size", Int, "0", Server, NOTHING),
    flag(
        "storage.tsdb.delay-compact-file.path",
        Text,
        "",
        Server,
        "JSON file with uploaded blocks (Thanos' shipper writes it); only those are compacted.",
    ),
    flag("storage.agent.path", Text, "data-agent/", Agent, "Directory of the log."),
    flag("storage.agent.wal-compression", Bool, "true", Agent, "Compress the log."),
    flag(
        "storage.agent.retention.min-time",
        Duration,
        "5m",
        Agent,
        "Series with a sample younger than this are not forgotten when the log is truncated.",
    ),
    flag(
        "storage.agent.retention.max-time",
        Duration,
        "4h",
        Agent,
        "Samples older than this leave the log even when they were not sent. Counts only when given: otherwise --storage.remote.log-budget-time does.",
    ),
    flag("storage.agent.checkpoint-from-in-memory-series", Bool, "false", Agent, NOTHING),
    flag("storage.agent.checkpoint-batch-size", Int, "1000", Agent, NOTHING),
    flag("storage.agent.no-lockfile", Bool, "false", Agent, "Do not lock the directory."),
    flag("storage.remote.flush-deadline", Duration, "1m", Both, "How long a stop or a reload waits for samples that are being sent."),
    flag("storage.remote.read-sample-limit", Int, "50000000", Server, "Samples that one remote read may return, unless streamed; 0 for no limit."),
    flag("storage.remote.read-concurrent-limit", Int, "10", Server, "Remote reads at the same time; 0 for no limit."),
    flag("storage.remote.read-max-bytes-in-frame", Int, "1048576", Server, "Bytes of one frame of a streamed remote read."),
    flag("web.search.max-limit", Int, "10000", Server, "Largest limit that the search API takes; 0 for none."),
    flag("rules.alert.for-outage-tolerance", Duration, "1h", Server, "Longest outage after which the state of alerts is restored."),
    flag(
        "rules.alert.for-grace-period",
        Duration,
        "10m",
        Server,
        "Least time between an alert's restoring and its firing; for alerts whose `for` is longer.",
    ),
    flag("rules.alert.resend-delay", Duration, "1m", Server, "Least time between two sendings of an alert."),
    flag("rules.max-concurrent-evals", Int64, "4", Server, "Rules that may be evaluated at the same time, with the feature concurrent-rule-eval."),
    flag("alertmanager.notification-queue-capacity", Int, "10000", Server, "Alerts that may wait for each Alertmanager."),
    flag("alertmanager.notification-batch-size", Int, "256", Server, "Alerts in one request."),
    flag("alertmanager.drain-notification-queue-on-shutdown", Bool, "true", Server, "Send waiting alerts before stopping."),
    flag("query.lookback-delta", Duration, "5m", Server, "How far a selector looks back for a sample."),
    flag("query.timeout", Duration, "2m", Server, "Longest time of a query."),
    flag("query.max-concurrency", Int, "20", Server, "Queries at the same time."),
    flag("query.max-samples", Int, "50000000", Server, "Samples that one query may hold in memory."),
    flag("enable-feature", List, "", Both, "Features to turn on, separated by commas. May be repeated."),
    flag("agent", Bool, "false", Both, "Scrape and forward only: no queries, no rules."),
    flag("log.level", Word("log level", &["debug", "info", "warn", "error"]), "info", Both, "Least severity that is logged."),
    flag("log.format", Word("log format", &["logfmt", "json"]), "logfmt", Both, "Form of the log."),
    // Hidden in Prometheus too; charts and operators set them.
    hidden("storage.tsdb.min-block-duration", Duration, "2h", Server, "Range of the blocks that the head is cut into."),
    hidden("storage.tsdb.max-block-duration", Duration, "", Server, "Longest range of a compacted block; a tenth of the retention, at most 31d."),
    hidden("storage.tsdb.max-block-chunk-segment-size", Size, "512MB", Server, "Size of a chunk file in a block."),
    hidden("storage.tsdb.wal-segment-size", Size, "128MB", Server, "Size of a segment of the log; 10MB to 256MB."),
    hidden("storage.tsdb.allow-overlapping-compaction", Bool, "true", Server, "Merge blocks that overlap."),
    hidden("storage.tsdb.allow-overlapping-blocks", Bool, "false", Server, NOTHING),
    hidden("storage.tsdb.wal-compression", Bool, "true", Server, "Compress the log."),
    hidden("storage.tsdb.wal-compression-type", OneOf(&["snappy", "zstd"]), "snappy", Server, "How."),
    hidden("storage.tsdb.samples-per-chunk", Int, "120", Server, "Samples at which a chunk is cut."),
    hidden("storage.tsdb.delayed-compaction.max-percent", Int, "10", Server, NOTHING),
    hidden("storage.tsdb.block-reload-interval", Duration, "1m", Server, "How often blocks are looked for in the directory; at least 1s."),
    hidden("storage.tsdb.retention", Duration, "", Server, "Old name of storage.tsdb.retention.time."),
    hidden("storage.agent.wal-segment-size", Size, "128MB", Agent, "Size of a segment of the log."),
    hidden("storage.agent.wal-compression-type", OneOf(&["snappy", "zstd"]), "snappy", Agent, "How the log is compressed."),
    hidden("storage.agent.wal-truncate-frequency", Duration, "2h", Agent, "How often the log is truncated."),
    hidden("scrape.adjust-timestamps", Bool, "true", Both, "Align a scrape's timestamp to its schedule."),
    hidden("scrape.timestamp-tolerance", GoDuration, "2ms", Both, "How far a timestamp may be moved for that."),
    hidden("scrape.discovery-reload-interval", Duration, "5s", Both, "Least time between two updates of the targets."),
    hidden("alertmanager.timeout", Duration, "", Server, NOTHING),
    hidden("write-documentation", Bool, "false", Both, "Print the reference of the flags and exit."),
    // Narthex' own.
    flag(
        "storage.tsdb.wal-sync",
        OneOf(&["every-commit", "interval", "none"]),
        "every-commit",
        Both,
        "When a written batch counts as acknowledged: when it is on the disk, when it was written and the disk follows every --storage.tsdb.wal-sync-interval, or when it was written (as Prometheus does).",
    ),
    flag("storage.tsdb.wal-sync-interval", Duration, "1s", Both, "Distance of syncs with --storage.tsdb.wal-sync=interval."),
    flag("storage.tsdb.max-series", Int, "0", Server, "Series that the head may hold; new ones beyond it are refused and counted. 0 for no limit."),
    flag(
        "storage.tsdb.max-series-per-job",
        Int,
        "0",
        Server,
        "Series that the head may hold with the same job label; new ones beyond it are refused and counted. 0 for no limit.",
    ),
    flag(
        "storage.ha.replica-label",
        List,
        "__replica__",
        Server,
        "Label that tells the members of a pair apart: removed by the receiver, whose members become one series. May be repeated; empty for none.",
    ),
    flag(
        "storage.remote.log-budget-bytes",
        Size,
        "8GB",
        Both,
        "How much log is kept for destinations that lag; beyond it what they miss is read back from the blocks.",
    ),
    flag("storage.remote.log-budget-time", Duration, "6h", Both, "How old kept log may be."),
    flag("query.max-bytes", Size, "4GB", Server, "Memory that one query may take; 0B for no limit."),
    flag("query.max-total-bytes", Size, "8GB", Server, "Memory that all queries together may take; 0B for no limit."),
    flag(
        "web.max-request-bytes-in-flight",
        Size,
        "256MB",
        Both,
        "Bodies of remote-write requests that are held at the same time; beyond it senders are told to come back.",
    ),
];
