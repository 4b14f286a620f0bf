//! OpenTelemetry's names as Prometheus': units and kinds become suffixes, what Prometheus' old scheme does not know becomes `_`.
//!
//! The rules are those of Prometheus' OTLP receiver, whose users rely on them in their queries.

/// How names are translated (`otlp.translation_strategy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Translation {
    #[default]
    UnderscoreEscapingWithSuffixes,
    UnderscoreEscapingWithoutSuffixes,
    NoUtf8EscapingWithSuffixes,
    NoTranslation,
}

impl Translation {
    /// As written in the configuration; None when unknown.
    pub fn parse(s: &str) -> Option<Self> {
        Some(match s {
            "UnderscoreEscapingWithSuffixes" => Translation::UnderscoreEscapingWithSuffixes,
            "UnderscoreEscapingWithoutSuffixes" => Translation::UnderscoreEscapingWithoutSuffixes,
            "NoUTF8EscapingWithSuffixes" => Translation::NoUtf8EscapingWithSuffixes,
            "NoTranslation" => Translation::NoTranslation,
            _ => return None,
        })
    }

    pub fn escapes(self) -> bool {
        matches!(self, Translation::UnderscoreEscapingWithSuffixes | Translation::UnderscoreEscapingWithoutSuffixes)
    }

    fn adds_suffixes(self) -> bool {
        matches!(self, Translation::UnderscoreEscapingWithSuffixes | Translation::NoUtf8EscapingWithSuffixes)
    }
}

/// What of a metric's kind shows in its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameKind {
    Gauge,
    Counter,
    Other,
}

const UNITS: [(&str, &str); 25] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("%", "percent"),
];
const PER_UNITS: [(&str, &str); 7] = [("s", "second"), ("m", "minute"), ("h", "hour"), ("d", "day"), ("w", "week"), ("mo", "month"), ("y", "year")];

