//! A float sample, and the NaN that means "this series ends here".

/// The bit pattern of the staleness marker: a quiet-less NaN that no arithmetic produces.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;
/// The NaN that Prometheus writes for an ordinary "not a number".
pub const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

pub fn stale_nan() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

#[inline]
pub fn is_stale_nan(v: f64) -> bool {
    v.to_bits() == STALE_NAN_BITS
}

/// One value at one time.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Milliseconds since the Unix epoch.
    pub t_ms: i64,
    pub v: f64,
}

/// Equal means the same bits: NaNs are equal to themselves, and a staleness marker only to a staleness marker.
impl PartialEq for Sample {
    fn eq(&self, other: &Self) -> bool {
        self.t_ms == other.t_ms && self.v.to_bits() == other.v.to_bits()
    }
}
