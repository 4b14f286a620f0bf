//! The waist: what scraping, rules and the receiver write to, and what queries, federation and remote read read from.
//!
//! Both sides meet only here. `tsdb` implements these traits; nobody above knows it. Contracts are written at the traits.
//!
//! - [`append`]: [`Appendable`] hands out an [`Appender`]; one appender is one batch that becomes visible and durable as a whole.
//! - [`read`]: [`Queryable`] hands out a [`Querier`] over a time range; `select` gives a [`Selection`], a list of series that is indexed by
//!   number, so that a query engine may hand parts of it to several threads and decode each series exactly once, in bulk, into a
//!   [`SeriesData`].
//! - [`merge`]: several queryables as one.

pub mod append;
pub mod groups;
pub mod merge;
pub mod read;

pub use append::{
    AppendError, AppendOptions, Appendable, Appender, CommitError, CommitStats, Held, HeldValue, HistogramSample, MergeStore, SeriesLookup,
    SeriesRef, Source, Wait,
};
pub use groups::{Grouping, Groups};
pub use merge::MergeQueryable;
pub use read::{
    ChunkEncoding, EncodedChunk, ExemplarQueryable, ExemplarSeries, LabelHints, MemorySelection, Querier, Queryable, ReadError, SelectHints,
    Selection, SeriesData, Warnings,
};
