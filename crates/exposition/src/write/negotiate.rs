//! Which format the asker understands best, and how names outside the old scheme are written for it.

use model::name::is_legacy_metric;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageFormat {
    Text004,
    Text100,
    OpenMetrics001,
    OpenMetrics100,
    Protobuf,
}

/// What becomes of names that are not of the old scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Escaping {
    /// Each strange character becomes `_`.
    #[default]
    Underscores,
    /// `.` becomes `_dot_`, `_` is doubled, the rest becomes `__`.
    Dots,
    /// `U__` and code points in hexadecimal: can be turned back.
    Values,
    /// As they are, quoted.
    AllowUtf8,
}

impl Escaping {
    pub fn as_str(self) -> &'static str {
        match self {
            Escaping::Underscores => "underscores",
            Escaping::Dots => "dots",
            Escaping::Values => "values",
            Escaping::AllowUtf8 => "allow-utf-8",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        [Escaping::Underscores, Escaping::Dots, Escaping::Values, Escaping::AllowUtf8].into_iter().find(|e| e.as_str() == s)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutFormat {
    pub page: PageFormat,
    pub escaping: Escaping,
}

impl OutFormat {
    pub fn content_type(self) -> String {
        let kind = match self.page {
            PageFormat::Text004 => "text/plain; version=0.0.4; charset=utf-8",
            PageFormat::Text100 => "text/plain; version=1.0.0; charset=utf-8",
            PageFormat::OpenMetrics001 => "application/openmetrics-text; version=0.0.1; charset=utf-8",
            PageFormat::OpenMetrics100 => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            PageFormat::Protobuf => "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
        };
        format!("{kind}; escaping={}", self.escaping.as_str())
    }

    pub fn is_openmetrics(self) -> bool {
        matches!(self.page, PageFormat::OpenMetrics001 | PageFormat::OpenMetrics100)
    }
}

/// The first format of an Accept header, by falling q, that can be written; text 0.0.4 when there is none. `openmetrics`: is that format wanted
/// at all here? (Prometheus serves federation, and its own metrics, without it.)
pub fn negotiate(accept: &str, openmetrics: bool) -> OutFormat {
    let mut clauses: Vec<(f64, Vec<&str>)> = accept
        .split(',')
        .map(|clause| {
            let parts: Vec<&str> = clause.split(';').map(str::trim).collect();
            let q = parts.iter().find_map(|p| p.strip_prefix("q=")?.parse::<f64>().ok()).unwrap_or(1.0);
            (q, parts)
        })
        .collect();
    clauses.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut escaping = Escaping::default();
    for (_, parts) in &clauses {
        let param = |key: &str| parts.iter().skip(1).find_map(|p| Some(p.strip_prefix(key)?.strip_prefix('=')?.trim_matches('"')));
        if let Some(e) = param("escaping").and_then(Escaping::parse) {
            escaping = e;
        }
        let version = param("version").unwrap_or("");
        let page = match parts[0] {
            "application/vnd.google.protobuf"
                if param("proto") == Some("io.prometheus.client.MetricFamily") && param("encoding") == Some("delimited") =>
            {
                PageFormat::Protobuf
            }
            "application/openmetrics-text" if openmetrics && version == "1.0.0" => PageFormat::OpenMetrics100,
            "application/openmetrics-text" if openmetrics && matches!(version, "0.0.1" | "") => PageFormat::OpenMetrics001,
            "text/plain" if version == "1.0.0" => PageFormat::Text100,
            "text/plain" if matches!(version, "0.0.4" | "") => PageFormat::Text004,
            _ => continue,
        };
        return OutFormat { page, escaping };
    }
    OutFormat { page: PageFormat::Text004, escaping }
}

/// A metric or label name under a scheme. Names of the old scheme stay as they are.
pub fn escape_name(name: &str, escaping: Escaping) -> String {
    if escaping == Escaping::AllowUtf8 || is_legacy_metric(name) {
        return name.to_string();
    }
    let mut out = String::with_capacity(name.len() + 8);
    if escaping == Escaping::Values {
        out.push_str("U__");
    }
    for (i, c) in name.char_indices() {
        let plain = c.is_ascii_alphabetic() || c == '_' || c == ':' || (i > 0 && c.is_ascii_digit());
        match (escaping, c) {
            (Escaping::Dots, '.') => out.push_str("_dot_"),
            (Escaping::Dots | Escaping::Values, '_') => out.push_str("__"),
            _ if plain => out.push(c),
            (Escaping::Dots, _) => out.push_str("__"),
            (Escaping::Values, _) => out.push_str(&format!("_{:x}_", c as u32)),
            _ => out.push('_'),
        }
    }
    out
}
