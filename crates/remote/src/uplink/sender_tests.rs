use super::*;

#[test]
fn what_the_parent_says_gets_a_word() {
    for (message, want) in [
        ("out of order sample", "out_of_order"),
        ("Duplicate sample for timestamp; overrides not allowed", "duplicate_timestamp"),
        ("too old sample", "too_old"),
        ("invalid label name", "invalid_labels"),
        ("per-user series limit reached", "limit"),
        ("?", "other"),
    ] {
        assert_eq!(reason_of(message), want);
    }
}
