//! What a server writes to and answers from: the whole store, or, for a forward-only leaf, the log alone.

use std::sync::Arc;
use storage::{Appendable, ExemplarQueryable, MergeStore, Queryable, SeriesLookup};
use tsdb::agent::{AgentDb, AgentOptions};
use tsdb::config::DbOptions;
use tsdb::db::{Db, DbError};
use tsdb::head::replay::ReplayProgress;
use wal::Wal;

#[derive(Clone)]
pub enum Store {
    Whole(Arc<Db>),
    /// Nothing to query, no blocks.
    LogOnly(Arc<AgentDb>),
}

/// How a store is opened.
pub enum Opening {
    Whole(Box<DbOptions>),
    LogOnly(Box<AgentOptions>),
}

impl Store {
    pub fn open(how: Opening, progress: Arc<ReplayProgress>) -> Result<Store, DbError> {
        match how {
            Opening::Whole(options) => Db::open_telling(*options, progress).map(Store::Whole),
            Opening::LogOnly(options) => AgentDb::open(*options).map(Store::LogOnly),
        }
    }

    /// None for a forward-only leaf.
    pub fn db(&self) -> Option<&Arc<Db>> {
        match self {
            Store::Whole(db) => Some(db),
            Store::LogOnly(_) => None,
        }
    }

    pub fn wal(&self) -> &Arc<Wal> {
        match self {
            Store::Whole(db) => db.wal(),
            Store::LogOnly(db) => db.wal(),
        }
    }

    pub fn appendable(&self) -> Arc<dyn Appendable> {
        match self {
            Store::Whole(db) => db.clone(),
            Store::LogOnly(db) => db.clone(),
        }
    }

    pub fn merge(&self) -> Arc<dyn MergeStore> {
        match self {
            Store::Whole(db) => db.clone(),
            Store::LogOnly(db) => db.clone(),
        }
    }

    pub fn series(&self) -> Arc<dyn SeriesLookup> {
        match self {
            Store::Whole(db) => db.clone(),
            Store::LogOnly(db) => db.clone(),
        }
    }

    pub fn queryable(&self) -> Arc<dyn Queryable> {
        match self {
            Store::Whole(db) => db.clone(),
            Store::LogOnly(db) => db.clone(),
        }
    }

    pub fn exemplars(&self) -> Arc<dyn ExemplarQueryable> {
        match self {
            Store::Whole(db) => db.clone(),
            Store::LogOnly(db) => db.clone(),
        }
    }

    /// Returns when the log is replayed, or with why it will not be.
    pub fn wait_ready(&self) -> Result<(), DbError> {
        match self {
            Store::Whole(db) => db.wait_ready(),
            Store::LogOnly(_) => Ok(()),
        }
    }

    pub fn close(&self) -> Result<(), DbError> {
        match self {
            Store::Whole(db) => db.close(),
            Store::LogOnly(db) => db.close(),
        }
    }
}
