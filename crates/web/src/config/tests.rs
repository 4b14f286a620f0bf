use super::*;
use stdx::fs::RealFs;

fn loaded(text: &str) -> Result<WebConfig, String> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("web.yml");
    let mut f = RealFs.open(&path, stdx::fs::Open::Truncate).expect("creates");
    f.append(text.as_bytes()).expect("writes");
    load(&RealFs, &path)
}

const HASH: &str = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";
const SHA: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn good_files() {
    for text in [
        "",
        "{}",
        "tls_server_config: {}\n",
        "http_server_config: {http2: false, headers: {X-Frame-Options: deny}}\n",
        &format!("basic_auth_users: {{alice: '{HASH}'}}\nopen_health_endpoints: true\n"),
        "tls_server_config: {cert_file: a, key_file: b, min_version: TLS10, curve_preferences: [CurveP521, X25519], cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA]}\n",
        "rate_limit: {burst: 10, interval: 1s}\n",
        &format!("clients: [{{name: leaf-a, token_sha256: {SHA}, may: [write], only_labels: {{class: \"6반\"}}}}]\n"),
        "tls_server_config: {cert_file: a, key_file: b, client_ca_file: c, client_auth_type: VerifyClientCertIfGiven}\n\
         clients: [{name: leaf-a, certificate_san: leaf-a.example, may: [write, read]}]\n",
    ] {
        loaded(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    }
}

#[test]
fn bad_files() {
    for (text, why) in [
        ("tls_config: {}\n", "field tls_config not found"),
        ("http_server_config: {headers: {Server: x}}\n", "HTTP header \"Server\" can not be configured"),
        ("basic_auth_users: {alice: secret}\n", "not a bcrypt hash"),
        ("tls_server_config: {cert_file: a, key_file: b, cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]}\n", "unknown cipher"),
        ("tls_server_config: {curve_preferences: [P256]}\n", "unknown curve: P256"),
        ("tls_server_config: {min_version: SSL3}\n", "unknown TLS version: SSL3"),
        (&format!("clients: [{{name: a, token_sha256: {SHA}}}]\n"), "at least one of read, write, admin"),
        (&format!("clients: [{{token_sha256: {SHA}, may: [read]}}]\n"), "a client needs a name"),
        (&format!("clients: [{{name: a, token_sha256: {SHA}, may: [all]}}]\n"), "\"all\" is none of"),
        (&format!("clients: [{{name: a, token_sha256: {SHA}, token_file: x, may: [read]}}]\n"), "exactly one of"),
        ("clients: [{name: a, may: [read]}]\n", "exactly one of"),
        ("clients: [{name: a, token_sha256: abc, may: [read]}]\n", "64 hexadecimal"),
        ("clients: [{name: a, certificate_san: a.example, may: [read]}]\n", "needs client_auth_type"),
        (&format!("clients: [{{name: a, token_sha256: {SHA}, may: [admin], only_labels: {{a: b}}}}]\n"), "together with only_labels"),
        (&format!("clients: [{{name: a, token_sha256: {SHA}, may: [read], only_labels: {{a: ''}}}}]\n"), "only_labels"),
        (&format!("clients: [{{name: a, token_sha256: {SHA}, may: [read]}}, {{name: a, token_sha256: {SHA}, may: [read]}}]\n"), "named twice"),
    ] {
        let e = loaded(text).expect_err(text);
        assert!(e.contains(why), "{text}: {e}");
        assert!(e.contains("web.yml"), "the file is named: {e}");
    }
}

#[test]
fn credentials_are_never_in_an_error_or_a_debug_text() {
    let text = format!("basic_auth_users: {{alice: '{HASH}', bob: letmein}}\n");
    assert!(!loaded(&text).expect_err("bob's is no hash").contains("letmein"));
    let c = loaded(&format!("basic_auth_users: {{alice: '{HASH}'}}\n")).expect("good");
    assert!(!format!("{c:?}").contains("QOauhQ"));
}

#[test]
fn two_clients_with_one_credential_are_refused() {
    let text = format!("clients: [{{name: a, token_sha256: {SHA}, may: [read]}}, {{name: b, token_sha256: {SHA}, may: [write]}}]\n");
    let c = loaded(&text).expect("each is right by itself");
    assert!(access::tables(&RealFs, &c.clients).expect_err("same").contains("same credential as \"a\""));
}
