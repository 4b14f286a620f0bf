//! `/openapi.yaml`: what this API takes and gives, as an OpenAPI document of version 3.1 or 3.2.
//!
//! Built from one table of paths. It names every parameter and says what the data of an answer is; it does not describe the inside of query
//! results further than Prometheus' own documentation does.

use crate::server::{Reply, Req};
use http::StatusCode;
use http::header::CACHE_CONTROL;
use std::fmt::Write;

struct Path {
    path: &'static str,
    /// Lower case, in order.
    methods: &'static [&'static str],
    tag: &'static str,
    summary: &'static str,
    /// `name:type`, required ones `name*:type`.
    params: &'static [&'static str],
    answer: Answer,
}

enum Answer {
    /// The envelope, with this type as its data.
    Data(&'static str),
    Lines,
    Empty,
    Events,
}

const GET: &[&str] = &["get"];
const BOTH: &[&str] = &["get", "post"];
const WRITE: &[&str] = &["put", "post"];

const fn path(
    path: &'static str,
    methods: &'static [&'static str],
    tag: &'static str,
    summary: &'static str,
    params: &'static [&'static str],
    answer: Answer,
) -> Path {
    Path { path, methods, tag, summary, params, answer }
}

const QUERY: &[&str] = &["limit:integer", "time:time", "query*:string", "timeout:string", "lookback_delta:string", "stats:string"];
const QUERY_RANGE: &[&str] =
    &["limit:integer", "start*:time", "end*:time", "step*:string", "query*:string", "timeout:string", "lookback_delta:string", "stats:string"];
const SELECT: &[&str] = &["start:time", "end:time", "match[]:strings", "limit:integer"];
const RULES: &[&str] = &[
    "type:string",
    "rule_name[]:strings",
    "rule_group[]:strings",
    "file[]:strings",
    "match[]:strings",
    "exclude_alerts:string",
    "group_limit:integer",
    "group_next_token:string",
];
macro_rules! search {
    ($($extra:literal),*) => {
        &[
            $($extra,)*
            "match[]:strings", "search[]:strings", "fuzz_threshold:integer", "fuzz_alg:string", "case_sensitive:boolean", "sort_by:string",
            "sort_dir:string", "include_score:boolean", "start:time", "end:time", "limit:integer", "batch_size:integer",
        ]
    };
}

