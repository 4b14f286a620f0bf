//! Powers of e and of 2.

use super::{join, polynomial};

const LOG2_E: f64 = std::f64::consts::LOG2_E;
const LN2_UPPER: f64 = f64::from_bits(0x3fe6_2e42_fefa_3000);
const LN2_LOWER: f64 = 2.823_529_056_303_157_712_258_844_817_501_343_602_552_541e-13;
/// Above it the result is infinite.
const OVERFLOW: f64 = 709.782_712_893_384;

/// eˣ. As Go's assembly does on processors with fused multiplication: e to a sixteenth of the reduced argument as a Taylor series, minus one,
/// then squared four times.
pub fn exp(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x > OVERFLOW {
        return f64::INFINITY;
    }
    // Results below the smallest number lie far above this; the power of two must fit 32 bits.
    if x < -1e6 {
        return 0.0;
    }
    let power = (x * LOG2_E).round_ties_even();
    let reduced = (-power).mul_add(LN2_LOWER, (-power).mul_add(LN2_UPPER, x)) * 0.0625;
    const TAYLOR: [f64; 8] = [1.0 / 40320.0, 1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0];
    let series = TAYLOR[1..].iter().fold(TAYLOR[0], |sum, c| sum.mul_add(reduced, *c));
    let mut y = reduced * series;
    for _ in 0..3 {
        y *= y + 2.0;
    }
    scaled(y.mul_add(y + 2.0, 1.0), power as i64)
}

/// `y · 2^power`; below the smallest normal number in two steps, the second of which rounds.
fn scaled(y: f64, power: i64) -> f64 {
    let two_to = |biased: i64| f64::from_bits((biased as u64) << 52);
    match power + 1023 {
        biased if biased >= 0x7ff => f64::INFINITY,
        biased if biased > 0 => y * two_to(biased),
        biased if biased >= -52 => y * two_to(biased + 1022) * two_to(1),
        _ => 0.0,
    }
}

/// 2ˣ, from the exponential of what is left of the nearest whole power.
pub fn exp2(x: f64) -> f64 {
    const LN2_HIGH: f64 = 6.931_471_803_691_238_164_90e-01;
    const LN2_LOW: f64 = 1.908_214_929_270_587_700_02e-10;
    if x.is_nan() || x == f64::INFINITY {
        return x;
    }
    if x > 1.023_999_999_999_999_9e+03 {
        return f64::INFINITY;
    }
    if x < -1.0740e+03 {
        return 0.0;
    }
    let power = if x > 0.0 { (x + 0.5).trunc() } else { (x - 0.5).trunc() };
    let rest = x - power;
    let (high, low) = (rest * LN2_HIGH, -rest * LN2_LOW);
    const P: [f64; 5] = [
        4.138_136_797_057_238_460_39e-08,
        -1.653_390_220_546_525_153_90e-06,
        6.613_756_321_437_934_361_17e-05,
        -2.777_777_777_701_559_338_42e-03,
        1.666_666_666_666_666_574_15e-01,
    ];
    let r = high - low;
    let square = r * r;
    let c = r - square * polynomial(square, &P);
    join(1.0 - ((low - (r * c) / (2.0 - c)) - high), power as i64)
}
