//! A path in the file: a relative one is meant from the directory of the config file, and is made absolute (or relative to where the
//! process stands, when that directory is) as soon as it is read.

use std::path::{Component, Path, PathBuf};

/// Text, not a `PathBuf`: it may be a glob, and empty means "none".
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FilePath(pub String);

impl FilePath {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn path(&self) -> &Path {
        Path::new(&self.0)
    }

    /// None when empty.
    pub fn get(&self) -> Option<&Path> {
        (!self.0.is_empty()).then(|| self.path())
    }
}

/// Puts `dir` before a relative path and removes `.` and `..` by text, as Go's `filepath.Join`. Empty and absolute paths stay as they are.
pub fn join_dir(dir: &Path, path: &str) -> String {
    if path.is_empty() || Path::new(path).is_absolute() {
        return path.to_string();
    }
    let mut out = PathBuf::new();
    for part in dir.join(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            Component::ParentDir if out.has_root() => {}
            other => out.push(other),
        }
    }
    if out.as_os_str().is_empty() { ".".into() } else { out.to_string_lossy().into_owned() }
}

impl crate::FromYaml for FilePath {
    fn from_yaml(node: &crate::Node, cx: &mut crate::Cx) -> Option<Self> {
        let text = String::from_yaml(node, cx)?;
        Some(FilePath(match cx.dir() {
            Some(dir) => join_dir(dir, &text),
            None => text,
        }))
    }

    fn null() -> Option<Self> {
        Some(FilePath::default())
    }

    fn type_name() -> String {
        "string".into()
    }
}

impl crate::ToYaml for FilePath {
    fn to_value(&self) -> crate::Value {
        crate::Value::Str(self.0.clone())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