const PATHS: &[Path] = &[
    path("/query", BOTH, "query", "Evaluate an instant query", QUERY, Answer::Data("QueryData")),
    path("/query_range", BOTH, "query", "Evaluate a range query", QUERY_RANGE, Answer::Data("QueryData")),
    path("/query_exemplars", BOTH, "query", "Find exemplars", &["start:time", "end:time", "query*:string"], Answer::Data("array")),
    path("/format_query", BOTH, "query", "Format a PromQL expression", &["query*:string"], Answer::Data("string")),
    path("/parse_query", BOTH, "query", "Parse a PromQL expression", &["query*:string"], Answer::Data("object")),
    path("/labels", BOTH, "labels", "Get label names", SELECT, Answer::Data("strings")),
    path("/label/{name}/values", GET, "labels", "Get the values of a label", SELECT, Answer::Data("strings")),
    path("/search/metric_names", BOTH, "metadata", "Search metric names", search!("include_metadata:boolean"), Answer::Lines),
    path("/search/label_names", BOTH, "labels", "Search label names", search!(), Answer::Lines),
    path("/search/label_values", BOTH, "labels", "Search the values of a label", search!("label*:string"), Answer::Lines),
    path("/series", BOTH, "series", "Find series", &["start:time", "end:time", "match[]*:strings", "limit:integer"], Answer::Data("array")),
    path("/metadata", GET, "metadata", "Get metadata", &["limit:integer", "limit_per_metric:integer", "metric:string"], Answer::Data("object")),
    path("/scrape_pools", GET, "targets", "Get the scrape pools", &[], Answer::Data("object")),
    path("/targets", GET, "targets", "Get targets", &["scrapePool:string", "state:string"], Answer::Data("object")),
    path(
        "/targets/metadata",
        GET,
        "targets",
        "Get the metadata that targets told",
        &["match_target:string", "metric:string", "limit:integer"],
        Answer::Data("array"),
    ),
    path(
        "/targets/relabel_steps",
        GET,
        "targets",
        "Show what each relabel rule of a pool makes of a target's labels",
        &["scrapePool*:string", "labels*:string"],
        Answer::Data("object"),
    ),
    path("/rules", GET, "rules", "Get alerting and recording rules", RULES, Answer::Data("object")),
    path("/alerts", GET, "alerts", "Get active alerts", &[], Answer::Data("object")),
    path("/alertmanagers", GET, "alerts", "Get the Alertmanagers that were discovered", &[], Answer::Data("object")),
    path("/status/config", GET, "status", "Get the configuration in force", &[], Answer::Data("object")),
    path("/status/runtimeinfo", GET, "status", "Get what the process is like", &[], Answer::Data("object")),
    path("/status/buildinfo", GET, "status", "Get the version", &[], Answer::Data("object")),
    path("/status/flags", GET, "status", "Get the flags", &[], Answer::Data("object")),
    path("/status/tsdb", GET, "status", "Get the cardinality of the head", &["limit:integer"], Answer::Data("object")),
    path("/status/tsdb/blocks", GET, "status", "Get the blocks", &[], Answer::Data("object")),
    path("/status/walreplay", GET, "status", "Get how far the replay of the log is", &[], Answer::Data("object")),
    path("/status/self_metrics", GET, "status", "Get own metrics as JSON", &["metric_name_pattern:string"], Answer::Data("array")),
    path("/admin/tsdb/delete_series", WRITE, "admin", "Delete samples of series", &["match[]*:strings", "start:time", "end:time"], Answer::Empty),
    path("/admin/tsdb/clean_tombstones", WRITE, "admin", "Remove deleted samples from the disk", &[], Answer::Empty),
    path("/admin/tsdb/snapshot", WRITE, "admin", "Make a snapshot of the storage", &["skip_head:boolean"], Answer::Data("object")),
    path("/read", &["post"], "remote", "Remote read", &[], Answer::Empty),
    path("/write", &["post"], "remote", "Remote write", &[], Answer::Empty),
    path("/otlp/v1/metrics", &["post"], "otlp", "Write metrics in OTLP", &[], Answer::Empty),
    path("/notifications", GET, "notifications", "Get notifications", &[], Answer::Data("array")),
    path("/notifications/live", GET, "notifications", "Follow notifications as server-sent events", &[], Answer::Events),
    path("/features", GET, "features", "Get which features are on", &[], Answer::Data("object")),
    path("/gaps", GET, "tree", "Find intervals that targets lack", &["start:time", "end:time", "match[]:strings"], Answer::Data("object")),
    path("/tree", GET, "tree", "Show who sends to this server", &[], Answer::Data("object")),
];

pub fn document(req: &Req, external_url: &str, version: &str) -> Reply {
    let newer = matches!(req.params.get("openapi_version"), "3.2" | "3.2.0");
    Reply::new(StatusCode::OK, "application/yaml; charset=utf-8", render(newer, external_url, version))
        .header(CACHE_CONTROL, "no-cache, no-store, must-revalidate")
}

fn render(newer: bool, external_url: &str, version: &str) -> String {
    let mut out = String::with_capacity(64 * 1024);
    let number = if newer { "3.2.0" } else { "3.1.0" };
    let _ = writeln!(
        out,
        "openapi: {number}\ninfo:\n  title: Prometheus API\n  description: The HTTP API of Prometheus, as Narthex answers it.\n  version: {version:?}\nservers:\n- url: {:?}\npaths:",
        format!("{}/api/v1", external_url.trim_end_matches('/'))
    );
    // Streams of events can be described since 3.2 only.
    for p in PATHS.iter().filter(|p| newer || !matches!(p.answer, Answer::Events)) {
        let _ = writeln!(out, "  {}:", p.path);
        for method in p.methods {
            operation(&mut out, p, method);
        }
    }
    out.push_str(COMPONENTS);
    out
}

