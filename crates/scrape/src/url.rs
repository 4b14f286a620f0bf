//! The address that a target is asked at.

use crate::config::ScrapeConfig;
use crate::labels::{ADDRESS, METRICS_PATH, PARAM_PREFIX, SCHEME};
use model::Labels;
use std::collections::BTreeMap;

/// Scheme, address, path and query of a target with these labels.
pub fn target_url(labels: &Labels, config: &ScrapeConfig) -> String {
    let mut params: BTreeMap<&str, Vec<&str>> = config.params.iter().map(|(k, v)| (k.as_str(), v.iter().map(String::as_str).collect())).collect();
    for (n, v) in labels.iter() {
        if let Some(key) = n.strip_prefix(PARAM_PREFIX) {
            let values = params.entry(key).or_default();
            match values.first_mut() {
                Some(first) => *first = v,
                None => values.push(v),
            }
        }
    }
    let mut out = format!("{}://{}", labels.value(SCHEME), labels.value(ADDRESS));
    let path = labels.value(METRICS_PATH);
    if !path.is_empty() && !path.starts_with('/') {
        out.push('/');
    }
    escape(&mut out, path, b"-_.~$&+,/:;=@", "%20");
    let mut sep = '?';
    for (key, values) in &params {
        for v in values {
            out.push(sep);
            sep = '&';
            escape(&mut out, key, b"-_.~", "+");
            out.push('=');
            escape(&mut out, v, b"-_.~", "+");
        }
    }
    out
}

fn escape(out: &mut String, s: &str, keep: &[u8], blank: &str) {
    for c in s.bytes() {
        if c.is_ascii_alphanumeric() || keep.contains(&c) {
            out.push(c as char);
        } else if c == b' ' {
            out.push_str(blank);
        } else {
            out.push_str(&format!("%{c:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let check = |labels: &[(&str, &str)], params: &[(&str, &[&str])], expect: &str| {
            let params = params.iter().map(|(k, v)| (k.to_string(), v.iter().map(|s| s.to_string()).collect())).collect();
            let config = ScrapeConfig { params, ..ScrapeConfig::default() };
            assert_eq!(target_url(&Labels::from_pairs(labels.iter().copied()), &config), expect);
        };
        let base = [(SCHEME, "http"), (ADDRESS, "host:9100"), (METRICS_PATH, "/metrics")];
        check(&base, &[], "http://host:9100/metrics");
        check(&[(SCHEME, "https"), (ADDRESS, "[::1]"), (METRICS_PATH, "a b?c")], &[], "https://[::1]/a%20b%3Fc");
        check(&base, &[("b", &["1", "x y"]), ("a", &["&"])], "http://host:9100/metrics?a=%26&b=1&b=x+y");
        let with = [base.as_slice(), &[("__param_b", "new"), ("__param_c", "3")]].concat();
        check(&with, &[("b", &["1", "2"])], "http://host:9100/metrics?b=new&b=2&c=3");
    }
}
