//! Against Go: the file was written by asking a Prometheus 3.5.3 on amd64 (`make diff-promql` asks anew, at random). Function, argument (two for
//! those of two), result, as bits.

use super::*;

const ASKED: &str = include_str!("asked.txt");

fn one(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "exp" => exp,
        "ln" => ln,
        "log2" => log2,
        "log10" => log10,
        "sin" => sin,
        "cos" => cos,
        "tan" => tan,
        "asin" => asin,
        "acos" => acos,
        "atan" => atan,
        "sinh" => sinh,
        "cosh" => cosh,
        "tanh" => tanh,
        "asinh" => asinh,
        "acosh" => acosh,
        "atanh" => atanh,
        _ => return None,
    })
}

#[test]
fn results_have_the_bits_of_gos() {
    let mut lines = 0;
    for line in ASKED.lines() {
        let mut words = line.split(' ');
        let name = words.next().expect("a name");
        let numbers: Vec<f64> = words.map(|w| f64::from_bits(u64::from_str_radix(w, 16).expect("hex"))).collect();
        let (got, expect) = match (one(name), &numbers[..]) {
            (Some(f), [x, expect]) => (f(*x), *expect),
            (None, [x, y, expect]) if name == "pow" => (pow(*x, *y), *expect),
            (None, [x, y, expect]) if name == "atan2" => (atan2(*x, *y), *expect),
            _ => panic!("{line}"),
        };
        assert!(got.to_bits() == expect.to_bits() || (got.is_nan() && expect.is_nan()), "{name} {numbers:?}: {got:e}");
        lines += 1;
    }
    assert!(lines > 1000);
}

#[test]
fn splitting_and_joining_give_the_number_back() {
    for v in [1.0, -1.5, 1e300, f64::MIN_POSITIVE, 5e-324, -3e-310, 0.0, -0.0, f64::INFINITY] {
        let (fraction, exponent) = split(v);
        assert!(fraction == 0.0 || fraction.is_infinite() || (0.5..1.0).contains(&fraction.abs()), "{v:e}");
        assert_eq!(join(fraction, exponent).to_bits(), v.to_bits(), "{v:e}");
    }
    assert_eq!((join(0.75, 2000), join(-0.75, 2000), join(0.75, -2000)), (f64::INFINITY, f64::NEG_INFINITY, 0.0));
}

#[test]
fn powers_of_two() {
    for (x, expect) in [(0.0, 1.0), (10.0, 1024.0), (-1.0, 0.5), (-1074.0, 5e-324), (-1075.0, 0.0), (1024.0, f64::INFINITY), (f64::NEG_INFINITY, 0.0)]
    {
        assert_eq!(exp2(x), expect, "{x}");
    }
    assert!((exp2(0.5) - std::f64::consts::SQRT_2).abs() < 1e-15 && exp2(f64::NAN).is_nan());
}
