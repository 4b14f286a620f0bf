//! Templates of alert labels and annotations: Go's text/template with Prometheus' functions.
//!
//! Our own interpreter, because what users see depends on details: how a float prints, that a missing label is empty, at which place an error
//! points. Text mode only; nothing here escapes HTML.

mod ast;
mod builtin;
mod exec;
mod funcs;
mod gotime;
mod lex;
mod parse;
mod printf;
mod value;

pub use funcs::{FUNCTION_NAMES, Functions, query_escape};
pub use value::{SampleValue, Value};

use std::collections::BTreeMap;
use std::fmt;

/// Why a template could not be parsed or executed; the text is Go's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError(pub String);

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TemplateError {}

/// A parsed template. Parse once, expand often.
#[derive(Debug)]
pub struct Template {
    name: String,
    text: String,
    root: Vec<ast::Node>,
    defined: BTreeMap<String, Vec<ast::Node>>,
}

/// No template may write more.
pub const MAX_OUTPUT_BYTES: usize = 1 << 20;

impl Template {
    /// Unknown functions, unbalanced actions and the like are found here, as `template: name:line: …`.
    pub fn parse(name: &str, text: &str) -> Result<Template, TemplateError> {
        let (root, defined) = parse::parse(name, text)?;
        Ok(Template { name: name.to_string(), text: text.to_string(), root, defined })
    }

    pub fn expand(&self, data: &Value, functions: &Functions<'_>) -> Result<String, TemplateError> {
        exec::execute(self, data, functions)
    }
}

/// Expands an alert's text. `$labels`, `$externalLabels`, `$externalURL` and `$value` stand for the fields of `data`. Text without actions is
/// returned as it is.
pub fn expand(name: &str, text: &str, data: &Value, functions: &Functions<'_>) -> Result<String, TemplateError> {
    if !text.contains("{{") {
        return Ok(text.to_string());
    }
    let t = Template::parse(name, text).map_err(|e| TemplateError(format!("error parsing template {name}: {e}")))?;
    t.expand(data, functions).map_err(|e| TemplateError(format!("error executing template {name}: {e}")))
}

/// What comes before the text of each alert label and annotation.
pub const ALERT_PRELUDE: &str = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}";

#[cfg(test)]
mod tests;
