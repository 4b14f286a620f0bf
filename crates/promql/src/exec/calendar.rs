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

impl Civil {
    /// By Howard Hinnant's algorithm for civil dates from day numbers (public domain): eras of 400 years, years that begin in March.
    pub fn from_unix(seconds: i64) -> Civil {
        let days = seconds.div_euclid(DAY);
        let of_day = seconds.rem_euclid(DAY) as u32;
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
