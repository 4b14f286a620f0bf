//! Random queries that type-check.

use super::data::{BEGIN_MS, LENGTH_MS};
use stdx::rand::Rand;

pub struct Query {
    pub text: String,
    pub start_ms: i64,
    pub end_ms: i64,
    /// 0 for an instant query.
    pub step_ms: i64,
}

pub struct Generator {
    r: Rand,
}

const METRICS: [&str; 14] = [
    "temperature",
    "requests_total",
    "sparse",
    "odd",
    "constant",
    "class_info",
    "wait_bucket",
    "calls_total",
    "latency",
    "latency_float",
    "load",
    "custom",
    "mixed",
    "odd_latency",
];
/// Native histograms of one kind, where a query mixes several series.
const NATIVE: [&str; 5] = ["latency", "latency_float", "load", "custom", "odd_latency"];
const MATCHERS: [&str; 9] =
    ["class=\"1\"", "class=~\"1|2\"", "class!=\"3\"", "seat=\"1\"", "seat!~\"2.*\"", "env=\"prod\"", "nothing=\"\"", "class=~\".+\"", "env=~\"t.*\""];
const LABELS: [&str; 5] = ["class", "seat", "env", "le", "nothing"];
const DURATIONS: [&str; 9] = ["15s", "30s", "45s", "1m", "2m30s", "5m", "10m", "20m", "1h"];
const MATH: [&str; 33] = [
    "abs",
    "ceil",
    "floor",
    "exp",
    "sqrt",
    "ln",
    "log2",
    "log10",
    "sgn",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "acosh",
    "atanh",
    "deg",
    "rad",
    "timestamp",
    "hour",
    "minute",
    "day_of_week",
    "day_of_month",
    "day_of_year",
    "days_in_month",
    "month",
    "year",
    "sort",
];
const OF_HISTOGRAMS: [&str; 5] = ["histogram_count", "histogram_sum", "histogram_avg", "histogram_stddev", "histogram_stdvar"];
const OVER_TIME: [&str; 22] = [
    "rate",
    "increase",
    "delta",
    "irate",
    "idelta",
    "avg_over_time",
    "sum_over_time",
    "count_over_time",
    "min_over_time",
    "max_over_time",
    "last_over_time",
    "present_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "changes",
    "resets",
    "deriv",
    "absent_over_time",
    "mad_over_time",
    "ts_of_max_over_time",
    "ts_of_min_over_time",
    "ts_of_last_over_time",
];
const AGGREGATIONS: [&str; 8] = ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"];
const ARITHMETIC: [&str; 7] = ["+", "-", "*", "/", "%", "^", "atan2"];
const COMPARISONS: [&str; 6] = ["==", "!=", ">", "<", ">=", "<="];

impl Generator {
    pub fn new(seed: u64) -> Self {
        Generator { r: Rand::seeded(seed ^ 0x5eed) }
    }

