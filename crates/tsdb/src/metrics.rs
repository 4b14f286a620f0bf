//! What the store counts, under Prometheus' names. The log's own metrics are registered by the log.

use stdx::metrics::{Counter, CounterVec, Gauge, Histogram, Registry, Summary};

#[derive(Clone)]
pub struct Metrics {
    pub head_series: Gauge,
    pub head_series_created: Counter,
    pub head_series_removed: Counter,
    pub head_series_not_found: Counter,
    pub head_stale_series: Gauge,
    pub head_chunks: Gauge,
    pub head_chunks_created: Counter,
    pub head_chunks_removed: Counter,
    pub head_chunks_bytes: Gauge,
    pub head_min_time: Gauge,
    pub head_max_time: Gauge,
    pub head_min_time_seconds: Gauge,
    pub head_max_time_seconds: Gauge,
    pub head_truncations: Counter,
    pub head_truncations_failed: Counter,
    pub head_gc_seconds: Summary,
    pub head_active_appenders: Gauge,
    pub native_histogram_series: Gauge,
    pub samples_appended: CounterVec,
    pub out_of_order_samples_appended: CounterVec,
    pub out_of_order_samples: CounterVec,
    pub out_of_bound_samples: CounterVec,
    pub too_old_samples: CounterVec,
    pub duplicate_samples: CounterVec,
    pub sample_ooo_delta: Histogram,
    pub series_limit_refused: Counter,
    pub mmap_chunks: Counter,
    pub mmap_chunk_corruptions: Counter,
    pub wal_corruptions: Counter,
    pub wal_truncate_seconds: Summary,
    pub wal_replay_unknown_refs: CounterVec,
    pub wbl_replay_unknown_refs: CounterVec,
    pub replay_seconds: Gauge,
    pub checkpoint_creations: Counter,
    pub checkpoint_creations_failed: Counter,
    pub checkpoint_deletions: Counter,
    pub checkpoint_deletions_failed: Counter,
    pub exemplars_appended: Counter,
    pub exemplars_in_storage: Gauge,
    pub exemplar_series: Gauge,
    pub exemplar_last_seconds: Gauge,
    pub exemplars_max: Gauge,
    pub exemplars_out_of_order: Counter,
    pub blocks_loaded: Gauge,
    pub blocks_set_aside: Gauge,
    pub blocks_bytes: Gauge,
    pub symbol_table_bytes: Gauge,
    pub lowest_timestamp: Gauge,
    pub lowest_timestamp_seconds: Gauge,
    pub reloads: Counter,
    pub reload_failures: Counter,
    pub compactions: Counter,
    pub compactions_failed: Counter,
    pub compactions_triggered: Counter,
    pub compactions_skipped: Counter,
    pub vertical_compactions: Counter,
    pub compaction_seconds: Histogram,
    pub compaction_chunk_size: Histogram,
    pub compaction_chunk_samples: Histogram,
    pub compaction_chunk_range: Histogram,
    pub compaction_populating: Gauge,
    pub retention_limit_bytes: Gauge,
    pub retention_limit_seconds: Gauge,
    pub retention_limit_percentage: Gauge,
    pub size_retentions: Counter,
    pub time_retentions: Counter,
    pub tombstone_cleanup_seconds: Histogram,
    pub clean_start: Gauge,
    pub disk_full_refused: Counter,
    pub late_samples: Gauge,
    pub isolation_low: Gauge,
    pub isolation_high: Gauge,
    pub snapshot_replay_errors: Counter,
}

fn exponential(start: f64, factor: f64, n: i32) -> Vec<f64> {
    (0..n).map(|i| start * factor.powi(i)).collect()
}

impl Metrics {
    pub fn new(r: &Registry) -> Self {
        let m = Self::registered(r);
        // There from the start, as in Prometheus: a rise from nothing is not seen by a rate.
        for vec in [&m.samples_appended, &m.out_of_order_samples_appended, &m.out_of_order_samples, &m.out_of_bound_samples, &m.too_old_samples] {
            for kind in ["float", "histogram"] {
                vec.with(&[kind]);
            }
        }
        m
    }

