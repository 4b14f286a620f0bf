//! A group of targets that share labels: the unit in which providers report.

use crate::ADDRESS_LABEL;
use crate::error::Error;
use model::labels::{Labels, LabelsBuilder};
use serde::Deserialize;
use std::collections::BTreeMap;
use yaml::{Cx, FromYaml, Node, ToYaml, Value};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetGroup {
    /// Names the group among those of its provider.
    pub source: String,
    /// One set for each target, `__address__` among them.
    pub targets: Vec<Labels>,
    /// Common to all targets; a target's own label wins.
    pub labels: Labels,
}

/// The targets of a whole file or answer may not be more.
pub(crate) const MAX_TARGETS: usize = 5_000_000;

impl TargetGroup {
    pub fn new(source: impl Into<String>, targets: Vec<Labels>, labels: Labels) -> Self {
        TargetGroup { source: source.into(), targets, labels }
    }

    /// Targets that have nothing but their address.
    pub fn of_addresses<S: AsRef<str>>(source: impl Into<String>, addresses: impl IntoIterator<Item = S>, labels: Labels) -> Self {
        let targets = addresses.into_iter().map(|a| Labels::from_pairs([(ADDRESS_LABEL, a.as_ref())])).collect();
        TargetGroup { source: source.into(), targets, labels }
    }

    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.targets.iter().map(|t| t.value(ADDRESS_LABEL))
    }

    /// Adds a common label.
    pub(crate) fn with_label(mut self, name: &str, value: &str) -> Self {
        let mut b: LabelsBuilder = self.labels.builder();
        b.set(name, value);
        self.labels = b.build();
        self
    }
}

yaml::table! {
    #[derive(Clone, Debug)]
    struct Written as "struct { Targets []string \"yaml:\\\"targets\\\"\"; Labels model.LabelSet \"yaml:\\\"labels\\\"\" }" {
        targets: Vec<String> => always;
        labels: Labels;
    }
}

impl FromYaml for TargetGroup {
    fn from_yaml(node: &Node, cx: &mut Cx) -> Option<Self> {
        let w = Written::from_yaml(node, cx)?;
        Some(TargetGroup::of_addresses("", w.targets, w.labels))
    }

    fn type_name() -> String {
        "targetgroup.Group".into()
    }
}

impl ToYaml for TargetGroup {
    fn to_value(&self) -> Value {
        Written { targets: self.addresses().map(str::to_string).collect(), labels: self.labels.clone() }.to_value()
    }

    fn is_empty(&self) -> bool {
        self.targets.is_empty() && self.labels.is_empty()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Json {
    #[serde(default)]
    targets: Option<Vec<String>>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

/// Reads the JSON of file and HTTP discovery: `[{"targets": [...], "labels": {...}}]`. Sources are empty.
pub(crate) fn from_json(bytes: &[u8]) -> Result<Vec<TargetGroup>, Error> {
    let groups: Option<Vec<Option<Json>>> = serde_json::from_slice(bytes).map_err(|e| Error::invalid(e.to_string()))?;
    let mut out = Vec::new();
    let mut targets = 0;
    for g in groups.unwrap_or_default() {
        let g = g.ok_or_else(|| Error::invalid("nil target group item found"))?;
        let addresses = g.targets.unwrap_or_default();
        targets += addresses.len();
        if targets > MAX_TARGETS {
            return Err(Error::invalid(format!("more than {MAX_TARGETS} targets")));
        }
        out.push(TargetGroup::of_addresses("", addresses, Labels::from_pairs(g.labels.unwrap_or_default())));
    }
    Ok(out)
}

/// The same in YAML.
pub(crate) fn from_yaml(text: &str) -> Result<Vec<TargetGroup>, Error> {
    let node = yaml::parse(text).map_err(|e| Error::invalid(e.to_string()))?;
    if node.items().into_iter().flatten().any(Node::is_null) {
        return Err(Error::invalid("nil target group item found"));
    }
    yaml::from_node(&node, &yaml::Options::default()).map_err(|e| Error::invalid(e.to_string()))
}
