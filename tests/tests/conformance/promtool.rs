//! The tool beside the real promtool: the same arguments and input, the same files; exit code, standard output and standard error compared.
//!
//! What differs is listed in `tool_different.in`, one call a line with the reason; a listed call that does not differ any more fails too.

use super::{data, files, wire};
use narthex_tests::{Kind, Server, peer};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a program said.
#[derive(Debug, PartialEq)]
pub struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs a program under the name promtool.
pub fn run(program: &Path, dir: &Path, args: &[&str], input: &[u8]) -> Said {
    let mut child = Command::new(program)
        .arg0("promtool")
        .args(args)
        .current_dir(dir)
        .env_remove("TZ")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    // Who does not read its input closes it.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let done = child.wait_with_output().expect("the program ends");
    writer.join().expect("the input is written");
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    Said { code: done.status.code(), out: text(&done.stdout), err: without_log(&text(&done.stderr)) }
}

/// Without lines of the log, which carry times.
fn without_log(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|l| !l.starts_with("time=") && !l.starts_with("level=") && !l.starts_with("ts=")).collect();
    lines.join("\n")
}

/// `parsing YAML file f: line 3: what` without the line.
fn without_line(text: &str) -> String {
    let Some((before, after)) = text.split_once(": line ") else { return text.to_string() };
    match after.split_once(": ") {
        Some((n, rest)) if n.bytes().all(|b| b.is_ascii_digit()) => format!("{before}: {rest}"),
        _ => text.to_string(),
    }
}

/// Calls that differ, and why: `call | reason`. A star at the end stands for anything.
fn listed() -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/tool_different.in");
    let text = std::fs::read_to_string(path).expect("the list of differences");
    let lines = text.lines().filter(|l| !l.is_empty() && !l.starts_with('#'));
    lines.map(|l| l.split_once(" | ").unwrap_or_else(|| panic!("{l}: no reason"))).map(|(c, r)| (c.to_string(), r.to_string())).collect()
}

/// One comparison after another, and what came of them.
struct Comparison {
    real: PathBuf,
    ours: PathBuf,
    listed: Vec<(String, String)>,
    used: Vec<bool>,
    equal: usize,
    differ: usize,
    wrong: Vec<String>,
}

impl Comparison {
    fn new() -> Option<Comparison> {
        let listed = listed();
        Some(Comparison {
            real: peer("promtool")?,
            ours: Server::program(Kind::Narthex),
            used: vec![false; listed.len()],
            listed,
            equal: 0,
            differ: 0,
            wrong: Vec::new(),
        })
    }

    fn call(&mut self, dir: &Path, args: &[&str], input: &[u8]) {
        let (theirs, mut ours) = (run(&self.real, dir, args, input), run(&self.ours, dir, args, input));
        // Where promtool says what is wrong, ours says the line as well.
        if args.starts_with(&["check", "config"]) && !theirs.err.contains(": line ") {
            ours.err = without_line(&ours.err);
        }
        self.judge(args.join(" "), &theirs, &ours);
    }

    fn judge(&mut self, call: String, theirs: &Said, ours: &Said) {
        // Ports and times differ from run to run.
        let masked = |word: &str| match (word.find("http://127.0.0.1:"), word.split_once('=')) {
            (Some(i), _) => {
                let port = word[i + 17..].chars().take_while(char::is_ascii_digit).count();
                format!("{}URL{}", &word[..i], &word[i + 17 + port..])
            }
            (None, Some((flag @ ("--time" | "--start" | "--end"), _))) => format!("{flag}=T"),
            _ => word.to_string(),
        };
        let call = call.split(' ').map(masked).collect::<Vec<_>>().join(" ");
        let fits = |l: &str| l == call || l.strip_suffix('*').is_some_and(|l| call.starts_with(l));
        let at = self.listed.iter().position(|(l, _)| fits(l));
        if let Some(i) = at
            && theirs != ours
        {
            self.used[i] = true;
            self.differ += 1;
        } else if theirs != ours {
            self.wrong.push(format!("{call}\n  promtool: {theirs:?}\n  ours:     {ours:?}"));
        } else {
            self.equal += 1;
        }
    }

    /// `prefix` says which lines of the list belong to this comparison.
    fn finish(self, what: &str, prefix: &[&str]) {
        eprintln!("{what}: {} calls equal, {} listed as different", self.equal, self.differ);
        let stale: Vec<&str> = self
            .listed
            .iter()
            .zip(&self.used)
            .filter(|((l, _), used)| !**used && prefix.iter().any(|p| l.starts_with(p)))
            .map(|((l, _), _)| l.as_str())
            .collect();
        assert!(self.wrong.is_empty(), "{} calls differ and are not listed:\n{}", self.wrong.len(), self.wrong.join("\n"));
        assert!(stale.is_empty(), "listed as different, and are not: {stale:#?}");
    }
}

