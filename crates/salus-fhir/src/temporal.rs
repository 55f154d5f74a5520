//! Dates and times that may be known only to the year, month, day, minute or second.

use std::cmp::Ordering;
use std::fmt;

/// How far a [`Temporal`] is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Precision {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    /// Seconds, with any number of decimal places.
    Second,
}

/// A FHIR `date`, `dateTime` or `instant`, as precise as it was written.
///
/// # Source
/// HL7 FHIR R4 §2.24.0.1 (primitive types) and FHIRPath 2.0 §4.1.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Temporal {
    precision: Precision,
    year: u16,
    month: u8,
    day: u8,
    time: TimeOfDay,
    /// Minutes east of UTC.
    offset: Option<i16>,
}

/// A time of day, as precise as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeOfDay {
    precision: Precision,
    hour: u8,
    minute: u8,
    second: u8,
    nanos: u32,
    /// Decimal places of the second as written.
    places: u8,
}

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Days since 1970-01-01 in the proleptic Gregorian calendar.
///
/// # Source
/// H. Hinnant, "chrono-compatible low-level date algorithms", `days_from_civil`.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y - era * 400;
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, u8, u8) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z - era * 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = (doy - (153 * mp + 2) / 5 + 1) as u8;
    let month = if mp < 10 { mp + 3 } else { mp - 9 } as u8;
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

fn days_in_month(year: u16, month: u8) -> u8 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Reads ASCII from the left.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn digits(&mut self, count: usize) -> Option<u32> {
        let (head, rest) = self.0.split_at_checked(count)?;
        let number = head
            .iter()
            .try_fold(0u32, |sum, b| b.is_ascii_digit().then(|| sum * 10 + u32::from(b - b'0')))?;
        self.0 = rest;
        Some(number)
    }

    fn eat(&mut self, byte: u8) -> bool {
        match self.0.split_first() {
            Some((&first, rest)) if first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn in_range(&mut self, low: u32, high: u32) -> Option<u8> {
        let number = self.digits(2)?;
        (low..=high).contains(&number).then_some(number as u8)
    }
}

impl TimeOfDay {
    const MIDNIGHT: Self =
        Self { precision: Precision::Day, hour: 0, minute: 0, second: 0, nanos: 0, places: 0 };

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let mut time = Self { precision: Precision::Hour, ..Self::MIDNIGHT };
        time.hour = reader.in_range(0, 23)?;
        if !reader.eat(b':') {
            return Some(time);
        }
        time.minute = reader.in_range(0, 59)?;
        time.precision = Precision::Minute;
        if !reader.eat(b':') {
            return Some(time);
        }
        // A leap second is permitted by the format.
        time.second = reader.in_range(0, 60)?;
        time.precision = Precision::Second;
        if reader.eat(b'.') {
            let places = reader.0.iter().take_while(|b| b.is_ascii_digit()).count();
            if places == 0 {
                return None;
            }
            let kept = places.min(9);
            time.nanos = reader.digits(kept)? * 10u32.pow(9 - kept as u32);
            time.places = kept as u8;
            // Beyond nanoseconds the digits are read and dropped.
            while reader.0.first().is_some_and(u8::is_ascii_digit) {
                reader.digits(1)?;
            }
        }
        Some(time)
    }

    /// Reads `hh`, `hh:mm`, `hh:mm:ss` or `hh:mm:ss.fff`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut reader = Reader(text.as_bytes());
        let time = Self::read(&mut reader)?;
        reader.0.is_empty().then_some(time)
    }

    /// How far it is known.
    #[must_use]
    pub const fn precision(&self) -> Precision {
        self.precision
    }

    /// Microseconds since midnight of its earliest moment.
    #[must_use]
    pub fn as_micros(&self) -> i64 {
        let seconds =
            i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second);
        seconds * 1_000_000 + i64::from(self.nanos / 1000)
    }

    fn fields(&self) -> [u32; 3] {
        [self.hour.into(), self.minute.into(), self.second.into()]
    }

    /// The order, unless one is too imprecise to say.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        let known = |p: Precision| match p {
            Precision::Hour => 1,
            Precision::Minute => 2,
            _ => 3,
        };
        let (mine, theirs) = (known(self.precision), known(other.precision));
        let both = mine.min(theirs);
        let order = self.fields().iter().take(both).cmp(other.fields().iter().take(both));
        if order != Ordering::Equal {
            return Some(order);
        }
        (mine == theirs).then(|| self.nanos.cmp(&other.nanos))
    }

    /// The earliest moment that it may mean, to the millisecond.
    #[must_use]
    pub fn low_boundary(mut self) -> Self {
        self.places = self.places.max(3);
        self.precision = Precision::Second;
        self
    }

    /// The latest moment that it may mean, to the millisecond.
    #[must_use]
    pub fn high_boundary(mut self) -> Self {
        if self.precision < Precision::Minute {
            self.minute = 59;
        }
        if self.precision < Precision::Second {
            self.second = 59;
        }
        for place in u32::from(self.places)..3 {
            self.nanos += 9 * 10u32.pow(8 - place);
        }
        self.places = self.places.max(3);
        self.precision = Precision::Second;
        self
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}", self.hour)?;
        if self.precision >= Precision::Minute {
            write!(f, ":{:02}", self.minute)?;
        }
        if self.precision >= Precision::Second {
            write!(f, ":{:02}", self.second)?;
        }
        if self.places > 0 {
            let digits = format!("{:09}", self.nanos);
            write!(f, ".{}", digits.get(..usize::from(self.places)).unwrap_or(&digits))?;
        }
        Ok(())
    }
}