fn operation(out: &mut String, p: &Path, method: &str) {
    let id: String = p.path.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let _ = writeln!(
        out,
        "    {method}:\n      tags: [{}]\n      summary: {}\n      operationId: {method}-{}",
        p.tag,
        p.summary,
        id.trim_matches('-').replace("--", "-")
    );
    if method == "post" && p.methods.contains(&"get") {
        let _ = writeln!(
            out,
            "      requestBody:\n        required: true\n        content:\n          application/x-www-form-urlencoded:\n            schema:\n              type: object\n              properties:"
        );
        for (name, _, kind) in p.params.iter().map(|t| parts(t)) {
            let _ = writeln!(out, "                {name:?}: {}", schema(kind));
        }
        let required: Vec<String> = p.params.iter().map(|t| parts(t)).filter(|(_, r, _)| *r).map(|(n, ..)| format!("{n:?}")).collect();
        if !required.is_empty() {
            let _ = writeln!(out, "              required: [{}]", required.join(", "));
        }
    } else if !p.params.is_empty() || p.path.contains('{') {
        out.push_str("      parameters:\n");
        if p.path.contains("{name}") {
            out.push_str("      - {name: name, in: path, required: true, schema: {type: string}}\n");
        }
        for (name, required, kind) in p.params.iter().map(|t| parts(t)) {
            let _ = writeln!(out, "      - {{name: {name:?}, in: query, required: {required}, explode: true, schema: {}}}", schema(kind));
        }
    }
    let good = match &p.answer {
        Answer::Data(kind) => format!(
            "'200':\n          description: Done.\n          content:\n            application/json:\n              schema:\n                allOf:\n                - $ref: '#/components/schemas/Success'\n                - type: object\n                  required: [data]\n                  properties:\n                    data: {}",
            schema(kind)
        ),
        Answer::Lines => {
            "'200':\n          description: Lines of JSON.\n          content:\n            application/x-ndjson:\n              schema: {type: string}".to_string()
        }
        Answer::Events => {
            "'200':\n          description: Events.\n          content:\n            text/event-stream:\n              itemSchema: {type: object}\n        '204':\n          description: There are too many subscribers.".to_string()
        }
        Answer::Empty => "'204':\n          description: Done.".to_string(),
    };
    let _ = writeln!(
        out,
        "      responses:\n        {good}\n        default:\n          description: Failed.\n          content:\n            application/json:\n              schema:\n                $ref: '#/components/schemas/Error'"
    );
}

fn parts(text: &'static str) -> (&'static str, bool, &'static str) {
    let (name, kind) = text.split_once(':').unwrap_or((text, "string"));
    name.strip_suffix('*').map_or((name, false, kind), |n| (n, true, kind))
}

fn schema(kind: &str) -> String {
    match kind {
        "time" => "{oneOf: [{type: string, format: date-time}, {type: number}]}".to_string(),
        "strings" => "{type: array, items: {type: string}}".to_string(),
        "array" => "{type: array}".to_string(),
        k if k.starts_with(|c: char| c.is_ascii_uppercase()) => format!("{{$ref: '#/components/schemas/{k}'}}"),
        k => format!("{{type: {k}}}"),
    }
}

const COMPONENTS: &str = "\
components:
  schemas:
    Success:
      type: object
      required: [status]
      properties:
        status: {type: string, enum: [success]}
        warnings: {type: array, items: {type: string}}
        infos: {type: array, items: {type: string}}
    Error:
      type: object
      required: [status, errorType, error]
      properties:
        status: {type: string, enum: [error]}
        errorType: {type: string}
        error: {type: string}
    QueryData:
      type: object
      required: [resultType, result]
      properties:
        resultType: {type: string, enum: [vector, matrix, scalar, string]}
        result: {type: array}
        stats: {type: object}
";

#[cfg(test)]
#[path = "openapi_tests.rs"]
mod tests;
