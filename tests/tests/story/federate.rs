//! pull down: the older way. A central scrapes what a leaf offers at /federate.

use crate::tools::{RECEIVER, assert_rises, config, job, missing, seconds, series, wait_for_points};
use narthex_tests::{CounterTarget, Kind, Server, wait_for};
use serde_json::json;

fn federation(leaf: &Server) -> String {
    format!(
        "- job_name: federate\n  honor_labels: true\n  metrics_path: /federate\n  params:\n    'match[]':\n    - '{{job=\"서버-1\"}}'\n    - 'up{{job=\"none\"}}'\n  \
         static_configs:\n  - targets: ['{}']\n",
        leaf.address()
    )
}

fn pulls(leaf: Kind, central: Kind) {
    let target = CounterTarget::start(20);
    let of_leaf = config("site: \"학교\"", &[job("서버-1", &target.address, "class: \"6반\", grade: \"1학년\"")], &[]);
    let Some(mut leaf) = Server::new(leaf, "leaf", &of_leaf, &[]) else { return };
    leaf.start();
    let Some(mut central) = Server::new(central, "central", &config("", &[federation(&leaf)], &[]), &[RECEIVER]) else { return };
    central.start();
    let selector = r#"{job="서버-1"}"#;
    let pulled = wait_for_points(&central, r#"scrapes_total{job="서버-1",class="6반",grade="1학년",site="학교"}"#, 8);
    assert_rises(&pulled);

    // Times, values and labels are the leaf's, down to `instance` and `job`: nothing is here that is not there.
    let here = series(&central, selector, &json!({}));
    wait_for("the leaf has all of it", seconds(5), || Some(missing(&here, &series(&leaf, selector, &json!({"site": "학교"})))).filter(Vec::is_empty));
    assert!(here.len() >= 1 + 20 + 5, "{} series came", here.len());
    // The federation's own reports carry the job that pulls.
    assert_eq!(central.value(r#"up{job="federate"}"#), Some(1.0));
    leaf.stop();
    central.stop();
}

#[test]
fn a_central_pulls_from_a_leaf() {
    pulls(Kind::Narthex, Kind::Narthex);
}

#[test]
fn a_prometheus_central_pulls_from_a_leaf() {
    pulls(Kind::Narthex, Kind::Prometheus);
}

#[test]
fn a_central_pulls_from_a_prometheus_leaf() {
    pulls(Kind::Prometheus, Kind::Narthex);
}
