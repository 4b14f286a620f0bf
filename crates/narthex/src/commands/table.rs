//! The tool's commands as a table: parsing and help come from here. Names, defaults and order are promtool's of 3.14.

use crate::cli::{Arg, Command, Flag, Kind};
use Kind::{Bool, File, GoDuration, Int, Int64, List, Map, OneOf, Text, Url};

const fn arg(name: &'static str, kind: Kind, help: &'static str) -> Arg {
    Arg { name, kind, required: true, many: false, default: "", help }
}

const fn optional(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    Arg { name, kind: Text, required: false, many: false, default, help }
}

const fn many(name: &'static str, required: bool, help: &'static str) -> Arg {
    Arg { name, kind: File, required, many: true, default: "", help }
}

const fn command<'a>(name: &'static str, help: &'static str, flags: &'a [Flag], args: &'a [Arg]) -> Command<'a> {
    Command { name, help, flags, args, commands: &[] }
}

const fn group<'a>(name: &'static str, help: &'static str, flags: &'a [Flag], commands: &'a [Command<'a>]) -> Command<'a> {
    Command { name, help, flags, args: &[], commands }
}

const HTTP_CONFIG: Flag =
    Flag::new("http.config.file", File, "", "File that says how to connect: the keys of http_config.").placeholder("<filename>");
const SERVER_URL: Flag = Flag::new("url", Url, "http://localhost:9090", "URL of the server.");
const START: Flag = Flag::new("start", Text, "", "Start time (RFC 3339 or Unix timestamp).");
const END: Flag = Flag::new("end", Text, "", "End time (RFC 3339 or Unix timestamp).");
const MATCH: Flag = Flag::new("match", List, "", "Series selector. May be repeated.");
const HEADER: Flag = Flag::new("header", Map, "", "Further header of the request. May be repeated.");
const LINT_FATAL: Flag = Flag::new("lint-fatal", Bool, "", "Exit with 3 when a lint check finds something.");
const IGNORE_UNKNOWN: Flag = Flag::new("ignore-unknown-fields", Bool, "", "Ignore unknown keys in rule files; the server refuses them.");
const SERVER: Arg = arg("server", Url, "Server to ask.");
const QUERY: Arg = arg("query", Text, "PromQL query.");
const DB_PATH: Arg = optional("db path", "data/", "Data directory (default is data/).");
const SANDBOX: Flag = Flag::new("sandbox-dir-root", Text, "", "Accepted; the log is replayed in a copy in the temporary directory.");
const MIN_TIME: Flag = Flag::new("min-time", Int64, "-9223372036854775808", "Least timestamp, in milliseconds since the epoch.");
const MAX_TIME: Flag = Flag::new("max-time", Int64, "9223372036854775807", "Largest timestamp, in milliseconds since the epoch.");
const DUMP_MATCH: Flag = Flag::new("match", List, "{__name__=~'(?s:.*)'}", "Series selector. May be repeated.");
const DEBUG_SERVER: Arg = arg("server", Text, "Server to fetch from.");

pub const METRICS_HELP: &str = "Lint metrics in the text format from standard input, and say how many series each family has.
examples:
$ cat metrics.prom | promtool check metrics
$ curl -s http://localhost:9090/metrics | promtool check metrics --extended
$ curl -s http://localhost:9100/metrics | promtool check metrics --extended --lint=none";

pub const ROOT: Command<'static> = Command {
    name: "",
    help: "Tooling for a Prometheus server: checks files, asks servers, tests rules, looks into data directories.",
    flags: &[
        Flag::new("experimental", Bool, "", "Enable experimental commands."),
        Flag::new(
            "enable-feature",
            List,
            "",
            "Features to enable, separated by commas: promql-experimental-functions, promql-delayed-name-removal, promql-extended-range-selectors, promql-binop-fill-modifiers.",
        ),
    ],
    args: &[],
    commands: &[CHECK, QUERIES, DEBUG, PUSH, TEST, TSDB, PROMQL],
};

