use super::table::ServerFlag;
use super::*;

fn run(args: &[&str]) -> Flags {
    match Flags::parse("narthex", &args.iter().map(|s| (*s).to_string()).collect::<Vec<_>>()) {
        Ok(Parsed::Run(f)) => f,
        other => panic!("{args:?}: {other:?}"),
    }
}

#[test]
fn every_form_that_charts_and_operators_write() {
    let f = run(&[
        "--config.file=/a/b.yml",
        "--storage.tsdb.path",
        "/prometheus",
        "--web.enable-lifecycle",
        "--no-storage.tsdb.wal-compression",
        "--web.listen-address=127.0.0.1:1",
        "--web.listen-address=127.0.0.1:2",
        "--enable-feature=a,b",
        "--enable-feature=c",
        "--storage.tsdb.retention.time=10d",
        "--storage.tsdb.retention.size=512MB",
        "--web.console.templates=/etc/prometheus/consoles",
    ]);
    assert_eq!(f.text("config.file"), "/a/b.yml");
    assert_eq!(f.text("storage.tsdb.path"), "/prometheus");
    assert!(f.bool("web.enable-lifecycle") && !f.bool("storage.tsdb.wal-compression") && f.bool("auto-gomaxprocs"));
    assert_eq!(f.list("web.listen-address"), ["127.0.0.1:1", "127.0.0.1:2"]);
    assert_eq!(f.features(), ["a", "b", "c"]);
    assert_eq!(f.duration_ms("storage.tsdb.retention.time"), Some(864_000_000));
    assert_eq!(f.size_bytes("storage.tsdb.retention.size"), Some(512 << 20));
    assert_eq!(f.duration_ms("storage.tsdb.max-block-duration"), None);
    assert_eq!(f.check(), Ok(()));
    assert_eq!(run(&["--query.max-samples=5e7"]).int("query.max-samples"), 50_000_000);
}

#[test]
fn every_flag_parses_in_every_form() {
    for ServerFlag { flag, mode } in FLAGS {
        let value = match (flag.default, flag.kind) {
            ("", Kind::Duration | Kind::GoDuration) => "1h",
            ("", Kind::Size) => "1GB",
            (d, _) => d,
        };
        let agent = if *mode == Mode::Agent { vec!["--agent"] } else { Vec::new() };
        let (one, yes, no) = (format!("--{}={value}", flag.name), format!("--{}", flag.name), format!("--no-{}", flag.name));
        let forms =
            if flag.kind == Kind::Bool { vec![vec![yes.as_str()], vec![no.as_str()]] } else { vec![vec![one.as_str()], vec![yes.as_str(), value]] };
        for form in forms {
            let f = run(&[form.as_slice(), agent.as_slice()].concat());
            assert!(f.is_given(flag.name), "{form:?}");
            assert_eq!(f.check(), Ok(()), "{form:?}");
        }
    }
}

#[test]
fn wrong_ones_are_refused_in_prometheus_words() {
    for (args, text, is_structure) in [
        (["--nope"].as_slice(), "unknown long flag '--nope'", true),
        (&["--query.timeout=5"], "not a valid duration string: \"5\"", false),
        (&["--log.level=loud"], "unrecognized log level loud", false),
        (&["--storage.tsdb.wal-compression-type=gzip"], "enum value must be one of snappy,zstd, got 'gzip'", false),
        (&["positional"], "unexpected positional", true),
        (&["--web.enable-lifecycle=true"], "unexpected true", true),
        (&["--query.max-samples=many"], "strconv.ParseFloat: parsing \"many\": invalid syntax", false),
        (&["--storage.tsdb.retention.size=5"], "units: unknown unit  in 5", false),
        (&["--config.file=a", "--config.file=b"], "flag 'config.file' cannot be repeated", false),
    ] {
        let args: Vec<String> = args.iter().map(|s| (*s).to_string()).collect();
        let e = Flags::parse("narthex", &args).expect_err("refused");
        assert_eq!((e.text.as_str(), e.is_structure), (text, is_structure), "{args:?}");
    }
    let code = |args: &[&str]| run(args).check().map_err(|(code, text)| format!("{code}: {text}"));
    for (args, expected) in [
        (
            ["--agent", "--storage.tsdb.path=x", "--query.timeout=1m"].as_slice(),
            r#"3: The following flag(s) can not be used in agent mode: ["--storage.tsdb.path" "--query.timeout"]"#,
        ),
        (&["--storage.agent.path=x"], r#"3: The following flag(s) can only be used in agent mode: ["--storage.agent.path"]"#),
        (&["--enable-feature=agent", "--storage.tsdb.path=x"], r#"3: The following flag(s) can not be used in agent mode: ["--storage.tsdb.path"]"#),
        (&["--auto-gomemlimit.ratio=2"], "1: --auto-gomemlimit.ratio must be greater than 0 and less than or equal to 1."),
        (&["--web.search.max-limit=-1"], "1: --web.search.max-limit must be non-negative; got -1 (use 0 to disable the cap)"),
    ] {
        assert_eq!(code(args), Err(expected.to_string()), "{args:?}");
    }
    assert!(code(&["--enable-feature=exemplar-storage,agent", "--storage.agent.path=x"]).is_ok());
}

/// The page is written from the table; it is not to fall behind.
#[test]
fn the_page_of_the_flags_is_of_this_table() {
    let page = include_str!("../../../../docs/flags.md");
    for line in reference().lines() {
        assert!(page.contains(line), "docs/flags.md lacks {line}; narthex --write-documentation writes it");
    }
    let rows = page.lines().filter(|l| l.starts_with("| `--")).count();
    assert_eq!(rows, FLAGS.len(), "docs/flags.md has flags that are no more");
}
