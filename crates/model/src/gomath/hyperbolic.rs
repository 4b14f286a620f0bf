//! Hyperbolic functions and their inverses.

use super::logarithm::LN2;
use super::{exp, ln, ln_1p, polynomial};

/// From here on the smaller exponential does not count.
const FAR: f64 = 21.0;
/// 2²⁸: beyond it, and below its inverse, squares need not be looked at.
const LARGE: f64 = (1 << 28) as f64;

pub fn sinh(x: f64) -> f64 {
    const P: [f64; 4] = [
        -0.263_056_321_339_749_706_281_948_9e+2,
        -0.289_421_135_598_956_380_728_466_036_6e+4,
        -0.899_127_202_203_950_935_539_801_351_1e+5,
        -0.630_767_364_049_771_699_118_478_725_1e+6,
    ];
    const Q: [f64; 4] =
        [1.0, -0.173_678_953_558_233_699_533_450_911e+3, 0.152_151_737_879_001_907_069_648_517_6e+5, -0.630_767_364_049_771_699_121_207_727_7e+6];
    let size = x.abs();
    let y = if size > FAR {
        exp(size) / 2.0
    } else if size > 0.5 {
        let up = exp(size);
        (up - 1.0 / up) / 2.0
    } else {
        let square = size * size;
        polynomial(square, &P) * size / polynomial(square, &Q)
    };
    if x < 0.0 { -y } else { y.copysign(x) }
}

pub fn cosh(x: f64) -> f64 {
    let size = x.abs();
    if size > FAR {
        return exp(size) / 2.0;
    }
    let up = exp(size);
    (up + 1.0 / up) / 2.0
}

pub fn tanh(x: f64) -> f64 {
    const MAX_LOG: f64 = 8.802_969_193_111_305_429_598_8e+01;
    const P: [f64; 3] = [-9.643_991_794_250_522_386_28e-1, -9.928_772_310_019_185_865_64e1, -1.614_687_684_417_084_479_52e3];
    const Q: [f64; 4] = [1.0, 1.128_116_784_916_329_314_02e2, 2.235_488_390_601_004_485_83e3, 4.844_063_053_251_254_860_48e3];
    let size = x.abs();
    if size > 0.5 * MAX_LOG {
        1f64.copysign(x)
    } else if size >= 0.625 {
        (1.0 - 2.0 / (exp(2.0 * size) + 1.0)).copysign(x)
    } else if x == 0.0 {
        x
    } else {
        let s = x * x;
        x + x * s * polynomial(s, &P) / polynomial(s, &Q)
    }
}

pub fn asinh(x: f64) -> f64 {
    if !x.is_finite() {
        return x;
    }
    let size = x.abs();
    let y = if size > LARGE {
        ln(size) + LN2
    } else if size > 2.0 {
        ln(2.0 * size + 1.0 / ((size * size + 1.0).sqrt() + size))
    } else if size < 1.0 / LARGE {
        size
    } else {
        ln_1p(size + size * size / (1.0 + (1.0 + size * size).sqrt()))
    };
    y.copysign(x)
}

pub fn acosh(x: f64) -> f64 {
    if x < 1.0 || x.is_nan() {
        f64::NAN
    } else if x == 1.0 {
        0.0
    } else if x >= LARGE {
        ln(x) + LN2
    } else if x > 2.0 {
        ln(2.0 * x - 1.0 / (x + (x * x - 1.0).sqrt()))
    } else {
        let t = x - 1.0;
        ln_1p(t + (2.0 * t + t * t).sqrt())
    }
}

pub fn atanh(x: f64) -> f64 {
    let size = x.abs();
    if size > 1.0 || x.is_nan() {
        return f64::NAN;
    }
    let y = if size == 1.0 {
        f64::INFINITY
    } else if size < 1.0 / LARGE {
        size
    } else if size < 0.5 {
        let twice = size + size;
        0.5 * ln_1p(twice + twice * size / (1.0 - size))
    } else {
        0.5 * ln_1p((size + size) / (1.0 - size))
    };
    y.copysign(x)
}
