//! A size in the file: `512MB`. Units are powers of two, with or without the `i`.

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Size(pub u64);

const PREFIXES: [&str; 7] = ["", "K", "M", "G", "T", "P", "E"];

impl Size {
    pub const ZERO: Size = Size(0);

    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// One or more numbers, each with a unit (`B`, `KB`, `KiB`, ... `EiB`); or a bare `0`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let invalid = || format!("units: invalid {text}");
        match text {
            "" => return Err(invalid()),
            "0" => return Ok(Size(0)),
            _ => {}
        }
        let mut rest = text;
        let mut total = 0u64;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
            let letters = rest[digits..].bytes().take_while(|b| !b.is_ascii_digit() && *b != b'.').count();
            let (number, unit) = (&rest[..digits], &rest[digits..digits + letters]);
            let scale = scale(unit).ok_or_else(|| format!("units: unknown unit {unit} in {text}"))?;
            let part = match number.parse::<u64>() {
                Ok(n) => n.checked_mul(scale),
                Err(_) => {
                    let n = number.parse::<f64>().map_err(|_| invalid())? * scale as f64;
                    (n < 9e18).then_some(n as u64)
                }
            };
            total = part.and_then(|p| total.checked_add(p)).filter(|t| *t <= i64::MAX as u64).ok_or_else(invalid)?;
            rest = &rest[digits + letters..];
        }
        Ok(Size(total))
    }
}

fn scale(unit: &str) -> Option<u64> {
    let prefix = unit.strip_suffix("iB").filter(|p| !p.is_empty()).or_else(|| unit.strip_suffix('B'))?;
    let power = PREFIXES.iter().position(|p| *p == prefix)?;
    Some(1 << (10 * power))
}

impl std::fmt::Display for Size {
    /// `1MiB512KiB`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 == 0 {
            return f.write_str("0B");
        }
        for (power, prefix) in PREFIXES.iter().enumerate().rev() {
            let n = self.0 >> (10 * power) & if power == 6 { u64::MAX } else { 1023 };
            if n > 0 {
                write!(f, "{n}{prefix}{}", if power == 0 { "B" } else { "iB" })?;
            }
        }
        Ok(())
    }
}

impl crate::FromYaml for Size {
    fn from_yaml(node: &crate::Node, cx: &mut crate::Cx) -> Option<Self> {
        let text = String::from_yaml(node, cx)?;
        match Size::parse(&text) {
            Ok(size) => Some(size),
            Err(e) => cx.invalid(node, e),
        }
    }

    fn null() -> Option<Self> {
        Some(Size::ZERO)
    }

    fn type_name() -> String {
        "units.Base2Bytes".into()
    }
}

impl crate::ToYaml for Size {
    fn to_value(&self) -> crate::Value {
        crate::Value::Str(self.to_string())
    }

    fn is_empty(&self) -> bool {
        self.0 == 0
    }
}
