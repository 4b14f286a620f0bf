//! The reference's own test scripts, all of them. They are not part of this repository: NARTHEX_CONFORMANCE says where they are.

use promql::testkit;
use std::path::PathBuf;
use stdx::clock::SystemClock;

/// Evaluations in the scripts of Prometheus 3.14.
const ALL: usize = 2195;

#[test]
#[allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a test finds its data by the environment and reports")]
fn scripts_of_the_reference() {
    let at = std::env::var("NARTHEX_CONFORMANCE").unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/conformance").to_string());
    let folder = PathBuf::from(at).join("promql");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        let required = std::env::var("NARTHEX_REQUIRE").is_ok_and(|v| v.split(',').any(|w| w == "conformance"));
        assert!(!required, "no conformance data in {}, and NARTHEX_REQUIRE asks for it", folder.display());
        println!("promql: skipped, no conformance data in {}", folder.display());
        return;
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "test")).collect();
    files.sort();
    let only = std::env::var("NARTHEX_CONFORMANCE_ONLY").unwrap_or_default();
    let engine = testkit::engine(SystemClock::shared());
    let (mut good, mut all) = (0, 0);
    for file in files.iter().filter(|f| f.to_string_lossy().contains(&only)) {
        let name = file.file_name().map(|n| n.to_string_lossy().to_string()).unwrap_or_default();
        let text = std::fs::read_to_string(file).expect("a script is readable");
        match testkit::run(&text, &engine) {
            Err(e) => println!("{name}: {e}"),
            Ok(outcomes) => {
                let here = outcomes.iter().filter(|o| o.failure.is_none()).count();
                for o in outcomes.iter() {
                    if let Some(f) = &o.failure {
                        println!("{name}:{}: {}\n    {f}", o.line, o.query);
                    }
                }
                println!("{name}: {here}/{}", outcomes.len());
                good += here;
                all += outcomes.len();
            }
        }
    }
    println!("promql: {good}/{all} evals");
    assert!(!only.is_empty() || (good == ALL && all == ALL), "{good} of {ALL} evaluations are as in the reference");
}
