//! Dates in UTC from seconds since 1970, by the proleptic Gregorian calendar.

/// A moment, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    pub year: i64,
    /// 1 to 12.
    pub month: u32,
    pub day: u32,
    pub hour: u32,
    pub minute: u32,
    pub second: u32,
    /// 0 is Sunday.
    pub weekday: u32,
    /// 1 is the first of January.
    pub year_day: u32,
}

const DAY: i64 = 86_400;

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

pub fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Seconds from the first moment that Go's `time` can tell (the first of March of the year -292277022399) to 1970.
const GO_EPOCH: i64 = (292_277_022_400 / 400 * 146_097 + 306) * DAY + (1969 * 365 + 1969 / 4 - 1969 / 100 + 1969 / 400) * DAY;

impl Civil {
    /// As Go's `time.Unix(seconds, 0).UTC()`: a moment before its calendar begins wraps around to the far future.
    pub fn from_go_unix(seconds: i64) -> Civil {
        match seconds.checked_add(GO_EPOCH) {
            Some(0..) | None => Civil::from_unix(seconds),
            Some(_) => Civil::from_days(
                (i128::from(seconds) + (1 << 64)).div_euclid(i128::from(DAY)) as i64,
                (i128::from(seconds) + (1 << 64)).rem_euclid(i128::from(DAY)) as u32,
            ),
        }
    }

    /// By Howard Hinnant's algorithm for civil dates from day numbers (public domain): eras of 400 years, years that begin in March.
    pub fn from_unix(seconds: i64) -> Civil {
        Civil::from_days(seconds.div_euclid(DAY), seconds.rem_euclid(DAY) as u32)
    }

    fn from_days(days: i64, of_day: u32) -> Civil {
        let from_march_0000 = days + 719_468;
        let era = from_march_0000.div_euclid(146_097);
        let day_of_era = from_march_0000.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 } as u32;
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let year_day = (1..month).map(|m| days_in_month(year, m)).sum::<u32>() + day;
        Civil {
            year,
            month,
            day,
            hour: of_day / 3600,
            minute: of_day / 60 % 60,
            second: of_day % 60,
            weekday: (days + 4).rem_euclid(7) as u32,
            year_day,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        for (seconds, date, weekday, year_day) in [
            (0, (1970, 1, 1), 4, 1),
            (951_782_400, (2000, 2, 29), 2, 60),
            (1_136_239_445, (2006, 1, 2), 1, 2),
            (-1, (1969, 12, 31), 3, 365),
            (4_107_542_399, (2100, 2, 28), 0, 59),
        ] {
            let c = Civil::from_unix(seconds);
            assert_eq!(((c.year, c.month, c.day), c.weekday, c.year_day), (date, weekday, year_day), "{seconds}");
        }
    }
}
