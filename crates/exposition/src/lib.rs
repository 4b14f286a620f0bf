//! The text and protobuf formats in which metrics travel from exporters to scrapers, read and written.
//!
//! - [`parse`]: a [`Parser`] walks a scraped page entry by entry without copying it. A sample's labels are tokenised only when asked for, so a
//!   caller that knows the raw bytes of a series from the last page pays for the number alone.
//! - [`write`]: the server's own metrics and federated series as text 0.0.4, OpenMetrics 1.0 or delimited protobuf, after content negotiation.
//!
//! Pure: takes and gives bytes. What is done with the samples is the scraper's matter.

pub mod parse;
pub mod write;

pub use parse::{Entry, Format, HistogramRef, LabelBuf, ParseError, Parser, ParserOptions};

#[cfg(test)]
mod conformance_tests;
