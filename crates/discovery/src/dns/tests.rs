use super::message::{Answer, answer, question};
use super::resolver::Conf;
use super::*;
use proptest::prelude::*;

/// A reply to a question: the question's bytes as they came, then records.
pub(crate) fn reply(question: &[u8], truncated: bool, code: u8, records: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let end = 12 + question[12..].iter().position(|b| *b == 0).expect("a name ends") + 5;
    let mut out = question[..end].to_vec();
    out[2] = if truncated { 0x83 } else { 0x81 };
    out[3] = 0x80 | code;
    out[7] = records.len() as u8;
    out[11] = 0;
    for (kind, data) in records {
        // The name is the question's.
        out.extend_from_slice(&[0xc0, 12]);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
        out.extend_from_slice(&(data.len() as u16).to_be_bytes());
        out.extend_from_slice(data);
    }
    out
}

#[test]
fn configs_are_checked() {
    let read = |text: &str| yaml::from_str::<DnsConfig>(text, &yaml::Options::default()).map_err(|e| e.to_string());
    assert!(read("names: [a]").is_ok());
    for (text, expect) in [
        ("{}", "line 1: DNS-SD config must contain at least one SRV record name"),
        ("{names: [a], type: A}", "line 1: a port is required in DNS-SD configs for all record types except SRV"),
        ("{names: [a], type: TXT}", "line 1: invalid DNS-SD records type TXT"),
    ] {
        assert_eq!(read(text).expect_err(text), expect);
    }
}

#[test]
fn answers_become_targets() {
    let q = question(7, "a.b.", RecordType::Srv, true).expect("a name");
    let srv = [&[0, 1, 0, 2, 0x1f, 0x90, 1, b'h'][..], &[0xc0, 12]].concat();
    let records = [(33, srv), (1, vec![10, 0, 0, 1]), (28, vec![0; 16]), (15, vec![0, 5, 1, b'm', 0]), (2, vec![0xc0, 12]), (5, vec![0])];
    let got = answer(&reply(&q, false, 0, &records)).expect("an answer");
    assert_eq!((got.id, got.truncated, got.code), (7, false, 0));
    let shown: Vec<String> = got.records.iter().filter_map(|r| target("n", r, 9)).map(|l| l.to_string()).collect();
    assert_eq!(
        shown,
        [
            r#"{__address__="h.a.b:8080", __meta_dns_name="n", __meta_dns_srv_record_port="8080", __meta_dns_srv_record_target="h.a.b."}"#,
            r#"{__address__="10.0.0.1:9", __meta_dns_name="n"}"#,
            r#"{__address__="[::]:9", __meta_dns_name="n"}"#,
            r#"{__address__="m:9", __meta_dns_mx_record_target="m.", __meta_dns_name="n"}"#,
            r#"{__address__="a.b:9", __meta_dns_name="n", __meta_dns_ns_record_target="a.b."}"#,
        ]
    );
    assert_eq!(answer(&reply(&q, true, 3, &[])), Some(Answer { id: 7, truncated: true, code: 3, records: vec![] }));
    assert!(question(1, &format!("{}.", "x".repeat(64)), RecordType::A, false).is_err());
}

#[test]
fn resolv_conf_is_read() {
    let conf = Conf::parse("# c\nnameserver 10.0.0.10\nnameserver ::1 # x\nsearch ns.svc.cluster.local svc.cluster.local\noptions ndots:5 foo\n");
    assert_eq!(conf.servers, ["10.0.0.10:53".parse().expect("ip"), "[::1]:53".parse().expect("ip")]);
    assert_eq!(conf.names("a.b"), ["a.b.ns.svc.cluster.local.", "a.b.svc.cluster.local.", "a.b."]);
    assert_eq!(conf.names("a.b.c.d.e.f")[0], "a.b.c.d.e.f.");
    assert_eq!(conf.names("rooted."), ["rooted."]);
}

proptest! {
    #[test]
    fn no_bytes_break_the_reader(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), valid: bool) {
        if valid && bytes.len() > 12 {
            bytes[2] |= 0x80;
            (bytes[4], bytes[5], bytes[6]) = (0, 1, 0);
        }
        let _ = answer(&bytes);
    }
}
