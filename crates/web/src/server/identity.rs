//! Who sent a request and what that one may do. Prometheus knows users who may do everything; named clients with fewer rights are ours.

use std::sync::Arc;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Health: whoever may connect may ask.
    Nothing,
    Read,
    Write,
    /// Reload, quit, delete.
    Admin,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    pub read: bool,
    pub write: bool,
    pub admin: bool,
}

impl Rights {
    pub const ALL: Rights = Rights { read: true, write: true, admin: true };

    pub fn allow(self, need: Need) -> bool {
        match need {
            Need::Nothing => true,
            Need::Read => self.read,
            Need::Write => self.write,
            Need::Admin => self.admin,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub name: String,
    pub rights: Rights,
    /// Labels that every series must have which this one writes or reads; all series when empty.
    pub only_labels: Vec<(String, String)>,
}

impl Identity {
    /// A user of basic authentication, who may do everything.
    pub fn user(name: &str) -> Arc<Self> {
        Arc::new(Identity { name: name.to_string(), rights: Rights::ALL, only_labels: Vec::new() })
    }
}
