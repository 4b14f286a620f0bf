//! Elementary functions with the very bits that Go's `math` gives on amd64, so that a query answers as Prometheus does, to the last digit.
//!
//! Neither Go nor the platform's C library rounds correctly, each in its own way: one differing bit decides which side of a comparison, which
//! bucket or which second a value falls on. Go takes most of its functions from Cephes (Stephen L. Moshier) and FreeBSD's msun (Sun
//! Microsystems), and the exponential on amd64 from SLEEF (Naoki Shibata, public domain); the coefficients here are theirs. What IEEE 754
//! prescribes exactly (square root, remainder, floor) is the same everywhere and stays Rust's.

#![allow(clippy::excessive_precision, clippy::approx_constant, reason = "coefficients stand as they were published")]

mod arc;
mod circle;
mod exponential;
mod hyperbolic;
mod logarithm;
mod power;

pub use arc::{acos, asin, atan, atan2};
pub use circle::{cos, sin, tan};
pub use exponential::{exp, exp2};
pub use hyperbolic::{acosh, asinh, atanh, cosh, sinh, tanh};
pub use logarithm::{ln, ln_1p, log2, log10};
pub use power::pow;

const MANTISSA_BITS: u32 = 52;
const MANTISSA: u64 = (1 << MANTISSA_BITS) - 1;
const BIAS: i64 = 1023;

/// `a[0]·xⁿ + a[1]·xⁿ⁻¹ + …`, each step rounded.
fn polynomial(x: f64, a: &[f64]) -> f64 {
    a.iter().fold(0.0, |sum, c| sum * x + c)
}

/// A fraction in [½, 1) and a power of two whose product is the number. Zero, infinities and NaN are their own fractions.
fn split(v: f64) -> (f64, i64) {
    if v == 0.0 || !v.is_finite() {
        return (v, 0);
    }
    let (v, shifted) = if v.abs() < f64::MIN_POSITIVE { (v * (1u64 << MANTISSA_BITS) as f64, i64::from(MANTISSA_BITS)) } else { (v, 0) };
    let bits = v.to_bits();
    let exponent = (bits >> MANTISSA_BITS & 0x7ff) as i64 - BIAS + 1 - shifted;
    (f64::from_bits(bits & !(0x7ff << MANTISSA_BITS) | ((BIAS - 1) as u64) << MANTISSA_BITS), exponent)
}

/// `fraction · 2^exponent`, rounded once where the result is subnormal.
fn join(fraction: f64, exponent: i64) -> f64 {
    let (fraction, own) = split(fraction);
    if fraction == 0.0 || !fraction.is_finite() {
        return fraction;
    }
    // The fraction counts from 1 here, not from ½.
    let exponent = exponent.saturating_add(own) - 1;
    if exponent < -1075 {
        return 0.0_f64.copysign(fraction);
    }
    if exponent > BIAS {
        return f64::INFINITY.copysign(fraction);
    }
    let (exponent, scale) = if exponent < -1022 { (exponent + 53, 1.0 / (1u64 << 53) as f64) } else { (exponent, 1.0) };
    let bits = fraction.to_bits() & !(0x7ff << MANTISSA_BITS) | ((exponent + BIAS) as u64) << MANTISSA_BITS;
    scale * f64::from_bits(bits)
}

#[cfg(test)]
mod tests;
