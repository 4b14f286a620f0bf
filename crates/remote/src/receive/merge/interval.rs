//! How far apart a series' samples are, learned from its owner's own spacing.
//!
//! A missed scrape makes a distance twice as long and must not count, or holes would pass for the new interval and stay unfilled. A restart may make
//! one too short. So a different interval is believed only when it comes again and again: a longer one later than a shorter one.

/// So often a shorter, or a longer, distance must come in a row before it is the interval.
const SHORTER_VOTES: u8 = 2;
const LONGER_VOTES: u8 = 5;
/// The same while nothing was seen twice.
const UNSURE_VOTES: u8 = 3;
/// So many stored distances are looked at after a restart.
const LEARN_FROM: usize = 33;

/// Nothing is known as long as it is 0.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Interval {
    ms: u32,
    candidate_ms: u32,
    votes: u8,
    /// Seen twice at least.
    sure: bool,
}

fn alike(a: i64, b: i64) -> bool {
    (a - b).abs() <= a.min(b) / 4
}

impl Interval {
    /// 0 when unknown.
    pub fn ms(self) -> i64 {
        i64::from(self.ms)
    }

    pub fn is_sure(self) -> bool {
        self.sure
    }

    /// Takes in the distance of two neighbouring samples of the owner.
    pub fn observe(&mut self, distance_ms: i64) {
        let Ok(d @ 1..) = u32::try_from(distance_ms) else { return };
        let ms = self.ms();
        if alike(ms, distance_ms) {
            // Half-way to what is new: jitter is evened out, a slow change followed.
            (self.ms, self.votes, self.sure) = (self.ms.midpoint(d), 0, true);
            return;
        }
        let shorter = distance_ms < ms;
        if self.ms == 0 || (!self.sure && shorter) {
            self.ms = d;
            return;
        }
        let again = self.votes > 0 && alike(i64::from(self.candidate_ms), distance_ms);
        self.votes = if again { self.votes + 1 } else { 1 };
        self.candidate_ms = d;
        let needed = match (self.sure, shorter) {
            (false, _) => UNSURE_VOTES,
            (true, true) => SHORTER_VOTES,
            (true, false) => LONGER_VOTES,
        };
        if self.votes >= needed {
            *self = Interval { ms: d, sure: true, ..Interval::default() };
        }
    }

    /// From stored times in rising order. They may be those of several replicas in turn, with holes: a switch makes one distance shorter and the
    /// next one longer. What comes most often is the interval, among the distances and the halves of those over two samples; unknown if nothing
    /// comes twice.
    pub fn learn(times: &[i64]) -> Self {
        let times = &times[times.len().saturating_sub(LEARN_FROM)..];
        let mut found: Vec<i64> = times.windows(2).map(|w| w[1] - w[0]).chain(times.windows(3).map(|w| (w[2] - w[0]) / 2)).collect();
        found.sort_unstable();
        let (mut best, mut most) = (&found[..0], 0);
        for (i, from) in found.iter().enumerate() {
            let like = &found[i..i + found[i..].partition_point(|d| *d <= from + from / 10)];
            if like.len() > most {
                (best, most) = (like, like.len());
            }
        }
        if most < 2 {
            return Interval::default();
        }
        let ms = best.iter().sum::<i64>() / best.len() as i64;
        Interval { ms: u32::try_from(ms).unwrap_or(u32::MAX), sure: best.len() > 2, ..Interval::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(distances: &[i64], expect: i64) {
        let mut i = Interval::default();
        distances.iter().for_each(|d| i.observe(*d));
        assert_eq!(i.ms(), expect, "{distances:?}");
    }

    #[test]
    fn follows_what_comes_again_and_again() {
        check(&[], 0);
        check(&[15], 15);
        check(&[30, 15], 15);
        check(&[15, 15, 30, 30, 15, 45, 30, 30], 15);
        check(&[15, 60, 60, 60], 60);
        check(&[15, 15, 60, 60, 60, 60], 15);
        check(&[15, 15, 60, 60, 60, 60, 60], 60);
        check(&[60, 60, 4], 60);
        check(&[60, 60, 15, 15], 15);
        check(&[100, 100, 104, 96], 99);
        check(&[15, 15, 0, -5, i64::MAX], 15);
    }

    #[test]
    fn is_learned_from_what_is_stored() {
        let learn = |times: &[i64]| Interval::learn(times).ms();
        assert_eq!(learn(&[]), 0);
        assert_eq!(learn(&[7]), 0);
        assert_eq!(learn(&[0, 15]), 0);
        assert_eq!(learn(&[0, 15, 23]), 0);
        assert_eq!(learn(&[0, 15, 30]), 15);
        assert_eq!(learn(&[0, 15, 30, 37, 52, 67, 97, 112]), 15);
        assert_eq!(learn(&[0, 9, 30, 39, 60, 69, 90, 99, 120]), 15);
        assert_eq!(learn(&[0, 15, 30, 45, 60, 600, 615, 630]), 15);
    }
}