impl Temporal {
    /// Reads a `date` or `dateTime`: `YYYY`, `YYYY-MM`, `YYYY-MM-DD` or that with `T`, a time and
    /// perhaps `Z` or an offset.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut reader = Reader(text.as_bytes());
        let mut read = Self {
            precision: Precision::Year,
            year: reader.digits(4)? as u16,
            month: 1,
            day: 1,
            time: TimeOfDay::MIDNIGHT,
            offset: None,
        };
        if read.year == 0 {
            return None;
        }
        if reader.eat(b'-') {
            read.month = reader.in_range(1, 12)?;
            read.precision = Precision::Month;
            if reader.eat(b'-') {
                read.day = reader.in_range(1, days_in_month(read.year, read.month).into())?;
                read.precision = Precision::Day;
            }
        }
        if reader.eat(b'T') && !reader.0.is_empty() {
            if read.precision != Precision::Day {
                return None;
            }
            read.time = TimeOfDay::read(&mut reader)?;
            read.precision = read.time.precision;
            read.offset = Self::read_offset(&mut reader)?;
        }
        reader.0.is_empty().then_some(read)
    }

    fn read_offset(reader: &mut Reader<'_>) -> Option<Option<i16>> {
        let sign = match reader.0.first() {
            Some(b'Z') => {
                reader.eat(b'Z');
                return Some(Some(0));
            }
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Some(None),
        };
        reader.0 = reader.0.get(1..)?;
        let hours = reader.in_range(0, 14)?;
        if !reader.eat(b':') {
            return None;
        }
        let minutes = reader.in_range(0, 59)?;
        Some(Some(sign * (i16::from(hours) * 60 + i16::from(minutes))))
    }

    /// A moment in UTC from microseconds since the Unix epoch.
    #[must_use]
    pub fn from_timestamp(at: salus_model::Timestamp) -> Self {
        let micros = at.as_micros();
        let (year, month, day) = civil_from_days(micros.div_euclid(MICROS_PER_DAY));
        let within = micros.rem_euclid(MICROS_PER_DAY);
        let seconds = within / 1_000_000;
        let time = TimeOfDay {
            precision: Precision::Second,
            hour: (seconds / 3600) as u8,
            minute: (seconds / 60 % 60) as u8,
            second: (seconds % 60) as u8,
            nanos: (within % 1_000_000) as u32 * 1000,
            places: 3,
        };
        Self { precision: Precision::Second, year: year as u16, month, day, time, offset: Some(0) }
    }

    /// How far it is known.
    #[must_use]
    pub const fn precision(&self) -> Precision {
        self.precision
    }

    /// Whether it names its offset from UTC.
    #[must_use]
    pub const fn has_offset(&self) -> bool {
        self.offset.is_some()
    }

    /// The time of day, when it is known.
    #[must_use]
    pub fn time(&self) -> Option<TimeOfDay> {
        (self.precision > Precision::Day).then_some(self.time)
    }

    /// The date alone.
    #[must_use]
    pub fn date(self) -> Self {
        Self {
            precision: self.precision.min(Precision::Day),
            time: TimeOfDay::MIDNIGHT,
            offset: None,
            ..self
        }
    }

    /// Days since 1970-01-01 when it is known to the day.
    #[must_use]
    pub fn as_days(&self) -> Option<i32> {
        (self.precision >= Precision::Day).then(|| self.days() as i32)
    }

    fn days(&self) -> i64 {
        days_from_civil(self.year.into(), self.month.into(), self.day.into())
    }

    /// Microseconds since the Unix epoch of its earliest moment; a missing offset counts as UTC.
    #[must_use]
    pub fn earliest_micros(&self) -> i64 {
        self.days() * MICROS_PER_DAY + self.time.as_micros()
            - i64::from(self.offset.unwrap_or(0)) * 60_000_000
    }

    /// Microseconds since the Unix epoch of the first moment after it.
    #[must_use]
    pub fn end_micros(&self) -> i64 {
        let start = self.earliest_micros();
        let (year, month) = (i64::from(self.year), i64::from(self.month));
        match self.precision {
            Precision::Year => days_from_civil(year + 1, 1, 1) * MICROS_PER_DAY,
            Precision::Month if month == 12 => days_from_civil(year + 1, 1, 1) * MICROS_PER_DAY,
            Precision::Month => days_from_civil(year, month + 1, 1) * MICROS_PER_DAY,
            Precision::Day => start + MICROS_PER_DAY,
            Precision::Hour => start + 3_600_000_000,
            Precision::Minute => start + 60_000_000,
            Precision::Second => start + 10i64.pow(6 - u32::from(self.time.places.min(6))),
        }
    }

    /// The same moment in UTC, so that the fields can be compared.
    fn to_utc(self) -> Self {
        let Some(offset) = self.offset.filter(|&o| o != 0) else { return self };
        let minutes =
            self.days() * 1440 + i64::from(self.time.hour) * 60 + i64::from(self.time.minute)
                - i64::from(offset);
        let (year, month, day) = civil_from_days(minutes.div_euclid(1440));
        let within = minutes.rem_euclid(1440);
        Self {
            year: year.clamp(0, 9999) as u16,
            month,
            day,
            time: TimeOfDay { hour: (within / 60) as u8, minute: (within % 60) as u8, ..self.time },
            offset: Some(0),
            ..self
        }
    }

    /// The order, unless one is too imprecise, or of an unknown offset, to say.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        let timed = |t: &Self| t.precision > Precision::Day;
        if timed(self) && timed(other) && self.offset.is_some() != other.offset.is_some() {
            return self.compare_across_offsets(other);
        }
        let (a, b) = match timed(self) && timed(other) {
            true => (self.to_utc(), other.to_utc()),
            false => (*self, *other),
        };
        let both = a.precision.min(b.precision);
        let known = match both {
            Precision::Year => 1,
            Precision::Month => 2,
            _ => 3,
        };
        let fields = |t: &Self| [t.year, t.month.into(), t.day.into()];
        let order = fields(&a).iter().take(known).cmp(fields(&b).iter().take(known));
        if order != Ordering::Equal {
            return Some(order);
        }
        match (timed(&a), timed(&b)) {
            (true, true) => a.time.compare(&b.time),
            (false, false) => (a.precision == b.precision).then_some(Ordering::Equal),
            _ => None,
        }
    }

    /// An unknown offset lies between -12 and +14 hours; beyond that the order is certain.
    fn compare_across_offsets(&self, other: &Self) -> Option<Ordering> {
        const FOURTEEN_HOURS: i64 = 14 * 3_600_000_000;
        let gap = self.earliest_micros() - other.earliest_micros();
        (gap.abs() > FOURTEEN_HOURS).then(|| gap.cmp(&0))
    }

    /// The earliest moment that a dateTime may mean, to the millisecond and in the earliest
    /// offset when none is given.
    #[must_use]
    pub fn low_boundary(mut self) -> Self {
        self.time = TimeOfDay { precision: self.precision, ..self.time }.low_boundary();
        self.offset.get_or_insert(14 * 60);
        self.precision = Precision::Second;
        self
    }

    /// The latest moment that a dateTime may mean, to the millisecond and in the latest offset
    /// when none is given.
    #[must_use]
    pub fn high_boundary(self) -> Self {
        let mut high = self.high_date_boundary();
        if self.precision < Precision::Hour {
            high.time.hour = 23;
        }
        high.time.precision = self.precision;
        high.time = high.time.high_boundary();
        high.offset.get_or_insert(-12 * 60);
        high.precision = Precision::Second;
        high
    }

    /// The earliest day that a date may mean.
    #[must_use]
    pub fn low_date_boundary(mut self) -> Self {
        self.precision = self.precision.max(Precision::Day);
        self
    }

    /// The latest day that a date may mean.
    #[must_use]
    pub fn high_date_boundary(mut self) -> Self {
        if self.precision < Precision::Month {
            self.month = 12;
        }
        if self.precision < Precision::Day {
            self.day = days_in_month(self.year, self.month);
        }
        self.precision = self.precision.max(Precision::Day);
        self
    }

    /// Moves by whole calendar months, keeping the day within the month; none outside the years
    /// 1 to 9999.
    #[must_use]
    pub fn add_months(mut self, months: i64) -> Option<Self> {
        let total = (i64::from(self.year) * 12 + i64::from(self.month) - 1).checked_add(months)?;
        self.year = u16::try_from(total.div_euclid(12)).ok().filter(|y| (1..=9999).contains(y))?;
        self.month = (total.rem_euclid(12) + 1) as u8;
        self.day = self.day.min(days_in_month(self.year, self.month));
        Some(self)
    }

    /// Moves by microseconds, wall-clock and offset kept; none outside the years 1 to 9999.
    #[must_use]
    pub fn add_micros(mut self, micros: i64) -> Option<Self> {
        let sub_micro = self.time.nanos % 1000;
        let total = (self.days() * MICROS_PER_DAY + self.time.as_micros()).checked_add(micros)?;
        let (year, month, day) = civil_from_days(total.div_euclid(MICROS_PER_DAY));
        self.year = u16::try_from(year).ok().filter(|y| (1..=9999).contains(y))?;
        (self.month, self.day) = (month, day);
        let within = total.rem_euclid(MICROS_PER_DAY);
        self.time.hour = (within / 3_600_000_000) as u8;
        self.time.minute = (within / 60_000_000 % 60) as u8;
        self.time.second = (within / 1_000_000 % 60) as u8;
        self.time.nanos = (within % 1_000_000) as u32 * 1000 + sub_micro;
        Some(self)
    }
}

impl fmt::Display for Temporal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}", self.year)?;
        if self.precision >= Precision::Month {
            write!(f, "-{:02}", self.month)?;
        }
        if self.precision >= Precision::Day {
            write!(f, "-{:02}", self.day)?;
        }
        if self.precision > Precision::Day {
            write!(f, "T{}", self.time)?;
        }
        match self.offset {
            None => Ok(()),
            Some(0) => f.write_str("Z"),
            Some(offset) => {
                let sign = if offset < 0 { '-' } else { '+' };
                write!(f, "{sign}{:02}:{:02}", offset.abs() / 60, offset.abs() % 60)
            }
        }
    }
}
