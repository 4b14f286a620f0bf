//! `tsdb dump` and `tsdb dump-openmetrics`: samples as text. Works on any selection, so the head's samples can be among them.

use super::ToolError;
use model::Labels;
use model::labels::quote;
use model::name::METRIC_NAME;
use model::number::format_g;
use std::collections::HashSet;
use std::io::Write;
use storage::{Selection, SeriesData};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `{labels} value milliseconds`
    Prom,
    /// Labels only, as a JSON object per line.
    SeriesJson,
    /// OpenMetrics text; without native histograms, which it cannot express.
    OpenMetrics,
}

/// Prints the samples from `start_ms` to `end_ms`, both included, series by series.
pub fn dump(selections: &[&dyn Selection], start_ms: i64, end_ms: i64, format: Format, out: &mut dyn Write) -> Result<(), ToolError> {
    let mut seen: HashSet<Labels> = HashSet::new();
    let mut data = SeriesData::default();
    for s in selections {
        for i in 0..s.len() {
            let labels = s.labels(i);
            // Several selectors may find the same series.
            if (selections.len() > 1 || format == Format::SeriesJson) && !seen.insert(labels.clone()) {
                continue;
            }
            if format == Format::SeriesJson {
                writeln!(out, "{}", json(&labels))?;
                continue;
            }
            data.clear();
            s.read(i, start_ms, end_ms, &mut data)?;
            match format {
                Format::OpenMetrics => open_metrics(&labels, &data, out)?,
                _ => prom(&labels, &data, out)?,
            }
        }
    }
    if format == Format::OpenMetrics {
        writeln!(out, "# EOF")?;
    }
    if let Some(w) = selections.iter().flat_map(|s| s.warnings()).next() {
        return Err(ToolError::NotFound(w));
    }
    Ok(())
}

fn prom(labels: &Labels, d: &SeriesData, out: &mut dyn Write) -> Result<(), ToolError> {
    let name = labels.to_string();
    let mut h = 0;
    for (t, v) in d.t_ms.iter().zip(&d.v) {
        while h < d.hist.len() && d.hist_t_ms[h] < *t {
            writeln!(out, "{name} {} {}", d.hist[h], d.hist_t_ms[h])?;
            h += 1;
        }
        writeln!(out, "{name} {} {t}", format_g(*v))?;
    }
    for (t, v) in d.hist_t_ms.iter().zip(&d.hist).skip(h) {
        writeln!(out, "{name} {v} {t}")?;
    }
    Ok(())
}

fn open_metrics(labels: &Labels, d: &SeriesData, out: &mut dyn Write) -> Result<(), ToolError> {
    let pairs: Vec<String> = labels.iter().filter(|(n, _)| *n != METRIC_NAME).map(|(n, v)| format!("{n}={}", quote(v))).collect();
    let name = format!("{}{{{}}}", labels.metric_name(), pairs.join(","));
    for (t, v) in d.t_ms.iter().zip(&d.v) {
        let sign = if *t < 0 { "-" } else { "" };
        let t = t.unsigned_abs();
        writeln!(out, "{name} {} {sign}{}.{:03}", format_g(*v), t / 1000, t % 1000)?;
    }
    Ok(())
}

/// Escapes what Go's encoder escapes.
fn json(labels: &Labels) -> String {
    let object: serde_json::Map<String, serde_json::Value> = labels.iter().map(|(n, v)| (n.to_string(), v.into())).collect();
    let text = serde_json::Value::Object(object).to_string();
    text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}