fn lookup(table: &[(&str, &'static str)], unit: &str) -> Option<&'static str> {
    table.iter().find(|(u, _)| *u == unit).map(|(_, word)| *word)
}

/// The words of a unit: what is measured, and per what. Empty where there is none; annotations in braces are none.
fn unit_words(unit: &str) -> (String, String) {
    let plain = |s: &str| !s.is_empty() && !s.contains(['{', '}']);
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let (main, per) = (main.trim(), per.trim());
    let main = match main {
        "1" => String::new(),
        m if plain(m) => lookup(&UNITS, m).unwrap_or(m).to_string(),
        _ => String::new(),
    };
    let per = if plain(per) { lookup(&PER_UNITS, per).unwrap_or(per).to_string() } else { String::new() };
    (main, per)
}

/// Words of letters and digits with `_` between them.
fn clean(s: &str) -> String {
    s.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect::<Vec<_>>().join("_")
}

/// The unit of a metric as Prometheus' metadata has it.
pub(super) fn unit(unit: &str) -> String {
    match unit_words(unit) {
        (main, per) if per.is_empty() => clean(&main),
        (main, per) if main.is_empty() => format!("per_{}", clean(&per)),
        (main, per) => format!("{}_per_{}", clean(&main), clean(&per)),
    }
}

/// The name of a metric; None when nothing is left of it.
pub(super) fn metric(translation: Translation, name: &str, unit: &str, kind: NameKind) -> Option<String> {
    let built = match (translation.escapes(), translation.adds_suffixes()) {
        (true, suffixes) => escaped(name, unit, kind, suffixes),
        (false, true) => suffixed(name, unit, kind),
        (false, false) => name.to_string(),
    };
    (!built.is_empty()).then_some(built)
}

fn escaped(name: &str, unit: &str, kind: NameKind, suffixes: bool) -> String {
    let mut words: Vec<String> =
        name.split(|c: char| !(c.is_ascii_alphanumeric() || c == ':')).filter(|w| !w.is_empty()).map(str::to_string).collect();
    if suffixes {
        let (main, per) = unit_words(unit);
        let (main, per) = (clean(&main), clean(&per));
        if !main.is_empty() && !words.contains(&main) {
            words.push(main);
        }
        if !per.is_empty() && !words.contains(&per) {
            words.extend(["per".to_string(), per]);
        }
        let last = match kind {
            NameKind::Counter => Some("total"),
            NameKind::Gauge if unit == "1" => Some("ratio"),
            _ => None,
        };
        if let Some(last) = last {
            words.retain(|w| w != last);
            words.push(last.to_string());
        }
    }
    let built = words.join("_");
    if built.starts_with(|c: char| c.is_ascii_digit()) { format!("_{built}") } else { built }
}

fn suffixed(name: &str, unit: &str, kind: NameKind) -> String {
    let without = |name: &str, suffix: &str| match name.strip_suffix(suffix) {
        Some(rest) => rest.strip_suffix(['_', '.']).unwrap_or(rest).to_string(),
        None => name.to_string(),
    };
    let (main, per) = unit_words(unit);
    let per = if per.is_empty() { per } else { format!("per_{per}") };
    let last = match kind {
        NameKind::Counter => "total",
        NameKind::Gauge if unit == "1" => "ratio",
        _ => "",
    };
    let mut suffixes = vec![last.to_string(), per, main];
    suffixes.retain(|s| !s.is_empty());
    let mut built = suffixes.iter().fold(name.to_string(), |name, s| without(&name, s));
    for s in suffixes.iter().rev() {
        built = format!("{built}_{s}");
    }
    built
}

/// The name of a label. `underscores` puts `key` before a single leading `_`; `keep_multiple` keeps runs of `_` as they are.
pub(super) fn label(translation: Translation, name: &str, underscores: bool, keep_multiple: bool) -> String {
    if !translation.escapes() || name.is_empty() {
        return name.to_string();
    }
    let mut out = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        let c = if c.is_ascii_alphanumeric() { c } else { '_' };
        if c == '_' && !keep_multiple && out.ends_with('_') {
            continue;
        }
        out.push(c);
    }
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        return format!("key_{out}");
    }
    if underscores && out.starts_with('_') && !out.starts_with("__") {
        return format!("key{out}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_names_carry_unit_and_kind() {
        let check = |name: &str, unit: &str, kind: NameKind, expect: &str| {
            assert_eq!(metric(Translation::UnderscoreEscapingWithSuffixes, name, unit, kind).as_deref(), Some(expect), "{name} {unit}");
        };
        check("http.server.duration", "s", NameKind::Other, "http_server_duration_seconds");
        check("system.io", "By/s", NameKind::Gauge, "system_io_bytes_per_second");
        check("requests", "1", NameKind::Counter, "requests_total");
        check("requests.total", "{request}", NameKind::Counter, "requests_total");
        check("cpu.utilization", "1", NameKind::Gauge, "cpu_utilization_ratio");
        check("memory_bytes", "By", NameKind::Gauge, "memory_bytes");
        check("3d.points", "", NameKind::Gauge, "_3d_points");
        check("a:b.c", "widgets", NameKind::Gauge, "a:b_c_widgets");
        assert_eq!(metric(Translation::UnderscoreEscapingWithSuffixes, "...", "", NameKind::Gauge), None);
    }

    #[test]
    fn other_translations() {
        let check = |t: &str, expect: &str| {
            let t = Translation::parse(t).expect("a strategy");
            assert_eq!(metric(t, "http.requests", "s", NameKind::Counter).as_deref(), Some(expect));
        };
        check("UnderscoreEscapingWithoutSuffixes", "http_requests");
        check("NoUTF8EscapingWithSuffixes", "http.requests_seconds_total");
        check("NoTranslation", "http.requests");
        assert_eq!(metric(Translation::NoUtf8EscapingWithSuffixes, "x_seconds_total", "s", NameKind::Counter).as_deref(), Some("x_seconds_total"));
    }

    #[test]
    fn label_names_are_escaped() {
        let check = |name: &str, expect: &str| assert_eq!(label(Translation::default(), name, true, true), expect);
        check("service.name", "service_name");
        check("1st", "key_1st");
        check("_hidden", "key_hidden");
        check("__name__", "__name__");
        check("a..b", "a__b");
        check("학년", "__");
        assert_eq!(label(Translation::default(), "a..b", true, false), "a_b");
        assert_eq!(label(Translation::NoTranslation, "service.name", true, true), "service.name");
    }

    #[test]
    fn units_are_words() {
        for (u, expect) in [("s", "seconds"), ("By/s", "bytes_per_second"), ("1", ""), ("{x}", ""), ("1/s", "per_second"), ("km/h", "km_per_hour")] {
            assert_eq!(unit(u), expect, "{u}");
        }
    }
}
