//! A duration in the file: `1m30s`. Whole milliseconds inside.

use std::time::Duration;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Millis(pub i64);

impl Millis {
    pub const ZERO: Millis = Millis(0);

    pub const fn from_secs(s: i64) -> Self {
        Millis(s * 1000)
    }

    pub const fn from_mins(m: i64) -> Self {
        Millis(m * 60_000)
    }

    pub const fn ms(self) -> i64 {
        self.0
    }

    /// Negative is zero.
    pub fn duration(self) -> Duration {
        Duration::from_millis(u64::try_from(self.0).unwrap_or(0))
    }

    pub fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl std::fmt::Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&model::duration::format_ms(self.0))
    }
}

impl crate::FromYaml for Millis {
    fn from_yaml(node: &crate::Node, cx: &mut crate::Cx) -> Option<Self> {
        let text = String::from_yaml(node, cx)?;
        match model::duration::parse_ms(&text) {
            Ok(ms) => Some(Millis(ms)),
            Err(e) => cx.invalid(node, e.to_string()),
        }
    }

    fn null() -> Option<Self> {
        Some(Millis::ZERO)
    }

    fn type_name() -> String {
        "model.Duration".into()
    }
}

impl crate::ToYaml for Millis {
    fn to_value(&self) -> crate::Value {
        crate::Value::Str(self.to_string())
    }

    fn is_empty(&self) -> bool {
        self.0 == 0
    }
}
