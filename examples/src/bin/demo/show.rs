//! Numbers for people.

use std::time::Duration;

/// `1234567` as `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// `1 log`, `2 logs`.
pub fn many(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {what}{plural}", count(number))
}

/// Bytes in units of 1,000.
pub fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", digits(bytes as f64 / 1e3)),
        1_000_000..1_000_000_000 => format!("{} MB", digits(bytes as f64 / 1e6)),
        _ => format!("{} GB", digits(bytes as f64 / 1e9)),
    }
}

/// Bytes for a time, in millions a second.
pub fn megabytes_per_second(bytes: u64, time: Duration) -> String {
    format!("{} MB/s", digits(per_second(bytes, time) / 1e6))
}

/// Bytes for a time, in thousands of millions a second.
pub fn gigabytes_per_second(bytes: u64, time: Duration) -> String {
    format!("{} GB/s", digits(per_second(bytes, time) / 1e9))
}

/// A time in the unit that suits it.
pub fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds >= 1.0 {
        format!("{} s", digits(seconds))
    } else if seconds >= 1e-3 {
        format!("{} ms", digits(seconds * 1e3))
    } else {
        format!("{} µs", digits(seconds * 1e6))
    }
}

/// Three significant digits.
fn digits(number: f64) -> String {
    match number {
        100.0.. => format!("{number:.0}"),
        10.0.. => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

fn per_second(bytes: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { bytes as f64 / time.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_as_people_write_them() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0, 1, 1000].map(|number| many(number, "log")),
            ["0 logs", "1 log", "1,000 logs"]
        );
        assert_eq!([999, 1500, 12_340_000].map(bytes), ["999 B", "1.50 kB", "12.3 MB"]);
        assert_eq!(time(Duration::from_micros(1)), "1.00 µs");
        assert_eq!(time(Duration::from_millis(150)), "150 ms");
        assert_eq!(megabytes_per_second(30_000_000, Duration::from_secs(2)), "15.0 MB/s");
        assert_eq!(gigabytes_per_second(1, Duration::ZERO), "0.00 GB/s");
    }
}
