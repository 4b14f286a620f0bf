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
    assert!(f.check_mode().is_ok());
}

#[test]
fn every_flag_parses_by_its_default() {
    for flag in FLAGS {
        let arg = if flag.kind == Kind::Bool { format!("--{}", flag.name) } else { format!("--{}={}", flag.name, flag.default) };
        run(&[&arg]);
    }
}

#[test]
fn wrong_ones_are_refused() {
    for args in [
        ["--nope"].as_slice(),
        &["--query.timeout=5"],
        &["--log.level=loud"],
        &["positional"],
        &["--query.max-samples=many"],
        &["--config.file=a", "--config.file=b"],
    ] {
        let args: Vec<String> = args.iter().map(|s| (*s).to_string()).collect();
        let e = Flags::parse("narthex", &args).expect_err("refused");
        assert_eq!(e.exit_code(), 2, "{args:?}: {e}");
    }
    assert!(run(&["--agent", "--query.timeout=1m"]).check_mode().is_err());
    assert!(run(&["--storage.agent.path=x"]).check_mode().is_err());
    assert!(run(&["--enable-feature=exemplar-storage,agent", "--storage.agent.path=x"]).check_mode().is_ok());
    assert!(run(&["--enable-feature=agent", "--storage.tsdb.path=x"]).check_mode().is_err());
}
