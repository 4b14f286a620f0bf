//! Sine, cosine and tangent: Cephes' polynomials on an eighth of the circle.

use super::{BIAS, MANTISSA, MANTISSA_BITS, polynomial};
use std::f64::consts::FRAC_PI_4;

/// π/4 in three parts, the first two with zeros at the end so that small multiples are exact.
const PARTS: [f64; 3] = [7.853_981_256_484_985_351_56e-1, 3.774_894_707_930_798_176_68e-8, 2.695_151_429_079_059_526_45e-15];
/// From here on three parts are too few.
const FAR: f64 = (1 << 29) as f64;
const OCTANTS_PER_RADIAN: f64 = 4.0 / std::f64::consts::PI;

const SIN: [f64; 6] = [
    1.589_623_015_765_465_680_60e-10,
    -2.505_074_776_285_780_728_66e-8,
    2.755_731_362_138_572_452_13e-6,
    -1.984_126_982_958_953_859_96e-4,
    8.333_333_333_322_118_588_78e-3,
    -1.666_666_666_666_663_072_95e-1,
];
const COS: [f64; 6] = [
    -1.135_853_652_138_768_173_00e-11,
    2.087_570_084_197_473_167_78e-9,
    -2.755_731_417_929_673_881_12e-7,
    2.480_158_728_885_170_453_48e-5,
    -1.388_888_888_887_305_641_16e-3,
    4.166_666_666_666_659_292_18e-2,
];

/// The octant, made even, and how far into it. For positive numbers.
fn octant(x: f64) -> (u64, f64) {
    if x >= FAR {
        return octant_far(x);
    }
    let mut j = (x * OCTANTS_PER_RADIAN) as u64;
    j += j & 1;
    let y = j as f64;
    (j, ((x - y * PARTS[0]) - y * PARTS[1]) - y * PARTS[2])
}

fn sin_part(z: f64) -> f64 {
    let zz = z * z;
    z + z * zz * polynomial(zz, &SIN)
}

fn cos_part(z: f64) -> f64 {
    let zz = z * z;
    1.0 - 0.5 * zz + zz * zz * polynomial(zz, &COS)
}

pub fn sin(x: f64) -> f64 {
    if x == 0.0 || x.is_nan() {
        return x;
    }
    if x.is_infinite() {
        return f64::NAN;
    }
    let (j, z) = octant(x.abs());
    let j = j & 7;
    let y = if matches!(j & 3, 1 | 2) { cos_part(z) } else { sin_part(z) };
    if (x < 0.0) != (j > 3) { -y } else { y }
}

pub fn cos(x: f64) -> f64 {
    if !x.is_finite() {
        return f64::NAN;
    }
    let (j, z) = octant(x.abs());
    let j = j & 7;
    let y = if matches!(j & 3, 1 | 2) { sin_part(z) } else { cos_part(z) };
    if (j > 3) != (j & 3 > 1) { -y } else { y }
}

pub fn tan(x: f64) -> f64 {
    if x == 0.0 || x.is_nan() {
        return x;
    }
    if x.is_infinite() {
        return f64::NAN;
    }
    const P: [f64; 3] = [-1.309_369_391_813_837_776_46e4, 1.153_516_648_385_874_161_40e6, -1.795_652_519_764_848_779_88e7];
    const Q: [f64; 5] =
        [1.0, 1.368_129_634_706_929_546_78e4, -1.320_892_344_402_109_674_47e6, 2.500_838_018_233_579_158_39e7, -5.386_957_559_294_546_298_81e7];
    let (j, z) = octant(x.abs());
    let zz = z * z;
    let mut y = if zz > 1e-14 { z + z * (zz * polynomial(zz, &P) / polynomial(zz, &Q)) } else { z };
    if j & 2 == 2 {
        y = -1.0 / y;
    }
    if x < 0.0 { -y } else { y }
}

/// 4/π in binary, 64 digits at a time; the first is the whole part.
const FOUR_OVER_PI: [u64; 20] = [
    0x0000000000000001,
    0x45f306dc9c882a53,
    0xf84eafa3ea69bb81,
    0xb6c52b3278872083,
    0xfca2c757bd778ac3,
    0x6e48dc74849ba5c0,
    0x0c925dd413a32439,
    0xfc3bd63962534e7d,
    0xd1046bea5d768909,
    0xd338e04d68befc82,
    0x7323ac7306a673e9,
    0x3908bf177bf25076,
    0x3ff12fffbc0b301f,
    0xde5e2316b414da3e,
    0xda6cfd9e4f96136e,
    0x9e8c7ecd3cbfd45a,
    0xea4f758fd7cbe2f6,
    0x7a0e73ef14a525d4,
    0xd7f6bf623f1aba10,
    0xac06608df8f6d757,
];

/// As [`octant`] for any size: the product with those digits of 4/π that matter (Payne and Hanek).
fn octant_far(x: f64) -> (u64, f64) {
    let bits = x.to_bits();
    let exponent = (bits >> MANTISSA_BITS & 0x7ff) as i64 - BIAS - i64::from(MANTISSA_BITS);
    let mantissa = bits & MANTISSA | 1 << MANTISSA_BITS;
    let (digit, shift) = (((exponent + 61) / 64) as usize, ((exponent + 61) % 64) as u32);
    let three: [u64; 3] = std::array::from_fn(|i| {
        let low = if shift == 0 { 0 } else { FOUR_OVER_PI[digit + i + 1] >> (64 - shift) };
        FOUR_OVER_PI[digit + i] << shift | low
    });
    let by_mantissa = |digits: u64| u128::from(digits) * u128::from(mantissa);
    // The upper 128 of 192 bits; what overflows them are whole circles.
    let product = (by_mantissa(three[0]) << 64).wrapping_add(by_mantissa(three[1])).wrapping_add(by_mantissa(three[2]) >> 64);
    let mut j = (product >> 125) as u64;
    let (high, low) = ((product >> 61) as u64, product as u64);
    // The highest digit that is set becomes the implicit one. Go fills up with digits three places off; so do we.
    let zeros = high.leading_zeros();
    let after = high.checked_shl(zeros + 1).unwrap_or(0) | low.checked_shr(63u32.wrapping_sub(zeros)).unwrap_or(0);
    let mut z = f64::from_bits(after >> (64 - MANTISSA_BITS) | ((BIAS - i64::from(zeros) - 1) as u64) << MANTISSA_BITS);
    if j & 1 == 1 {
        j = (j + 1) & 7;
        z -= 1.0;
    }
    (j, z * FRAC_PI_4)
}
