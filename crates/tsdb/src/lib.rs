//! tsdb
pub mod chunkenc;
