use crate::tests::Running;
use crate::testserver::{Say, serve};
use parking_lot::Mutex;
use std::sync::Arc;

#[tokio::test]
async fn services_are_watched() {
    let gone = Arc::new(Mutex::new(false));
    let is_gone = Arc::clone(&gone);
    let url = serve(move |r| {
        let query = r.uri().query().unwrap_or_default();
        match r.uri().path() {
            "/pre/v1/agent/self" => Say::Json(r#"{"Config": {"Datacenter": "dc1"}}"#.into()),
            "/pre/v1/catalog/services" => {
                assert!(query.contains("wait=120000ms") && query.contains("node-meta=rack%3A1") && query.ends_with("stale"), "{query}");
                assert_eq!(r.headers().get("x-consul-token").map(|v| v.as_bytes()), Some(&b"tok"[..]));
                Say::Json(if *is_gone.lock() { "{}" } else { r#"{"web": ["a"], "db": []}"# }.into())
            }
            "/pre/v1/health/service/web" => Say::Json(
                r#"[{"Node": {"Node": "n1", "Address": "10.0.0.1", "Meta": {"rack-id": "1"}, "TaggedAddresses": {"lan": "10.0.0.1"}},
                     "Service": {"ID": "web-1", "Address": "", "Port": 80, "Tags": ["a", "b"], "Meta": null},
                     "Checks": [{"CheckID": "x", "Status": "passing"}, {"CheckID": "y", "Status": "warning"}]}]"#
                    .into(),
            ),
            other => Say::Status(404, format!("nothing at {other}")),
        }
    })
    .await;
    let r = Running::new();
    let server = url.replace("http://", "");
    r.apply(&[(
        "c",
        &format!(
            "consul_sd_configs: [{{server: '{server}', path_prefix: /pre, token: tok, tags: [a], node_meta: {{rack: '1'}}, refresh_interval: 50ms}}]"
        ),
    )]);
    let labels = r#"{__meta_consul_dc="dc1", __meta_consul_service="web"}"#;
    r.shows("c", &[&format!("web 10.0.0.1:80 {labels}")]).await;
    let target = r.manager.snapshot()["c"][0].targets[0].to_string().replace("__meta_consul_", "~");
    assert_eq!(
        target,
        r#"{__address__="10.0.0.1:80", ~address="10.0.0.1", ~health="warning", ~metadata_rack_id="1", ~node="n1", ~service_id="web-1", ~service_port="80", ~tagged_address_lan="10.0.0.1", ~tags=",a,b,"}"#
    );
    *gone.lock() = true;
    r.shows("c", &[]).await;
    assert_eq!(r.counted("prometheus_sd_consul_rpc_failures_total"), 0.0);
}
