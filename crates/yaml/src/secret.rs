//! Text that must not be shown: prints and is written back as `<secret>`.

#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text itself. Only for sending it where it belongs.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_empty() { "" } else { "<secret>" })
    }
}

impl std::fmt::Display for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

impl crate::FromYaml for Secret {
    fn from_yaml(node: &crate::Node, cx: &mut crate::Cx) -> Option<Self> {
        String::from_yaml(node, cx).map(Secret)
    }

    fn null() -> Option<Self> {
        Some(Secret::default())
    }

    fn type_name() -> String {
        "string".into()
    }
}

impl crate::ToYaml for Secret {
    fn to_value(&self) -> crate::Value {
        crate::Value::Str(self.to_string())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
