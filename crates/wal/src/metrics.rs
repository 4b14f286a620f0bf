//! What the log counts, under Prometheus' names; cursors under ours.

use stdx::metrics::{Counter, CounterVec, Gauge, GaugeVec, Registry, Summary};

pub(crate) struct Metrics {
    pub fsync_seconds: Summary,
    pub page_flushes: Counter,
    pub completed_pages: Counter,
    pub truncations: Counter,
    pub truncations_failed: Counter,
    pub segment_current: Gauge,
    pub writes_failed: Counter,
    pub storage_size: Gauge,
    pub record_part_writes: Counter,
    pub record_part_bytes: Counter,
    pub record_bytes_saved: CounterVec,
    pub checkpoint_creations: Counter,
    pub checkpoint_creations_failed: Counter,
    pub checkpoint_deletions: Counter,
    pub checkpoint_deletions_failed: Counter,
    pub reader_corruptions: Counter,
    pub held_bytes: Gauge,
    pub cursor_segment: GaugeVec,
    pub cursor_passed: CounterVec,
}

impl Metrics {
    pub(crate) fn new(r: &Registry) -> Self {
        Metrics {
            fsync_seconds: r.summary("prometheus_tsdb_wal_fsync_duration_seconds", "Duration of write log fsync.", &[0.5, 0.9, 0.99]),
            page_flushes: r.counter("prometheus_tsdb_wal_page_flushes_total", "Total number of page flushes."),
            completed_pages: r.counter("prometheus_tsdb_wal_completed_pages_total", "Total number of completed pages."),
            truncations: r.counter("prometheus_tsdb_wal_truncations_total", "Total number of write log truncations attempted."),
            truncations_failed: r.counter("prometheus_tsdb_wal_truncations_failed_total", "Total number of write log truncations that failed."),
            segment_current: r.gauge("prometheus_tsdb_wal_segment_current", "Write log segment index that TSDB is currently writing to."),
            writes_failed: r.counter("prometheus_tsdb_wal_writes_failed_total", "Total number of write log writes that failed."),
            storage_size: r.gauge("prometheus_tsdb_wal_storage_size_bytes", "Size of the write log directory."),
            record_part_writes: r.counter("prometheus_tsdb_wal_record_part_writes_total", "Total number of record parts written before flushing."),
            record_part_bytes: r.counter(
                "prometheus_tsdb_wal_record_parts_bytes_written_total",
                "Total number of record part bytes written before flushing, including CRC and compression headers.",
            ),
            record_bytes_saved: r.counter_vec(
                "prometheus_tsdb_wal_record_bytes_saved_total",
                "Total number of bytes saved by the optional record compression.",
                &["compression"],
            ),
            checkpoint_creations: r.counter("prometheus_tsdb_checkpoint_creations_total", "Total number of checkpoint creations attempted."),
            checkpoint_creations_failed: r
                .counter("prometheus_tsdb_checkpoint_creations_failed_total", "Total number of checkpoint creations that failed."),
            checkpoint_deletions: r.counter("prometheus_tsdb_checkpoint_deletions_total", "Total number of checkpoint deletions attempted."),
            checkpoint_deletions_failed: r
                .counter("prometheus_tsdb_checkpoint_deletions_failed_total", "Total number of checkpoint deletions that failed."),
            reader_corruptions: r.counter("prometheus_tsdb_wal_reader_corruption_errors_total", "Errors encountered when reading the WAL."),
            held_bytes: r.gauge("narthex_wal_held_bytes", "Bytes of old segments that are kept only because a cursor has not read them."),
            cursor_segment: r.gauge_vec("narthex_wal_cursor_segment", "Segment that a reader of the log has reached.", &["cursor"]),
            cursor_passed: r.counter_vec(
                "narthex_wal_cursor_passed_segments_total",
                "Segments that were removed before a reader had read them, because the budget was used up.",
                &["cursor"],
            ),
        }
    }
}
