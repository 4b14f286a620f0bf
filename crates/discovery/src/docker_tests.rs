use crate::tests::Running;
use crate::testserver::{Say, serve};

#[tokio::test]
async fn containers_become_targets() {
    let url = serve(|r| match r.uri().path() {
        "/containers/json" => {
            assert_eq!(r.uri().query(), Some("filters=%7B%22label%22%3A%7B%22x%22%3Atrue%7D%7D"));
            Say::Json(
                r#"[{"Id": "1", "Names": ["/web"], "Labels": {"com.x": "y"}, "HostConfig": {"NetworkMode": "net"},
                     "NetworkSettings": {"Networks": {"b": {"NetworkID": "nb", "IPAddress": "10.0.0.2"}, "a": {"NetworkID": "na", "IPAddress": "10.0.0.1"}}},
                     "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}, {"PrivatePort": 53, "Type": "udp"}]},
                    {"Id": "2", "Names": ["/side"], "HostConfig": {"NetworkMode": "container:1"}, "NetworkSettings": {"Networks": {}}, "Ports": []},
                    {"Id": "3", "Names": ["/host"], "HostConfig": {"NetworkMode": "host"}, "NetworkSettings": {"Networks": {"host": {"NetworkID": "h"}}}, "Ports": null}]"#
                    .into(),
            )
        }
        "/networks" => Say::Json(r#"[{"Id": "na", "Name": "a", "Scope": "local", "Internal": false, "Ingress": false, "Labels": {"l": "v"}}]"#.into()),
        other => Say::Status(404, other.into()),
    })
    .await;
    let r = Running::new();
    r.apply(&[("d", &format!("docker_sd_configs: [{{host: '{url}', filters: [{{name: label, values: [x]}}]}}]"))]);
    r.shows("d", &["Docker 10.0.0.1:80,10.0.0.1:80,localhost {}"]).await;
    let snapshot = r.manager.snapshot();
    let targets: Vec<String> = snapshot["d"][0].targets.iter().map(|t| t.to_string().replace("__meta_docker_", "~")).collect();
    let network = r#"~network_id="na", ~network_ingress="false", ~network_internal="false", ~network_ip="10.0.0.1", ~network_label_l="v", ~network_name="a", ~network_scope="local""#;
    assert_eq!(
        targets,
        [
            format!(
                r#"{{__address__="10.0.0.1:80", ~container_id="1", ~container_label_com_x="y", ~container_name="/web", ~container_network_mode="net", {network}, ~port_private="80", ~port_public="8080", ~port_public_ip="0.0.0.0"}}"#
            ),
            format!(r#"{{__address__="10.0.0.1:80", ~container_id="2", ~container_name="/side", ~container_network_mode="container:1", {network}}}"#),
            r#"{__address__="localhost", ~container_id="3", ~container_name="/host", ~container_network_mode="host"}"#.to_string(),
        ]
    );
}
