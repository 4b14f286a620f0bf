//! Summation that carries the rounding error along (Kahan with Neumaier's improvement), step by step as the reference does it: results must
//! agree to the last bit.

/// Adds `inc` to `sum` with compensation `c`; returns both anew. An infinite sum has no compensation.
#[inline(always)]
pub fn add(inc: f64, sum: f64, c: f64) -> (f64, f64) {
    let t = sum + inc;
    if t.is_infinite() {
        return (t, 0.0);
    }
    let lost = if sum.abs() >= inc.abs() { (sum - t) + inc } else { (inc - t) + sum };
    (t, c + lost)
}