    fn registered(r: &Registry) -> Self {
        let durations = exponential(1.0, 2.0, 14);
        Metrics {
            head_series: r.gauge("prometheus_tsdb_head_series", "Total number of series in the head block."),
            head_series_created: r.counter("prometheus_tsdb_head_series_created_total", "Total number of series created in the head."),
            head_series_removed: r.counter("prometheus_tsdb_head_series_removed_total", "Total number of series removed in the head."),
            head_series_not_found: r
                .counter("prometheus_tsdb_head_series_not_found_total", "Total number of requests for series that were not found."),
            head_stale_series: r.gauge("prometheus_tsdb_head_stale_series", "Total number of stale series in the head block."),
            head_chunks: r.gauge("prometheus_tsdb_head_chunks", "Total number of chunks in the head block."),
            head_chunks_created: r.counter("prometheus_tsdb_head_chunks_created_total", "Total number of chunks created in the head."),
            head_chunks_removed: r.counter("prometheus_tsdb_head_chunks_removed_total", "Total number of chunks removed in the head."),
            head_chunks_bytes: r.gauge("prometheus_tsdb_head_chunks_storage_size_bytes", "Size of the chunks_head directory."),
            head_min_time: r.gauge("prometheus_tsdb_head_min_time", "Minimum time bound of the head block, in milliseconds."),
            head_max_time: r.gauge("prometheus_tsdb_head_max_time", "Maximum timestamp of the head block, in milliseconds."),
            head_min_time_seconds: r.gauge("prometheus_tsdb_head_min_time_seconds", "Minimum time bound of the head block."),
            head_max_time_seconds: r.gauge("prometheus_tsdb_head_max_time_seconds", "Maximum timestamp of the head block."),
            head_truncations: r.counter("prometheus_tsdb_head_truncations_total", "Total number of head truncations attempted."),
            head_truncations_failed: r.counter("prometheus_tsdb_head_truncations_failed_total", "Total number of head truncations that failed."),
            head_gc_seconds: r.summary("prometheus_tsdb_head_gc_duration_seconds", "Runtime of garbage collection in the head block.", &[]),
            head_active_appenders: r.gauge("prometheus_tsdb_head_active_appenders", "Number of currently active appender transactions."),
            native_histogram_series: r.gauge("prometheus_tsdb_head_native_histogram_series", "Series in the head whose newest sample is a native histogram."),
            samples_appended: r.counter_vec("prometheus_tsdb_head_samples_appended_total", "Total number of appended samples.", &["type"]),
            out_of_order_samples_appended: r.counter_vec(
                "prometheus_tsdb_head_out_of_order_samples_appended_total",
                "Total number of appended out of order samples.",
                &["type"],
            ),
            out_of_order_samples: r.counter_vec(
                "prometheus_tsdb_out_of_order_samples_total",
                "Total number of out of order samples ingestion failed attempts due to out of order being disabled.",
                &["type"],
            ),
            out_of_bound_samples: r.counter_vec(
                "prometheus_tsdb_out_of_bound_samples_total",
                "Total number of out of bound samples ingestion failed attempts with out of order support disabled.",
                &["type"],
            ),
            too_old_samples: r.counter_vec(
                "prometheus_tsdb_too_old_samples_total",
                "Total number of samples that were older than the retention or the out of order window.",
                &["type"],
            ),
            duplicate_samples: r.counter_vec(
                "narthex_tsdb_duplicate_samples_total",
                "Samples for a time that was stored already: with the same value (repeat) or with another, which was dropped (conflict).",
                &["kind"],
            ),
            sample_ooo_delta: r.histogram(
                "prometheus_tsdb_sample_ooo_delta",
                "Delta in seconds by which a sample is considered out of order (reported regardless of OOO time window and whether sample is accepted or not).",
                &[600.0, 1800.0, 3600.0, 7200.0, 10800.0, 21600.0, 43200.0],
            ),
            series_limit_refused: r.counter("narthex_tsdb_series_limit_refused_total", "New series refused because of a limit."),
            mmap_chunks: r.counter("prometheus_tsdb_mmap_chunks_total", "Total number of chunks that were memory-mapped."),
            mmap_chunk_corruptions: r.counter("prometheus_tsdb_mmap_chunk_corruptions_total", "Total number of memory-mapped chunk corruptions."),
            wal_corruptions: r.counter("prometheus_tsdb_wal_corruptions_total", "Total number of WAL corruptions."),
            wal_truncate_seconds: r.summary("prometheus_tsdb_wal_truncate_duration_seconds", "Duration of WAL truncation.", &[]),
            wal_replay_unknown_refs: r.counter_vec(
                "prometheus_tsdb_wal_replay_unknown_refs_total",
                "Total number of unknown series references encountered during WAL replay.",
                &["type"],
            ),
            wbl_replay_unknown_refs: r.counter_vec(
                "prometheus_tsdb_wbl_replay_unknown_refs_total",
                "Total number of unknown series references encountered during WBL replay.",
                &["type"],
            ),
            replay_seconds: r.gauge("prometheus_tsdb_data_replay_duration_seconds", "Time taken to replay the data on disk."),
            checkpoint_creations: r.counter("prometheus_tsdb_checkpoint_creations_total", "Total number of checkpoint creations attempted."),
            checkpoint_creations_failed: r.counter("prometheus_tsdb_checkpoint_creations_failed_total", "Total number of checkpoint creations that failed."),
            checkpoint_deletions: r.counter("prometheus_tsdb_checkpoint_deletions_total", "Total number of checkpoint deletions attempted."),
            checkpoint_deletions_failed: r.counter("prometheus_tsdb_checkpoint_deletions_failed_total", "Total number of checkpoint deletions that failed."),
            exemplars_appended: r.counter("prometheus_tsdb_exemplar_exemplars_appended_total", "Total number of appended exemplars."),
            exemplars_in_storage: r.gauge("prometheus_tsdb_exemplar_exemplars_in_storage", "Number of exemplars currently in circular storage."),
            exemplar_series: r
                .gauge("prometheus_tsdb_exemplar_series_with_exemplars_in_storage", "Number of series with exemplars currently in circular storage."),
            exemplar_last_seconds: r.gauge(
                "prometheus_tsdb_exemplar_last_exemplars_timestamp_seconds",
                "The timestamp of the oldest exemplar stored in circular storage.",
            ),
            exemplars_max: r.gauge("prometheus_tsdb_exemplar_max_exemplars", "Total number of exemplars the exemplar storage can store, resizeable."),
            exemplars_out_of_order: r
                .counter("prometheus_tsdb_exemplar_out_of_order_exemplars_total", "Total number of out of order exemplar ingestion failed attempts."),
            blocks_set_aside: r.gauge("narthex_tsdb_blocks_set_aside", "Blocks that cannot be opened and are not served."),
            blocks_loaded: r.gauge("prometheus_tsdb_blocks_loaded", "Number of currently loaded data blocks."),
            blocks_bytes: r.gauge("prometheus_tsdb_storage_blocks_bytes", "The number of bytes that are currently used for local storage by all blocks."),
            symbol_table_bytes: r.gauge("prometheus_tsdb_symbol_table_size_bytes", "Size of symbol table in memory for loaded blocks."),
            lowest_timestamp: r.gauge("prometheus_tsdb_lowest_timestamp", "Lowest timestamp value stored in the database, in milliseconds."),
            lowest_timestamp_seconds: r.gauge("prometheus_tsdb_lowest_timestamp_seconds", "Lowest timestamp value stored in the database."),
            reloads: r.counter("prometheus_tsdb_reloads_total", "Number of times the database reloaded block data from disk."),
            reload_failures: r.counter("prometheus_tsdb_reloads_failures_total", "Number of times the database failed to reload block data from disk."),
            compactions: r.counter("prometheus_tsdb_compactions_total", "Total number of compactions that were executed for the partition."),
            compactions_failed: r.counter("prometheus_tsdb_compactions_failed_total", "Total number of compactions that failed for the partition."),
            compactions_triggered: r.counter("prometheus_tsdb_compactions_triggered_total", "Total number of triggered compactions for the partition."),
            compactions_skipped: r.counter("prometheus_tsdb_compactions_skipped_total", "Total number of skipped compactions due to disabled auto compaction."),
            vertical_compactions: r.counter("prometheus_tsdb_vertical_compactions_total", "Total number of compactions done on overlapping blocks."),
            compaction_seconds: r.histogram("prometheus_tsdb_compaction_duration_seconds", "Duration of compaction runs.", &durations),
            compaction_chunk_size: r.histogram(
                "prometheus_tsdb_compaction_chunk_size_bytes",
                "Final size of chunks on their first compaction.",
                &exponential(32.0, 1.5, 12),
            ),
            compaction_chunk_samples: r.histogram(
                "prometheus_tsdb_compaction_chunk_samples",
                "Final number of samples on their first compaction.",
                &exponential(4.0, 1.5, 12),
            ),
            compaction_chunk_range: r.histogram(
                "prometheus_tsdb_compaction_chunk_range_seconds",
                "Final time range of chunks on their first compaction.",
                &exponential(100.0, 4.0, 10),
            ),
            compaction_populating: r.gauge("prometheus_tsdb_compaction_populating_block", "Set to 1 when a block is currently being written to the disk."),
            retention_limit_bytes: r.gauge("prometheus_tsdb_retention_limit_bytes", "Max number of bytes to be retained in the tsdb blocks, configured 0 means disabled."),
            retention_limit_seconds: r.gauge("prometheus_tsdb_retention_limit_seconds", "How long to retain samples in storage."),
            retention_limit_percentage: r
                .gauge("prometheus_tsdb_retention_limit_percentage", "Max percentage of total storage space to be retained in the tsdb blocks, configured 0 means disabled."),
            size_retentions: r.counter("prometheus_tsdb_size_retentions_total", "The number of times that blocks were deleted because the maximum number of bytes was exceeded."),
            time_retentions: r.counter("prometheus_tsdb_time_retentions_total", "The number of times that blocks were deleted because the maximum time limit was exceeded."),
            tombstone_cleanup_seconds: r.histogram(
                "prometheus_tsdb_tombstone_cleanup_seconds",
                "The time taken to recompact blocks to remove tombstones.",
                &stdx::metrics::DEFAULT_BUCKETS,
            ),
            clean_start: r.gauge("prometheus_tsdb_clean_start", "-1: lockfile is disabled. 0: a lockfile from a previous execution was replaced. 1: lockfile creation was clean"),
            disk_full_refused: r.counter("narthex_tsdb_disk_full_refused_total", "Batches refused because the disk had no room."),
            late_samples: r.gauge("narthex_tsdb_head_late_samples", "Late samples in memory that wait for a block."),
            isolation_low: r.gauge("prometheus_tsdb_isolation_low_watermark", "The lowest TSDB append ID that is still referenced."),
            isolation_high: r.gauge("prometheus_tsdb_isolation_high_watermark", "The highest TSDB append ID that has been given out."),
            snapshot_replay_errors: r.counter("prometheus_tsdb_snapshot_replay_error_total", "Total number snapshot replays that failed."),
        }
    }
}
