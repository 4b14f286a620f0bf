//! Logarithms: of e as in msun, the others from it.

use super::{MANTISSA, MANTISSA_BITS, polynomial, split};
use std::f64::consts::{FRAC_1_SQRT_2, LN_2, LOG2_E, LOG10_E, SQRT_2};

const LN2_HIGH: f64 = 6.931_471_803_691_238_164_90e-01;
const LN2_LOW: f64 = 1.908_214_929_270_587_700_02e-10;
/// Of `ln(1+s) - ln(1-s)`, by rising power.
const L: [f64; 7] = [
    6.666_666_666_666_735_130e-01,
    3.999_999_999_940_941_908e-01,
    2.857_142_874_366_239_149e-01,
    2.222_219_843_214_978_396e-01,
    1.818_357_216_161_805_012e-01,
    1.531_383_769_920_937_332e-01,
    1.479_819_860_511_658_591e-01,
];

/// As Go's assembly: the exponent is read as it stands, which is wrong by design for subnormal numbers.
pub fn ln(x: f64) -> f64 {
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    if x < 0.0 {
        return f64::NAN;
    }
    if !x.is_finite() {
        return x;
    }
    let bits = x.to_bits();
    let mut f = f64::from_bits(bits & MANTISSA | 0x3fe << MANTISSA_BITS);
    let mut k = ((bits >> MANTISSA_BITS) as i64 - 0x3fe) as f64;
    if f <= FRAC_1_SQRT_2 {
        k -= 1.0;
        f *= 2.0;
    }
    f -= 1.0;
    let s = f / (2.0 + f);
    let s2 = s * s;
    let s4 = s2 * s2;
    let odd = s2 * polynomial(s4, &[L[6], L[4], L[2], L[0]]);
    let even = s4 * polynomial(s4, &[L[5], L[3], L[1]]);
    let half = 0.5 * f * f;
    k * LN2_HIGH - ((half - (s * (half + (odd + even)) + k * LN2_LOW)) - f)
}

pub fn log2(x: f64) -> f64 {
    let (fraction, exponent) = split(x);
    // Powers of two are exact.
    if fraction == 0.5 { (exponent - 1) as f64 } else { ln(fraction) * LOG2_E + exponent as f64 }
}

pub fn log10(x: f64) -> f64 {
    ln(x) * LOG10_E
}

/// ln(1+x), exact also for small x.
pub fn ln_1p(x: f64) -> f64 {
    if x < -1.0 || x.is_nan() {
        return f64::NAN;
    }
    if x == -1.0 {
        return f64::NEG_INFINITY;
    }
    if x == f64::INFINITY {
        return x;
    }
    let size = x.abs();
    if size < SQRT_2_LESS_1 && size < 1.0 / (1u64 << 29) as f64 {
        return if size < 1.0 / (1u64 << 54) as f64 { x } else { x - x * x * 0.5 };
    }
    let near = size < SQRT_2_LESS_1 && x > HALF_SQRT_2_LESS_1;
    // 1+x = 2^k (1+f); `lost` is what rounding 1+x lost; `tiny` says that f is next to nothing.
    let (k, mut lost, f, tiny) = if near { (0i64, 0.0, x, false) } else { reduced(x, size) };
    let half = 0.5 * f * f;
    if tiny {
        if f == 0.0 {
            if k == 0 {
                return 0.0;
            }
            lost += k as f64 * LN2_LOW;
            return k as f64 * LN2_HIGH + lost;
        }
        let r = half * (1.0 - 0.666_666_666_666_666_66 * f);
        return if k == 0 { f - r } else { k as f64 * LN2_HIGH - ((r - (k as f64 * LN2_LOW + lost)) - f) };
    }
    let s = f / (2.0 + f);
    let z = s * s;
    let r = z * polynomial(z, &[L[6], L[5], L[4], L[3], L[2], L[1], L[0]]);
    if k == 0 {
        return f - (half - s * (half + r));
    }
    k as f64 * LN2_HIGH - ((half - (s * (half + r) + (k as f64 * LN2_LOW + lost))) - f)
}

const SQRT_2_LESS_1: f64 = 4.142_135_623_730_950_488_017e-01;
const HALF_SQRT_2_LESS_1: f64 = -2.928_932_188_134_524_755_992e-01;

fn reduced(x: f64, size: f64) -> (i64, f64, f64, bool) {
    let whole = size >= (1u64 << 53) as f64;
    let u = if whole { x } else { 1.0 + x };
    let mut k = (u.to_bits() >> MANTISSA_BITS) as i64 - 1023;
    let lost = match (whole, k > 0) {
        (true, _) => 0.0,
        (_, true) => (1.0 - (u - x)) / u,
        (_, false) => (x - (u - 1.0)) / u,
    };
    let mut mantissa = u.to_bits() & MANTISSA;
    let u = if mantissa < SQRT_2.to_bits() & MANTISSA {
        f64::from_bits(mantissa | 0x3ff << MANTISSA_BITS)
    } else {
        k += 1;
        let u = f64::from_bits(mantissa | 0x3fe << MANTISSA_BITS);
        mantissa = ((1 << MANTISSA_BITS) - mantissa) >> 2;
        u
    };
    (k, lost, u - 1.0, mantissa == 0)
}

/// What the inverse hyperbolic functions add for large arguments.
pub(super) const LN2: f64 = LN_2;