#[test]
fn tool_checks_configurations_as_promtool() {
    let (Some(mut c), Some(config), Some(tool)) = (Comparison::new(), data("config"), data("promtool")) else { return };
    for f in files(&config, &[".yml"]).iter().filter(|f| !f.contains('/')) {
        c.call(&config, &["check", "config", f], b"");
        c.call(&config, &["check", "config", "--syntax-only", "--agent", f], b"");
    }
    for f in files(&tool, &[".yml"]) {
        c.call(&tool, &["check", "config", &f], b"");
    }
    for lint in ["all", "none", "too-long-scrape-interval", "nonsense", "duplicate-rules,too-long-scrape-interval"] {
        for fatal in [&["--lint-fatal"][..], &[]] {
            for f in ["prometheus-config.lint.yml", "prometheus-config.lint.too_long_scrape_interval.yml", "config_with_rule_files.yml"] {
                c.call(&tool, &[&["check", "config", "--lint", lint], fatal, &[f]].concat(), b"");
            }
        }
    }
    c.call(&tool, &["check", "--query.lookback-delta=1h", "config", "--lint=all", "prometheus-config.lint.too_long_scrape_interval.yml"], b"");
    c.finish("configurations", &["check config", "check --query"]);
}

#[test]
fn tool_checks_rules_as_promtool() {
    let (Some(mut c), Some(tool), Some(rules), Some(stack)) = (Comparison::new(), data("promtool"), data("rules"), data("kube-prometheus-stack"))
    else {
        return;
    };
    let mut all = Vec::new();
    for dir in [&tool, &rules, &stack] {
        all.extend(files(dir, &[".yml", ".yaml"]).into_iter().map(|f| (dir.clone(), f)));
    }
    for (dir, f) in &all {
        c.call(dir, &["check", "rules", f], b"");
        c.call(dir, &["check", "rules", "--lint=none", "--ignore-unknown-fields", f], b"");
        let text = std::fs::read(dir.join(f)).expect("the file");
        let args = ["check", "rules", "--lint-fatal"];
        let (theirs, ours) = (run(&c.real, dir, &args, &text), run(&c.ours, dir, &args, &text));
        c.judge(format!("{} < {f}", args.join(" ")), &theirs, &ours);
    }
    c.call(&tool, &["check", "rules", "rules.yml", "rules-bad.yml", "rules_duplicates.yml"], b"");
    c.finish("rules", &["check rules"]);
}

#[test]
fn tool_tests_rules_as_promtool() {
    let (Some(mut c), Some(tool)) = (Comparison::new(), data("promtool")) else { return };
    let tests = files(&tool, &[".yml"]);
    assert!(tests.len() > 20, "{tests:?}");
    for f in &tests {
        c.call(&tool, &["test", "rules", f], b"");
    }
    for more in [&["--run=Failing test"][..], &["--run=nothing"], &["--ignore-unknown-fields"]] {
        for f in ["failing.yml", "unittest.yml", "rules_run.yml", "rules_run_extrafields.yml"] {
            c.call(&tool, &[&["test", "rules"], more, &[f]].concat(), b"");
        }
    }
    c.call(&tool, &["--enable-feature=promql-experimental-functions", "test", "rules", "unittest.yml", "failing.yml"], b"");
    c.finish("unit tests", &["test rules", "--enable-feature"]);
}

