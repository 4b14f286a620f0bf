use super::*;
use stdx::fs::RealFs;

const THANOS: &str = r#"{
	"ulid": "01BKGTZQ1SYQJTR4PB43C8PD98",
	"minTime": 1602237600000,
	"maxTime": 1602244800000,
	"stats": {"numSamples": 553673232, "numSeries": 1346066, "numChunks": 4440437, "numNew": 1},
	"compaction": {"level": 1, "sources": ["01EM6Q6A1YPX4G9TEB20J22B2R"], "parents": [{"ulid": "01EM6Q6A1YPX4G9TEB20J22B2R", "minTime": 1, "maxTime": 2}], "x": [1]},
	"version": 1,
	"thanos": {"labels": {"cluster": "a"}, "downsample": {"resolution": 0}}
}"#;

#[test]
fn unknown_fields_are_kept() {
    let dir = tempfile::tempdir().expect("temporary directory");
    std::fs::write(dir.path().join(FILE_NAME), THANOS).expect("write");
    let mut meta = BlockMeta::read(&RealFs, dir.path()).expect("read");
    assert_eq!((meta.compaction.level, meta.stats.num_series, meta.min_time_ms), (1, 1_346_066, 1_602_237_600_000));
    assert_eq!(meta.ulid.to_string(), "01BKGTZQ1SYQJTR4PB43C8PD98");
    meta.add_hint(HINT_OUT_OF_ORDER);
    meta.write(&RealFs, dir.path()).expect("write");
    let again = BlockMeta::read(&RealFs, dir.path()).expect("read again");
    assert_eq!(again, meta);
    assert_eq!(again.other["thanos"]["labels"]["cluster"], "a");
    assert_eq!(again.compaction.other["x"][0], 1);
}

#[test]
fn written_as_prometheus_does() {
    let ulid: Ulid = "01BKGTZQ1SYQJTR4PB43C8PD98".parse().expect("ulid");
    let mut meta = crate::compact::head_meta(ulid, -5, 7_200_000, &[HINT_OUT_OF_ORDER]);
    meta.stats.num_samples = 3;
    let want = "{\n\t\"ulid\": \"01BKGTZQ1SYQJTR4PB43C8PD98\",\n\t\"minTime\": -5,\n\t\"maxTime\": 7200000,\n\t\"stats\": {\n\t\t\"numSamples\": 3\n\t},\n\t\
                \"compaction\": {\n\t\t\"level\": 1,\n\t\t\"sources\": [\n\t\t\t\"01BKGTZQ1SYQJTR4PB43C8PD98\"\n\t\t],\n\t\t\"hints\": [\n\t\t\t\"from-out-of-order\"\n\t\t]\n\t},\n\t\"version\": 1\n}";
    assert_eq!(String::from_utf8(meta.to_json()).expect("text"), want);
}

#[test]
fn ulids_sort_by_time_and_read_back() {
    let mut rand = stdx::rand::Rand::seeded(1);
    let (a, b) = (Ulid::new(1_700_000_000_000, &mut rand), Ulid::new(1_700_000_000_001, &mut rand));
    assert!(a < b && a.to_string() < b.to_string());
    assert_eq!(a.to_string().parse(), Ok(a));
    assert_eq!(a.time_ms(), 1_700_000_000_000);
    for bad in ["", "01BKGTZQ1SYQJTR4PB43C8PD9", "81BKGTZQ1SYQJTR4PB43C8PD98", "01BKGTZQ1SYQJTR4PB43C8PD9U"] {
        assert!(bad.parse::<Ulid>().is_err(), "{bad}");
    }
}
