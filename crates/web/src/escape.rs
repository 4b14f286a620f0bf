//! Names in a path: `U__my_2e_metric` stands for `my.metric`.

/// Undoes Prometheus' value encoding: after `U__` a `__` is an underscore and `_hex_` a character. What is not of that form stays as it is.
pub fn unescape_value_encoding(name: &str) -> String {
    let Some(rest) = name.strip_prefix("U__") else { return name.to_string() };
    let mut out = String::with_capacity(rest.len());
    let mut chars = rest.char_indices();
    while let Some((i, c)) = chars.next() {
        if c != '_' {
            out.push(c);
            continue;
        }
        let tail = &rest[i + 1..];
        if tail.starts_with('_') {
            out.push('_');
            chars.next();
            continue;
        }
        let decoded = tail.split_once('_').and_then(|(hex, _)| Some((hex.len(), char::from_u32(u32::from_str_radix(hex, 16).ok()?)?)));
        let Some((len, c)) = decoded.filter(|(len, _)| *len <= 6) else { return name.to_string() };
        out.push(c);
        // The digits and the closing underscore.
        for _ in 0..=len {
            chars.next();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::unescape_value_encoding as un;

    #[test]
    fn there_and_odd_ones() {
        for (escaped, plain) in [
            ("plain", "plain"),
            ("U__my_2e_metric", "my.metric"),
            ("U__a__b", "a_b"),
            ("U___d559__ad50_", "학교"),
            ("U__bad_zz_", "U__bad_zz_"),
            ("U__end_", "U__end_"),
        ] {
            assert_eq!(un(escaped), plain, "{escaped}");
        }
    }
}
