//! Lines that give the samples of a test series their start times: `name{a="b"}@st _ -1m 30s+1sx3`. Each value is the distance of the
//! start time from the sample's own time, so it has the form of a series whose values are milliseconds.

use super::series::{MAX_SEQUENCE_VALUES, SequenceItem, SeriesDescription};

/// None when the line is not such a line.
pub fn parse_start_times(line: &str) -> Option<Result<SeriesDescription, String>> {
    let line = line.trim();
    let (head, values) = line.split_at(line.find([' ', '\t'])?);
    let metric = head.strip_suffix("@st")?;
    Some(parse(metric, values))
}

fn parse(metric: &str, values: &str) -> Result<SeriesDescription, String> {
    let labels = super::parse_metric(metric).map_err(|e| format!("invalid @st line metric \"{metric}\": {e}"))?;
    let mut total = 0u64;
    let mut items = Vec::new();
    for text in values.split_whitespace() {
        let item = item(text).map_err(|e| format!("invalid @st sequence: invalid ST item \"{text}\": {e}"))?;
        total = total.saturating_add(item.count());
        if total > MAX_SEQUENCE_VALUES {
            return Err(format!("invalid @st sequence: too many values, at most {MAX_SEQUENCE_VALUES} are allowed"));
        }
        items.push(item);
    }
    Ok(SeriesDescription { labels, items })
}

fn item(text: &str) -> Result<SequenceItem, String> {
    if text == "_" {
        return Ok(SequenceItem::Omitted { count: 1 });
    }
    if let Some(count) = text.strip_prefix("_x") {
        let count = count.parse().ok().filter(|n| *n > 0).ok_or("invalid repeat count")?;
        return Ok(SequenceItem::Omitted { count });
    }
    let (start, rest) = duration(text)?;
    let (step, times) = match rest.chars().next() {
        None => return Ok(SequenceItem::Float { start, step: 0.0, count: 1 }),
        Some('x') => (0.0, rest),
        Some(sign @ ('+' | '-')) => {
            let (step, rest) = duration(&rest[1..]).map_err(|e| format!("invalid step duration: {e}"))?;
            (if sign == '-' { -step } else { step }, rest)
        }
        Some(c) => return Err(format!("unexpected character '{c}' after duration")),
    };
    let times = times.strip_prefix('x').ok_or("expected 'x<count>' after step duration")?;
    let times: u64 = times.parse().map_err(|_| "invalid repeat count")?;
    Ok(SequenceItem::Float { start, step, count: times.saturating_add(1) })
}

/// A duration with a sign at the start of `text`, in milliseconds, and what follows it.
fn duration(text: &str) -> Result<(f64, &str), String> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && !"smhdwy".contains(c)).unwrap_or(unsigned.len());
    let (digits, rest) = unsigned.split_at(end);
    if digits.is_empty() {
        return Err("empty duration".to_string());
    }
    let ms = model::duration::parse_ms(digits).map_err(|e| e.to_string())? as f64;
    Ok((if text.starts_with('-') { -ms } else { ms }, rest))
}