const CHECK: Command<'static> = group(
    "check",
    "Check the resources for validity.",
    &[Flag::new("query.lookback-delta", GoDuration, "5m", "The server's lookback, for the lint check too-long-scrape-interval.")],
    &[
        command(
            "service-discovery",
            "Discover the targets of a job and print them with their labels before and after relabeling.",
            &[Flag::new("timeout", GoDuration, "30s", "How long to wait for targets.")],
            &[arg("config-file", File, "The configuration file."), arg("job", Text, "The job whose targets are looked for.")],
        ),
        command(
            "config",
            "Check if the config files are valid or not.",
            &[
                Flag::new("syntax-only", Bool, "", "Look at the file alone, not at the files that it names."),
                Flag::new("lint", Text, "duplicate-rules", "Lint checks for rules and jobs: all, duplicate-rules, none, too-long-scrape-interval."),
                LINT_FATAL,
                IGNORE_UNKNOWN,
                Flag::new("agent", Bool, "", "Check for a server in agent mode."),
            ],
            &[many("config-files", true, "The configuration files.")],
        ),
        command(
            "web-config",
            "Check if the web config files are valid or not.",
            &[],
            &[many("web-config-files", true, "The files for --web.config.file.")],
        ),
        command("healthy", "Check if the server is healthy.", &[HTTP_CONFIG, SERVER_URL], &[]),
        command("ready", "Check if the server is ready.", &[HTTP_CONFIG, SERVER_URL], &[]),
        command(
            "rules",
            "Check if the rule files are valid or not.",
            &[Flag::new("lint", Text, "duplicate-rules", "Lint checks: all, duplicate-rules, none."), LINT_FATAL, IGNORE_UNKNOWN],
            &[many("rule-files", false, "The rule files; standard input when none is named.")],
        ),
        command(
            "metrics",
            METRICS_HELP,
            &[Flag::new("extended", Bool, "", "Print how many series each family has."), Flag::new("lint", Text, "all", "Lint checks: all, none.")],
            &[],
        ),
    ],
);

const QUERIES: Command<'static> = group(
    "query",
    "Run a query against a server.",
    &[Flag::new("format", OneOf(&["promql", "json"]), "promql", "Form of the output.").short('o'), HTTP_CONFIG],
    &[
        command(
            "instant",
            "Run instant query.",
            &[Flag::new("time", Text, "", "Time of the evaluation (RFC 3339 or Unix timestamp)."), HEADER],
            &[SERVER, arg("expr", Text, "PromQL expression.")],
        ),
        command(
            "range",
            "Run range query.",
            &[HEADER, START, END, Flag::new("step", GoDuration, "0s", "Step between two points.")],
            &[SERVER, arg("expr", Text, "PromQL expression.")],
        ),
        command("series", "Run series query.", &[MATCH.required(), START, END], &[SERVER]),
        command("labels", "Run labels query.", &[START, END, MATCH], &[SERVER, arg("name", Text, "Label whose values are asked for.")]),
        command(
            "analyze",
            "Ask how many buckets of histograms are in use.",
            &[
                Flag::new("server", Url, "", "Server to ask.").required(),
                Flag::new("type", Text, "", "Type of metric: histogram.").required(),
                Flag::new("duration", GoDuration, "1h", "Range to look at."),
                Flag::new("time", Text, "", "End of the range (RFC 3339 or Unix timestamp); now when left out."),
                MATCH.required(),
            ],
            &[],
        ),
    ],
);

const DEBUG: Command<'static> = group(
    "debug",
    "Fetch debug information.",
    &[],
    &[
        command("pprof", "Fetch profiling debug information.", &[], &[DEBUG_SERVER]),
        command("metrics", "Fetch metrics debug information.", &[], &[DEBUG_SERVER]),
        command("all", "Fetch all debug information.", &[], &[DEBUG_SERVER]),
    ],
);