    fn below(&mut self, n: usize) -> usize {
        (self.r.next_u64() % n as u64) as usize
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    pub fn query(&mut self) -> Query {
        let text = match self.below(24) {
            0 | 1 => self.scalar(2),
            2 | 3 => self.of_histograms(2),
            _ => self.vector(3),
        };
        let start_ms = BEGIN_MS + (self.below(LENGTH_MS as usize / 1000) as i64) * 1000;
        if self.below(2) == 0 {
            let text = if self.below(20) == 0 { self.range(1) } else { text };
            return Query { text, start_ms, end_ms: start_ms, step_ms: 0 };
        }
        let step_ms = [1_000, 7_000, 15_000, 60_000, 300_000][self.below(5)];
        let end_ms = start_ms + step_ms * self.below(30) as i64 + self.below(1000) as i64;
        Query { text, start_ms, end_ms, step_ms }
    }

    fn at(&mut self) -> String {
        match self.below(24) {
            0 => format!(" @ {}", BEGIN_MS / 1000 + self.below(7200) as i64),
            1 => " @ start()".to_string(),
            2 => " @ end()".to_string(),
            _ => String::new(),
        }
    }

    fn offset(&mut self) -> String {
        match self.below(10) {
            0 => format!(" offset {}", self.pick(&DURATIONS)),
            1 => format!(" offset -{}", self.pick(&DURATIONS[..5])),
            _ => String::new(),
        }
    }

    fn series(&mut self) -> String {
        let metric = self.pick(&METRICS);
        match self.below(3) {
            _ if self.below(30) == 0 => format!("{{__name__=~\"{}.*\",{}}}", &metric[..3], self.pick(&MATCHERS)),
            0 => metric.to_string(),
            1 => format!("{metric}{{{}}}", self.pick(&MATCHERS)),
            _ => format!("{metric}{{{},{}}}", self.pick(&MATCHERS), self.pick(&MATCHERS)),
        }
    }

    fn selector(&mut self) -> String {
        let (s, o, a) = (self.series(), self.offset(), self.at());
        s + &o + &a
    }

    fn range(&mut self, depth: usize) -> String {
        let (o, a, d) = (self.offset(), self.at(), self.pick(&DURATIONS));
        if depth > 0 && self.below(4) == 0 {
            let inner = self.vector(depth - 1);
            let step = ["", "15s", "1m", "7s"][self.below(4)];
            return format!("({inner})[{}:{step}]{o}{a}", self.pick(&DURATIONS[1..7]));
        }
        format!("{}[{d}]{o}{a}", self.series())
    }

    /// Histograms that may be added up and compared, and what is made of them.
    fn of_histograms(&mut self, depth: usize) -> String {
        let metric = self.pick(&NATIVE);
        let selected = format!("{metric}{{{}}}", self.pick(&MATCHERS[..6]));
        let ranged = |g: &mut Self| {
            let f = g.pick(&["rate", "increase", "delta", "irate", "idelta", "avg_over_time", "sum_over_time", "last_over_time"]);
            format!("{f}({selected}[{}]{}{})", g.pick(&DURATIONS), g.offset(), g.at())
        };
        let inner = match self.below(4) {
            0 => format!("{selected}{}{}", self.offset(), self.at()),
            _ => ranged(self),
        };
        let inner = match self.below(5) {
            0 | 1 => format!("{}{} ({inner})", self.pick(&["sum", "avg", "count", "group"]), self.grouping()),
            2 if depth > 0 => format!("{inner} {} {inner}", self.pick(&["+", "-", "==", "!=", "*", "/"])),
            3 if depth > 0 => format!("{inner} {} {}", self.pick(&["*", "/", "+", "=="]), self.scalar(depth - 1)),
            _ => inner,
        };
        match self.below(8) {
            0 | 1 => format!("histogram_quantile({}, {inner})", self.pick(&["0.5", "0.9", "0", "1", "0.01", "NaN", "-1", "2"])),
            2 => format!(
                "histogram_fraction({}, {}, {inner})",
                self.pick(&["0", "-Inf", "0.1", "-1", "NaN"]),
                self.pick(&["0.5", "+Inf", "2", "0", "7.3"])
            ),
            3 | 4 => format!("{}({inner})", self.pick(&OF_HISTOGRAMS)),
            _ => inner,
        }
    }

    fn number(&mut self) -> String {
        match self.below(8) {
            0 => "NaN".to_string(),
            1 => "Inf".to_string(),
            2 => "0".to_string(),
            3 => "-1.5".to_string(),
            4 => "0.5".to_string(),
            5 => "2".to_string(),
            _ => self.below(1000).to_string(),
        }
    }

    /// Any float at all, or one of common size.
    fn literal(&mut self) -> String {
        match self.below(3) {
            0 => format!("{:e}", f64::from_bits(self.r.next_u64())).replace("inf", "Inf"),
            1 => format!("{}", self.r.f64() * 20.0 - 10.0),
            _ => format!("{}", (self.r.f64() - 0.5) * 2000.0),
        }
    }

    fn scalar(&mut self, depth: usize) -> String {
        match self.below(if depth == 0 { 3 } else { 7 }) {
            6 => format!("scalar({}(vector({})))", self.pick(&MATH[..23]), self.literal()),
            0 => self.number(),
            1 => "time()".to_string(),
            2 => "pi()".to_string(),
            3 => format!("scalar({})", self.vector(depth - 1)),
            4 => format!("({} {} {})", self.scalar(depth - 1), self.pick(&ARITHMETIC), self.scalar(depth - 1)),
            _ => format!("({} {} bool {})", self.scalar(depth - 1), self.pick(&COMPARISONS), self.scalar(depth - 1)),
        }
    }

    fn grouping(&mut self) -> String {
        let word = if self.below(3) == 0 { "without" } else { "by" };
        match self.below(4) {
            0 => String::new(),
            1 => format!(" {word} ({})", self.pick(&LABELS)),
            2 => format!(" {word} ({}, {})", self.pick(&LABELS), self.pick(&LABELS[..2])),
            _ => format!(" {word} ()"),
        }
    }

    fn matching(&mut self, set: bool) -> String {
        let word = if self.below(2) == 0 { "on" } else { "ignoring" };
        let labels = match self.below(3) {
            0 => self.pick(&LABELS).to_string(),
            1 => format!("{}, {}", self.pick(&LABELS[..2]), self.pick(&LABELS[2..])),
            _ => "class".to_string(),
        };
        match (self.below(5), set) {
            (0 | 1, _) => String::new(),
            (2, false) => format!(" {word}({labels}) group_left"),
            (3, false) => format!(" on(class) group_{}(room)", self.pick(&["left", "right"])),
            _ => format!(" {word}({labels})"),
        }
    }

    fn vector(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.selector();
        }
        let d = depth - 1;
        match self.below(20) {
            0 | 1 => self.selector(),
            2 | 3 => format!("{}({})", self.pick(&MATH), self.vector(d)),
            4..=6 => format!("{}({})", self.pick(&OVER_TIME), self.range(d)),
            7..=9 => format!("{}{} ({})", self.pick(&AGGREGATIONS), self.grouping(), self.vector(d)),
            10 if self.below(3) == 0 => {
                let of = self.pick(&["limitk", "limit_ratio"]);
                let n = if of == "limitk" { self.below(4).to_string() } else { self.pick(&["0.5", "-0.3", "1", "0", "-1"]).to_string() };
                format!("{of}{} ({n}, {})", self.grouping(), self.vector(d))
            }
            10 => format!("{}{} ({}, {})", self.pick(&["topk", "bottomk"]), self.grouping(), self.below(4), self.vector(d)),
            11 => format!("quantile{} ({}, {})", self.grouping(), self.number(), self.vector(d)),
            12 => format!("{} {}{} {}", self.vector(d), self.pick(&ARITHMETIC), self.matching(false), self.vector(d)),
            13 => {
                let bool_word = self.pick(&["", " bool"]);
                format!("{} {}{bool_word}{} {}", self.vector(d), self.pick(&COMPARISONS), self.matching(false), self.vector(d))
            }
            14 => format!("({} {}{} {})", self.vector(d), self.pick(&["and", "or", "unless"]), self.matching(true), self.vector(d)),
            15 => format!("({} {} {})", self.vector(d), self.pick(&ARITHMETIC), self.scalar(d)),
            16 => format!("({} {}{} {})", self.scalar(d), self.pick(&COMPARISONS), self.pick(&["", " bool"]), self.vector(d)),
            17 => match self.below(5) {
                0 => format!("histogram_quantile({}, {})", self.number(), self.vector(d)),
                1 => format!("histogram_quantile(0.9, sum by (le, class) (rate(wait_bucket[{}])))", self.pick(&DURATIONS)),
                2 => format!("clamp({}, {}, {})", self.vector(d), self.number(), self.number()),
                3 => format!("round({}, {})", self.vector(d), self.number()),
                _ => format!("clamp_{}({}, {})", self.pick(&["min", "max"]), self.vector(d), self.scalar(d)),
            },
            18 => match self.below(9) {
                6 => format!("info({})", self.vector(d)),
                7 => format!(
                    "info({}, {{{}}})",
                    self.selector(),
                    self.pick(&["version=~\"v.*\"", "version=\"v1\"", "class=~\".+\"", "version!=\"v1\""])
                ),
                8 => format!("sort_by_label{}({}, \"seat\", \"class\")", self.pick(&["", "_desc"]), self.vector(d)),
                0 => format!("label_replace({}, \"{}\", \"$1-x\", \"{}\", \"(.*)\")", self.vector(d), self.pick(&LABELS), self.pick(&LABELS)),
                1 => format!("label_join({}, \"{}\", \"-\", \"class\", \"seat\")", self.vector(d), self.pick(&["new", "class", "__name__"])),
                2 => format!("absent({})", self.vector(d)),
                3 => format!("vector({})", self.scalar(d)),
                4 => format!("count_values{} (\"v\", {})", self.grouping(), self.vector(d)),
                _ => format!("sort_desc({})", self.vector(d)),
            },
            _ => match self.below(6) {
                4 => self.of_histograms(d),
                5 => format!("{}({})", self.pick(&OF_HISTOGRAMS), self.vector(d)),
                0 => format!("quantile_over_time({}, {})", self.number(), self.range(d)),
                1 => format!("predict_linear({}, {})", self.range(d), self.number()),
                2 => format!("double_exponential_smoothing({}, 0.5, 0.3)", self.range(d)),
                _ => format!("-{}", self.vector(d)),
            },
        }
    }
}
