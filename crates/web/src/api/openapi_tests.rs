use super::*;

#[test]
fn the_document_is_yaml_and_names_every_path() {
    for newer in [false, true] {
        let text = render(newer, "http://host:9090/prom/", "3.14.0");
        let tree = yaml::parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert!(!tree.is_null());
        assert!(text.contains("http://host:9090/prom/api/v1"));
        for p in PATHS {
            assert_eq!(text.contains(&format!("\n  {}:\n", p.path)), newer || p.path != "/notifications/live", "{}", p.path);
        }
        assert!(text.starts_with(if newer { "openapi: 3.2.0" } else { "openapi: 3.1.0" }));
    }
}

#[test]
fn operation_ids_are_unique() {
    let text = render(true, "", "x");
    let mut ids: Vec<&str> = text.lines().filter_map(|l| l.trim().strip_prefix("operationId: ")).collect();
    let n = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((n, n > 40), (ids.len(), true));
}
