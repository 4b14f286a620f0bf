//! Rules and what comes of them: groups of recording and alerting rules, their templates, and the notifier.

pub mod template;
