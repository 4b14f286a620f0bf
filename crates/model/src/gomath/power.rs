//! x to the power of y: the whole part by squaring mantissas, the rest by exponential and logarithm.

use super::{exp, join, ln, split};

fn is_odd(y: f64) -> bool {
    y.abs() < (1u64 << 53) as f64 && y.trunc() == y && (y as i64) & 1 == 1
}

pub fn pow(x: f64, y: f64) -> f64 {
    if y == 0.0 || x == 1.0 {
        return 1.0;
    }
    if y == 1.0 {
        return x;
    }
    if x.is_nan() || y.is_nan() {
        return f64::NAN;
    }
    if x == 0.0 {
        return match (y < 0.0, is_odd(y)) {
            (true, true) => f64::INFINITY.copysign(x),
            (true, false) => f64::INFINITY,
            (false, true) => x,
            (false, false) => 0.0,
        };
    }
    if y.is_infinite() {
        return grown(x, y > 0.0);
    }
    if x.is_infinite() {
        if x < 0.0 {
            // As zero of the same sign to the opposite power.
            return pow(-0.0, -y);
        }
        return if y < 0.0 { 0.0 } else { f64::INFINITY };
    }
    if y == 0.5 {
        return x.sqrt();
    }
    if y == -0.5 {
        return 1.0 / x.sqrt();
    }
    let (mut whole, mut rest) = (y.abs().trunc(), y.abs().fract());
    if rest != 0.0 && x < 0.0 {
        return f64::NAN;
    }
    if whole >= 9.223_372_036_854_775_808e18 {
        return grown(x, y > 0.0);
    }
    let (mut fraction, mut exponent) = (1.0, 0i64);
    if rest != 0.0 {
        if rest > 0.5 {
            rest -= 1.0;
            whole += 1.0;
        }
        fraction = exp(rest * ln(x));
    }
    let (mut square, mut square_exponent) = split(x);
    let mut n = whole as i64;
    while n != 0 {
        if square_exponent.abs() > 1 << 12 {
            // Beyond what a number can be, whatever follows.
            exponent += square_exponent;
            break;
        }
        if n & 1 == 1 {
            fraction *= square;
            exponent += square_exponent;
        }
        square *= square;
        square_exponent <<= 1;
        if square < 0.5 {
            square += square;
            square_exponent -= 1;
        }
        n >>= 1;
    }
    if y < 0.0 {
        fraction = 1.0 / fraction;
        exponent = -exponent;
    }
    join(fraction, exponent)
}

/// To an endless power, up or down.
fn grown(x: f64, up: bool) -> f64 {
    if x == -1.0 {
        1.0
    } else if (x.abs() < 1.0) == up {
        0.0
    } else {
        f64::INFINITY
    }
}