#[test]
fn tool_lints_metrics_as_promtool() {
    let (Some(mut c), Some(tool), Some(pages)) = (Comparison::new(), data("promtool"), data("exposition")) else { return };
    for (dir, f) in files(&tool, &[".prom"]).into_iter().map(|f| (&tool, f)).chain(files(&pages, &[".prom.txt"]).into_iter().map(|f| (&pages, f))) {
        let text = std::fs::read(dir.join(&f)).expect("the file");
        let (theirs, ours) = (run(&c.real, dir, &["check", "metrics"], &text), run(&c.ours, dir, &["check", "metrics"], &text));
        c.judge(format!("check metrics < {f}"), &theirs, &ours);
    }
    let own: [(&str, &str); 7] = [
        ("names", "# HELP fooBar x\n# TYPE fooBar counter\nfooBar{someLabel=\"a\"} 1\n# TYPE a_ms gauge\na_ms 1\n# TYPE b_count gauge\nb_count 1\n"),
        (
            "types",
            "# HELP h x\n# TYPE h_histogram histogram\nh_histogram_bucket{le=\"+Inf\"} 1\nh_histogram_sum 1\nh_histogram_count 1\n# TYPE g gauge\ng{le=\"1\"} 1\ng{quantile=\"1\"} 1\n",
        ),
        ("twice", "# HELP x x\n# TYPE x gauge\nx{a=\"1\"} 1\nx{a=\"1\"} 2\n"),
        (
            "units",
            "# HELP x_kilometers_total x\n# TYPE x_kilometers_total counter\nx_kilometers_total 1\n# HELP y_minutes x\n# TYPE y_minutes gauge\ny_minutes 1\n# HELP z:z x\nz:z 1\n",
        ),
        ("good", "# HELP x_seconds x\n# TYPE x_seconds gauge\nx_seconds 1\n"),
        ("empty", ""),
        ("summary", "# HELP s_seconds x\n# TYPE s_seconds summary\ns_seconds{quantile=\"0.5\"} 1\ns_seconds_sum 1\ns_seconds_count 2\n"),
    ];
    for (name, page) in own {
        for args in [&["check", "metrics"][..], &["check", "metrics", "--extended"], &["check", "metrics", "--extended=x"]] {
            let (theirs, ours) = (run(&c.real, &tool, args, page.as_bytes()), run(&c.ours, &tool, args, page.as_bytes()));
            c.judge(format!("{} < {name}", args.join(" ")), &theirs, &ours);
        }
    }
    c.finish("metrics", &["check metrics"]);
}

#[test]
fn tool_refuses_calls_as_promtool() {
    let (Some(mut c), Some(tool)) = (Comparison::new(), data("promtool")) else { return };
    for line in [
        "check",
        "check config",
        "check config /nonexistent",
        "check config .",
        "check foo",
        "foo",
        "--foo",
        "check config --foo x",
        "check rules --lint",
        "check web-config",
        "check healthy --url=:::",
        "check healthy --url=http://127.0.0.1:1",
        "check ready --url=127.0.0.1:1",
        "check service-discovery",
        "check service-discovery prometheus-config.good.yml nothing",
        "check service-discovery config_with_service_discovery_files.yml prometheus --timeout=x",
        "query",
        "query instant",
        "query instant http://x",
        "query -o foo instant http://x up",
        "query instant ::: up",
        "query instant http://127.0.0.1:1 up",
        "query instant --time=x http://127.0.0.1:1 up",
        "query range http://127.0.0.1:1 up --step=5",
        "query range http://127.0.0.1:1 up --start=2 --end=1",
        "query series http://127.0.0.1:1",
        "query labels http://127.0.0.1:1 --start=x job",
        "query analyze --server=http://127.0.0.1:1 --type=x --match=up",
        "push metrics",
        "push metrics http://127.0.0.1:1 /nonexistent",
        "test",
        "test rules",
        "test rules /nonexistent",
        "promql format up",
        "--experimental promql format",
        "--experimental promql format sum(",
        "--experimental promql format sum(up{a='b'})by(job)",
        "--experimental promql label-matchers set up{a='b'} a c",
        "--experimental promql label-matchers set -t != rate(up{a='b'}[5m])+foo x y",
        "--experimental promql label-matchers set -t ! up a b",
        "--experimental promql label-matchers delete sum(up{a='b',c='d'})/foo{a='x'} a",
        "tsdb",
        "tsdb foo",
        "help nothing",
    ] {
        let args: Vec<&str> = line.split_whitespace().collect();
        c.call(&tool, &args, b"");
    }
    c.finish("calls", &["tsdb", "help", "--experimental", "foo", "--foo"]);
}

