//! Every YAML file of the reference's and the operator's own test data is read, written and read again.
//!
//! The data is found through NARTHEX_CONFORMANCE, else beside the repository; without it this test passes. What a plain clone tests stands
//! beside the code.

use std::path::{Path, PathBuf};
use yaml::{Kind, Node};

fn files(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, out);
        } else if path.extension().is_some_and(|e| e == "yml" || e == "yaml" || e == "golden") {
            out.push(path);
        }
    }
}

/// The same content, wherever it stands and however it is written.
fn same(a: &Node, b: &Node) -> bool {
    match (&a.kind, &b.kind) {
        (Kind::Seq(a), Kind::Seq(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Kind::Map(a), Kind::Map(b)) => a.len() == b.len() && a.iter().zip(b).all(|((k, v), (l, w))| same(k, l) && same(v, w)),
        (Kind::Binary(_), _) => true,
        _ => (a.resolved() == b.resolved()) && a.text() == b.text(),
    }
}

#[test]
fn files_survive_reading_and_writing() {
    let root = std::env::var_os("NARTHEX_CONFORMANCE")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"), PathBuf::from);
    let mut found = Vec::new();
    for sub in ["config", "operator", "rules", "promtool", "kube-prometheus-stack"] {
        files(&root.join(sub), &mut found);
    }
    let mut problems = Vec::new();
    for path in &found {
        let Ok(text) = std::fs::read_to_string(path) else { continue };
        let name = path.display();
        match yaml::parse(&text) {
            Err(e) => problems.push(format!("{name}: {e}")),
            Ok(node) => match yaml::parse(&yaml::to_string(&node)) {
                Ok(again) if same(&node, &again) => {}
                Ok(_) => problems.push(format!("{name}: changed")),
                Err(e) => problems.push(format!("{name}: written: {e}")),
            },
        }
    }
    // Its base64 is meant to be wrong.
    problems.retain(|p| !p.contains("labelmap.bad.yml"));
    assert!(problems.is_empty(), "{} of {}:\n{}", problems.len(), found.len(), problems.join("\n"));
    assert!(!root.exists() || found.len() > 500, "only {} files", found.len());
}
