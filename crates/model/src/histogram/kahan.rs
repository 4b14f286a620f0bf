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

/// The same without asking which of the two is larger (Knuth's sum), so that several go at once: what is lost is the same number, as it is
/// exact both ways. Where the sum is not finite, `c` means nothing; see [`total`].
#[inline(always)]
pub fn add_lane(inc: f64, sum: &mut f64, c: &mut f64) {
    let t = *sum + inc;
    let other = t - *sum;
    *c += (*sum - (t - other)) + (inc - other);
    *sum = t;
}

/// Sum and compensation together, after any number of [`add_lane`]. An infinite sum stays as it is; so does, in the one case that [`add_lane`]
/// cannot compensate, one that came by the largest float.
#[inline]
pub fn total(sum: f64, c: f64) -> f64 {
    if sum.is_infinite() || c.is_nan() { sum } else { sum + c }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lanes_lose_nothing_either(values: Vec<f64>) {
            let (mut s, mut c) = (0.0, 0.0);
            let (mut lane, mut lane_c) = (0.0, 0.0);
            for v in &values {
                (s, c) = add(*v, s, c);
                add_lane(*v, &mut lane, &mut lane_c);
            }
            let (want, got) = (s + c, total(lane, lane_c));
            prop_assert!(want.to_bits() == got.to_bits() || (want.is_nan() && got.is_nan()), "{want} {got} {values:?}");
        }

        #[test]
        fn also_of_values_of_like_size(values in proptest::collection::vec(-1e6f64..1e6, 0..200)) {
            let (mut s, mut c) = (0.0, 0.0);
            let (mut lane, mut lane_c) = (0.0, 0.0);
            for v in &values {
                (s, c) = add(*v, s, c);
                add_lane(*v, &mut lane, &mut lane_c);
                prop_assert_eq!((s.to_bits(), c.to_bits()), (lane.to_bits(), lane_c.to_bits()));
            }
        }
    }
}
