use super::*;

fn read(text: &str) -> Result<RemoteWriteConfig, String> {
    yaml::from_str(text, &yaml::Options::default()).map_err(|e| e.to_string())
}

#[test]
fn every_key_is_known_and_the_defaults_are_the_references() {
    let c = read("url: http://central/api/v1/write\n").expect("smallest");
    assert_eq!((c.queue_config.capacity, c.queue_config.batch_send_deadline, c.http.enable_http2), (10_000, Millis::from_secs(5), false));
    assert_eq!(c.protobuf_message, ProtobufMessage::Unsaid);
    let text = "
url: https://u:p@central:9090/api/v1/write?x=1
remote_timeout: 5s
headers: {X-Scope-OrgID: a}
write_relabel_configs: [{source_labels: [__name__], regex: go_.*, action: drop}]
name: central
send_exemplars: true
send_native_histograms: true
round_robin_dns: true
protobuf_message: io.prometheus.write.v2.Request
basic_auth: {username: a, password_file: secret}
tls_config: {insecure_skip_verify: true}
queue_config: {capacity: 5, max_shards: 3, min_shards: 2, max_samples_per_send: 4, batch_send_deadline: 1s, min_backoff: 1ms, max_backoff: 2s, retry_on_http_429: true, sample_age_limit: 1h}
metadata_config: {send: false, send_interval: 2m, max_samples_per_send: 10}
";
    let c = read(text).expect("all keys");
    assert_eq!((c.queue_config.max_shards, c.protobuf_message, c.write_relabel_configs.len()), (3, ProtobufMessage::V2, 1));
    assert!(yaml::to_string(&c).contains("xxxxx"), "no password is shown");
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    for (text, want) in [
        ("name: a\n", "url for remote_write is empty"),
        ("url: http://a\nurls: b\n", "field urls not found"),
        ("url: http://a\nsigv4: {regio: x}\n", "field regio not found in type sigv4.plain"),
        ("url: http://a\nsigv4: {access_key: x}\n", "must provide a AWS SigV4 Access key and Secret Key"),
        ("url: http://a\nazuread: {cloud: x}\n", "must provide a cloud"),
        ("url: http://a\nazuread: {}\n", "must provide an Azure Managed Identity"),
        ("url: http://a\nazuread: {sdk: {}, oauth: {}}\n", "multiple authentication methods"),
        ("url: http://a\nazuread: {oauth: {}}\n", "must provide an Azure OAuth client_id"),
        ("url: http://a\nazuread: {managed_identity: {client_id: x}}\n", "Azure Managed Identity client_id is invalid"),
        ("url: http://a\nazuread: {sdk: {}, scope: 'a;b'}\n", "scope contains invalid characters"),
        ("url: http://a\ngoogle_iam: {credentials: x}\n", "field credentials not found in type googleiam.Config"),
        ("url: http://a\nsigv4: {}\nbasic_auth: {username: a}\n", "at most one of basic_auth"),
        ("url: http://a\nheaders: {Authorization: x}\n", "authorization header must be changed via"),
        ("url: http://a\nheaders: {Content-Type: x}\n", "Content-Type is a reserved header"),
        ("url: http://a\nprotobuf_message: x\n", "invalid protobuf_message value"),
        ("url: http://a\nqueue_config: {min_shards: 9, max_shards: 2}\n", "min_shards must not be greater"),
        ("url: http://a\nqueue_config: {max_backoff: 1ms}\n", "max_backoff must not be less"),
        ("url: http://a\nqueue_config: {capacity: 0}\n", "capacity must be positive"),
        ("url: http://a\nwrite_relabel_configs: [null]\n", "empty or null relabeling rule in remote write config"),
    ] {
        let got = read(text).expect_err(text);
        assert!(got.contains(want), "{text}: {got}");
    }
}

#[test]
fn clouds_are_read_and_those_without_a_signer_are_named() {
    for (text, want) in [
        ("sigv4: {}", None),
        ("azuread: {managed_identity: {client_id: 00000000-a12b-3cd4-e56f-000000000000}, cloud: AzureChina}", None),
        ("azuread: {workload_identity: {client_id: 00000000a12b3cd4e56f000000000000, tenant_id: '{00000000-a12b-3cd4-e56f-000000000000}'}}", None),
        ("google_iam: {credentials_file: /x}", Some("google_iam")),
    ] {
        let c = read(&format!("url: http://a\n{text}\n")).expect(text);
        assert_eq!(c.unsupported(), want, "{text}");
    }
}
