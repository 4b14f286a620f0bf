//! The words of PromQL, and how an error message names them.

use super::ast::{AggregateOp, BinaryOp, Span};
use model::histogram::ResetHint;
use model::labels::quote;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: Kind,
    pub span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Eof,
    /// The lexer gave up; its message is with the lexer.
    Error,
    Identifier,
    MetricIdentifier,
    Number,
    Duration,
    Str,
    LeftBrace,
    RightBrace,
    LeftParen,
    RightParen,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    /// `=`
    Assign,
    EqlRegex,
    NeqRegex,
    At,
    Op(BinaryOp),
    Aggregate(AggregateOp),
    Keyword(Keyword),
    Preprocessor(Preprocessor),
    // Series descriptions only.
    Space,
    Blank,
    Times,
    OpenHistogram,
    CloseHistogram,
    HistogramKey(HistogramKey),
    ResetHint(ResetHint),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    Bool,
    By,
    GroupLeft,
    GroupRight,
    Fill,
    FillLeft,
    FillRight,
    Ignoring,
    Offset,
    Smoothed,
    Anchored,
    On,
    Without,
}

/// Words that are functions, parts of `@` or parts of duration expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preprocessor {
    Start,
    End,
    Step,
    Range,
    MaxOf,
    MinOf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HistogramKey {
    Sum,
    Count,
    Schema,
    Offset,
    NegativeOffset,
    Buckets,
    NegativeBuckets,
    ZeroBucket,
    ZeroBucketWidth,
    CustomValues,
    ResetHint,
}

/// Longest keyword; longer words need no lowering.
const LONGEST_KEYWORD: usize = 12;

/// The keyword that `word` is, in any case.
pub(super) fn keyword(word: &str) -> Option<Kind> {
    if word.len() > LONGEST_KEYWORD {
        return None;
    }
    let mut buf = [0u8; LONGEST_KEYWORD];
    let lower = &mut buf[..word.len()];
    lower.copy_from_slice(word.as_bytes());
    lower.make_ascii_lowercase();
    Some(match &*lower {
        b"and" => Kind::Op(BinaryOp::And),
        b"or" => Kind::Op(BinaryOp::Or),
        b"unless" => Kind::Op(BinaryOp::Unless),
        b"atan2" => Kind::Op(BinaryOp::Atan2),
        b"sum" => Kind::Aggregate(AggregateOp::Sum),
        b"avg" => Kind::Aggregate(AggregateOp::Avg),
        b"count" => Kind::Aggregate(AggregateOp::Count),
        b"min" => Kind::Aggregate(AggregateOp::Min),
        b"max" => Kind::Aggregate(AggregateOp::Max),
        b"group" => Kind::Aggregate(AggregateOp::Group),
        b"stddev" => Kind::Aggregate(AggregateOp::Stddev),
        b"stdvar" => Kind::Aggregate(AggregateOp::Stdvar),
        b"topk" => Kind::Aggregate(AggregateOp::Topk),
        b"bottomk" => Kind::Aggregate(AggregateOp::Bottomk),
        b"count_values" => Kind::Aggregate(AggregateOp::CountValues),
        b"quantile" => Kind::Aggregate(AggregateOp::Quantile),
        b"limitk" => Kind::Aggregate(AggregateOp::Limitk),
        b"limit_ratio" => Kind::Aggregate(AggregateOp::LimitRatio),
        b"offset" => Kind::Keyword(Keyword::Offset),
        b"smoothed" => Kind::Keyword(Keyword::Smoothed),
        b"anchored" => Kind::Keyword(Keyword::Anchored),
        b"by" => Kind::Keyword(Keyword::By),
        b"without" => Kind::Keyword(Keyword::Without),
        b"on" => Kind::Keyword(Keyword::On),
        b"ignoring" => Kind::Keyword(Keyword::Ignoring),
        b"group_left" => Kind::Keyword(Keyword::GroupLeft),
        b"group_right" => Kind::Keyword(Keyword::GroupRight),
        b"fill" => Kind::Keyword(Keyword::Fill),
        b"fill_left" => Kind::Keyword(Keyword::FillLeft),
        b"fill_right" => Kind::Keyword(Keyword::FillRight),
        b"bool" => Kind::Keyword(Keyword::Bool),
        b"start" => Kind::Preprocessor(Preprocessor::Start),
        b"end" => Kind::Preprocessor(Preprocessor::End),
        b"step" => Kind::Preprocessor(Preprocessor::Step),
        b"range" => Kind::Preprocessor(Preprocessor::Range),
        b"max_of" => Kind::Preprocessor(Preprocessor::MaxOf),
        b"min_of" => Kind::Preprocessor(Preprocessor::MinOf),
        b"inf" | b"nan" => Kind::Number,
        _ => return None,
    })
}

/// The words a duration expression may contain.
pub(super) fn duration_keyword(word: &str) -> Option<Kind> {
    match keyword(word) {
        Some(k @ Kind::Preprocessor(Preprocessor::Step | Preprocessor::Range | Preprocessor::MaxOf | Preprocessor::MinOf)) => Some(k),
        _ => None,
    }
}

pub(super) fn histogram_key(word: &str) -> Option<HistogramKey> {
    Some(match word.to_ascii_lowercase().as_str() {
        "sum" => HistogramKey::Sum,
        "count" => HistogramKey::Count,
        "schema" => HistogramKey::Schema,
        "offset" => HistogramKey::Offset,
        "n_offset" => HistogramKey::NegativeOffset,
        "buckets" => HistogramKey::Buckets,
        "n_buckets" => HistogramKey::NegativeBuckets,
        "z_bucket" => HistogramKey::ZeroBucket,
        "z_bucket_w" => HistogramKey::ZeroBucketWidth,
        "custom_values" => HistogramKey::CustomValues,
        "counter_reset_hint" => HistogramKey::ResetHint,
        _ => return None,
    })
}

pub(super) fn reset_hint(word: &str) -> Option<ResetHint> {
    Some(match word.to_ascii_lowercase().as_str() {
        "unknown" => ResetHint::Unknown,
        "reset" => ResetHint::Reset,
        "not_reset" => ResetHint::NotReset,
        "gauge" => ResetHint::Gauge,
        _ => return None,
    })
}

/// Longer texts are cut in messages.
const SHOWN_CHARS: usize = 10;

impl Token {
    /// What an error message calls it; `text` is how it was written.
    pub fn describe(&self, text: &str) -> String {
        match self.kind {
            Kind::Eof => "end of input".to_string(),
            Kind::Error => "error".to_string(),
            Kind::Identifier => format!("identifier {}", quote(text)),
            Kind::MetricIdentifier => format!("metric identifier {}", quote(text)),
            Kind::Str => format!("string {}", shown(text)),
            Kind::Number => format!("number {}", shown(text)),
            Kind::Duration => format!("duration {}", shown(text)),
            Kind::Keyword(_) => format!("<{text}>"),
            Kind::Op(_) | Kind::At | Kind::EqlRegex | Kind::NeqRegex => format!("<op:{text}>"),
            Kind::Aggregate(_) => format!("<aggr:{text}>"),
            Kind::HistogramKey(_) => format!("histogram key {}", shown(text)),
            Kind::ResetHint(_) => format!("counter reset hint {}", shown(text)),
            _ => shown(text),
        }
    }
}

fn shown(text: &str) -> String {
    if text.len() <= SHOWN_CHARS {
        return quote(text);
    }
    let end = text.char_indices().nth(SHOWN_CHARS).map_or(text.len(), |(i, _)| i);
    format!("{}...", quote(&text[..end]))
}
