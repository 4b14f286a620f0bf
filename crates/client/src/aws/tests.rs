use super::signature::Keys;
use super::*;
use crate::options::Environment;
use std::collections::BTreeMap;
use std::sync::Arc;
use stdx::clock::ManualClock;
use stdx::fs::{RealFs, write_atomic};

const AUG_30: i64 = 1_440_938_160_000;

#[test]
fn dates() {
    for (ms, text) in [(AUG_30, "20150830T123600Z"), (0, "19700101T000000Z"), (951_782_400_000, "20000229T000000Z"), (-1000, "19691231T235959Z")] {
        assert_eq!(time::basic(ms), text);
        let long = format!("{}-{}-{}T{}:{}:{}Z", &text[..4], &text[4..6], &text[6..8], &text[9..11], &text[11..13], &text[13..15]);
        assert_eq!(time::parse(&long), Some(ms), "{long}");
    }
    assert_eq!(time::parse("yesterday"), None);
}

/// "get-vanilla-query-order-key-case" of AWS's own test suite.
#[test]
fn signs_as_the_test_suite_says() {
    let keys = Keys { id: "AKIDEXAMPLE".into(), secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(), token: String::new() };
    let mut r = Request::get("http://example.amazonaws.com/?Param2=value2&Param1=value1").expect("a url");
    signature::sign(&mut r, &keys, "us-east-1", "service", AUG_30).expect("signed");
    assert_eq!(
        r.headers["authorization"].to_str().expect("text"),
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, \
         Signature=b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"
    );
}

#[tokio::test]
async fn keys_come_from_the_config_the_environment_or_a_profile() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("credentials");
    write_atomic(
        &RealFs,
        &file,
        b"[default]\naws_access_key_id = D\naws_secret_access_key = s\n[other]\naws_access_key_id=O\naws_secret_access_key=s\n",
    )
    .expect("written");
    let file = file.display().to_string();
    let check = async |config: &str, vars: &[(&'static str, &str)], expect: &str| {
        let aws: BTreeMap<_, _> = vars.iter().map(|(k, v)| (*k, v.to_string())).collect();
        let environment = Environment { aws, ..Environment::default() };
        let options = Options::in_environment(ManualClock::at_ms(AUG_30), Arc::new(RealFs), environment);
        let config: SigV4Config = yaml::from_str(config, &yaml::Options::default()).expect(config);
        let signer = SigV4::new(&config, "aps", &options).expect("a signer");
        let mut r = Request::post("https://aps.amazonaws.com/x", "text/plain", "body").expect("a url");
        let got = match signer.sign(&mut r).await {
            Ok(()) => r.headers["authorization"].to_str().expect("text").split(", ").next().unwrap_or_default().to_string(),
            Err(e) => e.to_string(),
        };
        assert_eq!(got.strip_prefix("AWS4-HMAC-SHA256 Credential=").unwrap_or(&got), expect);
    };
    let env = [("AWS_ACCESS_KEY_ID", "E"), ("AWS_SECRET_ACCESS_KEY", "s"), ("AWS_REGION", "eu-1")];
    let shared = [("AWS_SHARED_CREDENTIALS_FILE", file.as_str()), ("AWS_EC2_METADATA_DISABLED", "true")];
    check("{region: r, access_key: C, secret_key: s}", &env, "C/20150830/r/aps/aws4_request").await;
    check("{}", &env, "E/20150830/eu-1/aps/aws4_request").await;
    check("{region: r}", &shared, "D/20150830/r/aps/aws4_request").await;
    check("{region: r, profile: other}", &shared, "O/20150830/r/aps/aws4_request").await;
    check("{region: r, profile: none}", &shared, "aws: profile \"none\" has no keys").await;
    check("{}", &shared, "region not configured in sigv4 or in default credentials chain").await;
}
