//! Pages in text, with what is odd in each format.

pub const TEXT: &str = r#"# HELP t_requests_total The "total" number\nof requests \\ all.
# TYPE t_requests_total counter
t_requests_total{code="200",path="/a\"b\\c\nd",class="6반"} 1027
t_requests_total { code = "500" , } 3.5e1
# HELP t_help_only Nothing follows.
# TYPE t_untyped_thing untyped
t_untyped_thing NaN
t_inf +Inf
t_neg -Inf
	t_tabs	1
# a comment
# TYPE t_latency histogram
t_latency_bucket{le="0.1"} 2
t_latency_bucket{le="1"} 5
t_latency_bucket{le="+Inf"} 7
t_latency_sum 3.25
t_latency_count 7
# TYPE t_summary summary
t_summary{quantile="0.5"} 0.25
t_summary_sum 8
t_summary_count 4
t_empty_label{a=""} 1
t_job{job="mine",instance="there",exported_job="x"} 1
"#;

pub const OPENMETRICS: &str = "# HELP o_requests Requests with \\\"quotes\\\" and a\\nline.\n# TYPE o_requests counter\n# UNIT o_requests_seconds seconds\n\
# TYPE o_hits counter\no_hits_total{class=\"6반\"} 12 # {trace_id=\"abc\",span=\"가\"} 0.5\no_hits_created{class=\"6반\"} CREATED\n\
# TYPE o_temp_celsius gauge\n# UNIT o_temp_celsius celsius\no_temp_celsius 20.5\n\
# TYPE o_lat histogram\no_lat_bucket{le=\"0.1\"} 1 # {trace_id=\"b\"} 0.05 NOW\no_lat_bucket{le=\"1.0\"} 3\no_lat_bucket{le=\"+Inf\"} 4\no_lat_sum 5.5\no_lat_count 4\no_lat_created CREATED\n\
# TYPE o_sum summary\no_sum{quantile=\"0.9\"} 3\no_sum_sum 10\no_sum_count 4\n\
# TYPE o_state stateset\no_state{o_state=\"on\"} 1\no_state{o_state=\"off\"} 0\n# TYPE o_info info\no_info_info{version=\"1\"} 1\n\
# TYPE o_gh gaugehistogram\no_gh_bucket{le=\"1\"} 2\no_gh_bucket{le=\"+Inf\"} 3\no_gh_gcount 3\no_gh_gsum 4\n# TYPE o_unknown unknown\no_unknown 1\n# EOF\n";

/// Quoted names, which text 1.0.0 and OpenMetrics know with UTF-8.
pub const UTF8: &str = "# TYPE \"u.requests.total\" counter\n{\"u.requests.total\",\"서버.이름\"=\"가\",plain=\"x\"} 5\n{\"u 공백\"} 1\nu_plain 2\n";

/// A line in the middle that is no metric.
pub const BROKEN: &str = "b_fine 1\nthis is {not a metric\nb_after 2\n";

/// A number that Go would read, and the format has not.
pub const HEX: &str = "x_fine 1\nx_hex 0x1p-2\n";

/// Times: long ago, far ahead, now.
pub fn timed(now_ms: i64) -> String {
    format!("d_now 1 {now_ms}\nd_ahead 1 {}\nd_plain 2\nd_twice 1 {now_ms}\nd_twice 2 {now_ms}\n", now_ms + 3_600_000)
}

/// Twice the same series.
pub const DOUBLED: &str = "e_once 1\ne_twice{a=\"b\"} 1\ne_twice{a=\"b\"} 2\n";

pub const WIDE: &str =
    "w_a{a=\"1\",b=\"2\",c=\"3\"} 1\nw_long_label_name{a_rather_long_label_name=\"x\"} 1\nw_long_value{a=\"a_rather_long_label_value\"} 1\nw_d 1\n";
