//! Which message a request carries and how it is encoded, from its headers.

use crate::wire::Version;
use crate::wire::body::ContentEncoding;

const MEDIA_TYPE: &str = "application/x-protobuf";

/// From the Content-Type header. An absent one means version 1.0, as the oldest senders give none. The error is the text of a 415.
pub(super) fn version(content_type: &str, accepted: &[Version]) -> Result<Version, String> {
    let mut parts = content_type.split(';').map(str::trim);
    let media = parts.next().unwrap_or("");
    if !media.is_empty() && !media.eq_ignore_ascii_case(MEDIA_TYPE) {
        return Err(format!("expected {MEDIA_TYPE} as the first (media) part, got {content_type} content-type"));
    }
    let mut version = Version::V1;
    for parameter in parts {
        let Some((name, value)) = parameter.split_once('=') else {
            return Err(format!(
                "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to be key-values, got {parameter} in {content_type} content-type"
            ));
        };
        if name.trim().eq_ignore_ascii_case("proto") {
            let value = value.trim().trim_matches('"');
            version = [Version::V1, Version::V2]
                .into_iter()
                .find(|v| v.message_name() == value)
                .ok_or_else(|| format!("got {content_type} content-type, but its protobuf message {value} is not known"))?;
        }
    }
    if !accepted.contains(&version) {
        let names: Vec<&str> = accepted.iter().map(|v| v.message_name()).collect();
        return Err(format!("{} protobuf message is not accepted by this server; only accepts {}", version.message_name(), names.join(", ")));
    }
    Ok(version)
}

/// From the Content-Encoding header. An absent one means snappy, as the oldest senders give none. The error is the text of a 415.
pub(super) fn encoding(header: &str) -> Result<ContentEncoding, String> {
    if header.trim().is_empty() {
        return Ok(ContentEncoding::Snappy);
    }
    match ContentEncoding::parse(header) {
        Some(e @ (ContentEncoding::Snappy | ContentEncoding::Zstd)) => Ok(e),
        _ => Err(format!("{header} encoding (compression) is not accepted by this server; only snappy and zstd are acceptable")),
    }
}