const PUSH: Command<'static> = group(
    "push",
    "Push to a server.",
    &[HTTP_CONFIG],
    &[command(
        "metrics",
        "Push metrics to a remote write endpoint (for testing purpose only).",
        &[
            Flag::new("label", Map, "job=promtool", "Label that is added. May be repeated."),
            Flag::new("timeout", GoDuration, "30s", "Longest time of a request."),
            HEADER,
            Flag::new("protobuf_message", Text, "prometheus.WriteRequest", "prometheus.WriteRequest or io.prometheus.write.v2.Request."),
            Flag::new("remote-write.path", Text, "/api/v1/write", "Path of the endpoint, when the URL has none."),
        ],
        &[
            arg("remote-write-url", Url, "URL of the endpoint."),
            many("metric-files", false, "Files in the text format; standard input when none is named."),
        ],
    )],
);

const TEST: Command<'static> = group(
    "test",
    "Unit testing.",
    &[Flag::new("junit", Text, "", "File for the results as JUnit XML.")],
    &[command(
        "rules",
        "Unit tests for rules.",
        &[
            Flag::new("run", List, "", "Run only the test groups whose name matches this regular expression. May be repeated."),
            Flag::new("debug", Bool, "", "Say what is done, and dump all samples at the end."),
            Flag::new("diff", Bool, "", "Show the difference between what was expected and what came."),
            Flag::new("ignore-unknown-fields", Bool, "", "Ignore unknown keys in the rule files; the server refuses them."),
        ],
        &[many("test-rule-file", true, "The files of tests.")],
    )],
);

const TSDB: Command<'static> = group(
    "tsdb",
    "Look into data directories and make blocks.",
    &[],
    &[
        command(
            "analyze",
            "Analyze churn, label pair cardinality and compaction efficiency.",
            &[
                Flag::new("limit", Int, "20", "How many items each list has."),
                Flag::new("extended", Bool, "", "Look at the chunks as well."),
                Flag::new("match", Text, "", "Series selector."),
            ],
            &[DB_PATH, optional("block id", "", "Block to analyze (default is the last block).")],
        ),
        command("list", "List tsdb blocks.", &[Flag::new("human-readable", Bool, "", "Print human readable values.").short('r')], &[DB_PATH]),
        command(
            "dump",
            "Dump samples from a TSDB.",
            &[SANDBOX, MIN_TIME, MAX_TIME, DUMP_MATCH, Flag::new("format", OneOf(&["prom", "seriesjson"]), "prom", "Form of the output.")],
            &[DB_PATH],
        ),
        command(
            "dump-openmetrics",
            "Dump samples from a TSDB as OpenMetrics, without native histograms and staleness markers.",
            &[SANDBOX, MIN_TIME, MAX_TIME, DUMP_MATCH],
            &[DB_PATH],
        ),
        group(
            "create-blocks-from",
            "Make blocks from other data.",
            &[
                Flag::new("human-readable", Bool, "", "Print human readable values.").short('r'),
                Flag::new("quiet", Bool, "", "Do not print created blocks.").short('q'),
                Flag::new("max-block-duration", GoDuration, "0s", "Longest range of a block; less than 2h is ignored.").hidden(),
            ],
            &[command(
                "openmetrics",
                "Make blocks from samples in the OpenMetrics text format.",
                &[Flag::new("label", Map, "", "Label that is added. May be repeated.")],
                &[arg("input file", Text, "File to read samples from."), optional("output directory", "data/", "Where blocks are put.")],
            )],
        ),
        command("verify", "Check every section, series and chunk of all blocks.", &[], &[DB_PATH]),
    ],
);

const PROMQL: Command<'static> = group(
    "promql",
    "PromQL formatting and editing. Requires the --experimental flag.",
    &[],
    &[
        command("format", "Format PromQL query to pretty printed form.", &[], &[QUERY]),
        group(
            "label-matchers",
            "Edit label matchers contained within an existing PromQL query.",
            &[],
            &[
                command(
                    "set",
                    "Set a label matcher in the query.",
                    &[Flag::new("type", OneOf(&["=", "!=", "=~", "!~"]), "=", "Type of the label matcher.").short('t')],
                    &[QUERY, arg("name", Text, "Name of the label."), arg("value", Text, "Value of the matcher.")],
                ),
                command("delete", "Delete a label from the query.", &[], &[QUERY, arg("name", Text, "Name of the label.")]),
            ],
        ),
    ],
);
