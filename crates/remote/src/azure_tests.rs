use super::*;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use stdx::clock::ManualClock;
use stdx::fs::{RealFs, write_atomic};

const ID: &str = "00000000-0000-0000-0000-000000000000";

/// Answers each request with the next of the replies, and hands over what was asked.
fn fake(replies: Vec<(u16, &'static str)>) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("bound"));
    let (sender, asked) = channel();
    std::thread::spawn(move || {
        for (status, body) in replies {
            let Ok((mut s, _)) = listener.accept() else { return };
            let mut text = Vec::new();
            let mut chunk = [0; 4096];
            loop {
                let n = s.read(&mut chunk).unwrap_or(0);
                text.extend_from_slice(&chunk[..n]);
                let all = String::from_utf8_lossy(&text).to_ascii_lowercase();
                let length = all.split("content-length: ").nth(1).and_then(|l| l.split("\r\n").next()?.parse::<usize>().ok()).unwrap_or(0);
                let complete = all.find("\r\n\r\n").is_some_and(|end| text.len() >= end + 4 + length);
                if n == 0 || complete {
                    break;
                }
            }
            let _ = sender.send(String::from_utf8_lossy(&text).into_owned());
            let _ = write!(
                s,
                "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
        }
    });
    (address, asked)
}

fn tokens(config: &str, clock: &Arc<ManualClock>, environment: &[(&'static str, &str)]) -> AzureTokens {
    let azure = environment.iter().map(|(k, v)| (*k, (*v).to_string())).collect();
    let environment = client::Environment { azure, ..client::Environment::default() };
    let options = Options::in_environment(clock.clone(), Arc::new(RealFs), environment);
    let config: AzureAdConfig = yaml::from_str(config, &yaml::Options::default()).expect(config);
    AzureTokens::new(&config, "test", &options).expect("a source of tokens")
}

const TOKEN: &str = r#"{"access_token": "T1", "expires_in": 3600, "token_type": "Bearer"}"#;

#[tokio::test]
async fn a_secret_is_given_for_a_token_that_is_kept_until_it_ends() {
    let (url, asked) = fake(vec![(200, TOKEN), (200, r#"{"access_token": "T2", "expires_in": "3600"}"#), (200, TOKEN)]);
    let clock = ManualClock::at_ms(0);
    let t = tokens(&format!("{{oauth: {{client_id: {ID}, client_secret: 's&c', tenant_id: ten}}}}"), &clock, &[("AZURE_AUTHORITY_HOST", &url)]);
    assert_eq!(t.header().await.expect("a token"), "Bearer T1");
    let first = asked.recv().expect("asked");
    assert!(first.starts_with("POST /ten/oauth2/v2.0/token "), "{first}");
    let form = format!("client_id={ID}&client_secret=s%26c&grant_type=client_credentials&scope=https%3A%2F%2Fmonitor.azure.com%2F%2F.default");
    assert!(first.ends_with(&form), "{first}");
    clock.set_ms(3_200_000);
    assert_eq!(t.header().await.expect("the kept token"), "Bearer T1");
    clock.set_ms(3_400_000);
    assert_eq!(t.header().await.expect("another"), "Bearer T2");
    t.forget();
    assert_eq!(t.header().await.expect("a third"), "Bearer T1");
}

#[tokio::test]
async fn a_workload_shows_the_token_of_its_pod() {
    let (url, asked) = fake(vec![(200, TOKEN)]);
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("token");
    write_atomic(&RealFs, &file, b"of-the-pod\n").expect("written");
    let config = format!("{{cloud: AzureGovernment, workload_identity: {{client_id: {ID}, tenant_id: {ID}, token_file_path: {}}}}}", file.display());
    let t = tokens(&config, &ManualClock::at_ms(0), &[("AZURE_AUTHORITY_HOST", &url)]);
    assert_eq!(t.header().await.expect("a token"), "Bearer T1");
    let text = asked.recv().expect("asked");
    assert!(text.contains("client_assertion=of-the-pod&grant_type=client_credentials&scope=https%3A%2F%2Fmonitor.azure.us%2F%2F.default"), "{text}");
    assert!(text.contains("client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"), "{text}");
}

#[tokio::test]
async fn a_machine_vouches_for_itself() {
    let clock = ManualClock::at_ms(0);
    let (url, asked) = fake(vec![(200, TOKEN)]);
    let t = tokens(&format!("{{managed_identity: {{client_id: {ID}}}}}"), &clock, &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &url)]);
    assert_eq!(t.header().await.expect("a token"), "Bearer T1");
    let text = asked.recv().expect("asked").to_lowercase();
    let line = format!("get /metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3a%2f%2fmonitor.azure.com%2f&client_id={ID} ");
    assert!(text.starts_with(&line) && text.contains("\r\nmetadata: true\r\n"), "{text}");
    // In an App Service its agent is asked, which says when the token ends. The SDK's way comes to the same when the environment names nothing else.
    let (url, asked) = fake(vec![(200, r#"{"access_token": "T3", "expires_on": "1000"}"#)]);
    let t = tokens("{sdk: {tenant_id: x}}", &clock, &[("IDENTITY_ENDPOINT", &url), ("IDENTITY_HEADER", "h")]);
    assert_eq!(t.header().await.expect("a token"), "Bearer T3");
    assert!(asked.recv().expect("asked").to_lowercase().contains("\r\nx-identity-header: h\r\n"));
}

#[tokio::test]
async fn a_refusal_says_why() {
    let (url, _asked) = fake(vec![(401, r#"{"error": "invalid_client", "error_description": "no such secret"}"#)]);
    let t =
        tokens(&format!("{{oauth: {{client_id: {ID}, client_secret: s, tenant_id: t}}}}"), &ManualClock::at_ms(0), &[("AZURE_AUTHORITY_HOST", &url)]);
    let e = t.header().await.expect_err("refused").to_string();
    assert!(e.contains("invalid_client: no such secret"), "{e}");
}