/// Both tools ask the same server, and push to it.
#[test]
fn tool_asks_a_server_as_promtool() {
    let Some(mut c) = Comparison::new() else { return };
    let Some(mut server) = Server::new(Kind::Prometheus, "asked", "", &[crate::RECEIVER]) else { return };
    server.start();
    let end = narthex_tests::now() as i64 / 10 * 10_000;
    let points = |v: f64| -> Vec<(i64, f64)> { (0..30).map(|k| (end - 300_000 + k * 10_000, v * k as f64)).collect() };
    let (a, b, big) = (points(1.0), points(0.25), points(1e20));
    let mut all = vec![
        wire::Series { labels: &[("__name__", "m"), ("job", "a"), ("z", "<&>\"")], samples: &a },
        wire::Series { labels: &[("__name__", "m"), ("job", "b")], samples: &b },
        wire::Series { labels: &[("__name__", "big")], samples: &big },
    ];
    let buckets: Vec<Vec<(&str, &str)>> =
        ["0.1", "1", "10", "+Inf"].iter().map(|le| vec![("__name__", "h_bucket"), ("job", "a"), ("le", *le)]).collect();
    let counts: Vec<Vec<(i64, f64)>> = [0.0, 1.0, 1.0, 3.0].iter().map(|v| points(*v)).collect();
    all.extend(buckets.iter().zip(&counts).map(|(labels, samples)| wire::Series { labels, samples }));
    assert_eq!(wire::push(&server, &all).status / 100, 2);
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("http.yml"), "basic_auth: {username: a, password: b}\n").expect("writes");
    std::fs::write(dir.path().join("bad.yml"), "basic_auth: {user: a}\n").expect("writes");
    let (url, at, start) = (server.url(), format!("{}", end / 1000 - 10), format!("{}", end / 1000 - 60));
    let time = format!("--time={at}");
    let (from, to) = (format!("--start={start}"), format!("--end={at}"));
    for args in [
        &["query", "instant", &time, &url, "m"][..],
        &["query", "instant", &time, &url, "m{job=\"b\"}[1m]"],
        &["query", "instant", &time, &url, "1.5"],
        &["query", "instant", &time, &url, "\"text\""],
        &["query", "instant", &time, &url, "big"],
        &["query", "instant", &time, &url, "{job=\"none\"}"],
        &["query", "instant", &time, &url, "sum(m) by (job) / 0"],
        &["query", "instant", &time, &url, "m{"],
        &["query", "-o", "json", "instant", &time, &url, "m"],
        &["query", "-o", "json", "instant", &time, &url, "1.5"],
        &["query", "-o", "json", "instant", &time, &url, "m[30s]"],
        &["query", "--http.config.file=http.yml", "instant", &time, &url, "m"],
        &["query", "--http.config.file=bad.yml", "instant", &time, &url, "m"],
        &["query", "range", &from, &to, "--step=20s", &url, "m"],
        &["query", "-o", "json", "range", &from, &to, "--header=a=b", &url, "sum(m)"],
        &["query", "range", &from, &to, &url, "m{job=\"b\"} + 0.5"],
        &["query", "range", &from, &to, &url, "nothing"],
        &["query", "range", &to, &from, &url, "m"],
        &["query", "series", "--match=m", "--match=big", &url],
        &["query", "-o", "json", "series", "--match=m", &from, &to, &url],
        &["query", "series", "--match=m{", &url],
        &["query", "labels", &url, "job"],
        &["query", "-o", "json", "labels", "--match=m", &url, "__name__"],
        &["query", "labels", &url, "nothing"],
        &["query", "labels", &url, "bad name"],
        &["query", "analyze", &format!("--server={url}"), "--type=histogram", &time, "--duration=5m", "--match=h_bucket"],
        &["query", "analyze", &format!("--server={url}"), "--type=histogram", &time, "--match=m"],
        &["check", "healthy", &format!("--url={url}")],
        &["check", "ready", &format!("--url={url}")],
        &["check", "ready", &format!("--url={url}/x")],
        &["debug", "metrics", &url],
        &["debug", "metrics", "http://127.0.0.1:1"],
    ] {
        c.call(dir.path(), args, b"");
    }
    let page = b"# HELP pushed x\n# TYPE pushed gauge\npushed{a=\"1\"} 5\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n";
    std::fs::write(dir.path().join("page.prom"), page).expect("writes");
    let write = format!("{url}/api/v1/write");
    c.call(dir.path(), &["push", "metrics", &write], page);
    c.call(dir.path(), &["push", "metrics", "--label=job=x", "--label=b=c", &write, "page.prom", "page.prom"], b"");
    let series = server.api("query", &[("query", "pushed")]);
    assert_eq!(series["data"]["result"].as_array().map(Vec::len), Some(2), "{series}");
    assert_eq!(server.value("pushed{job=\"promtool\",a=\"1\"}"), Some(5.0));
    assert_eq!(server.value("h_bucket{job=\"x\",b=\"c\",le=\"+Inf\"}"), Some(2.0));
    let wrong = |program: &Path| run(program, dir.path(), &["push", "metrics", &write], b"x{ 1\n");
    let (theirs, ours) = (wrong(&c.real), wrong(&c.ours));
    c.judge(format!("push metrics {write} < wrong"), &theirs, &ours);
    c.call(dir.path(), &["push", "metrics", &format!("{url}/nowhere/write")], page);
    c.finish("a server asked", &["query", "push", "debug"]);
}
