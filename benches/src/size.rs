//! Sizes on the command line: `256`, `4k`, `2MiB`, `1.5GiB`. All units are powers of 1024.

/// Parses a size; a value parser for clap.
///
/// # Errors
///
/// A message where `text` is not a number with a known unit.
pub fn parse(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(format!("unknown unit in {text:?}: use B, KiB, MiB, GiB or TiB")),
    };
    let number: f64 = number.parse().map_err(|_| format!("{text:?} is not a size"))?;
    let bytes = number * (1u64 << shift) as f64;
    if bytes.fract() != 0.0 || bytes >= u64::MAX as f64 {
        return Err(format!("{text:?} is not a whole number of bytes"));
    }
    Ok(bytes as u64)
}

/// Prints a size with the largest unit that divides it.
#[must_use]
pub fn show(bytes: u64) -> String {
    for (shift, unit) in [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes >= 1 << shift && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_parse_and_print() {
        assert_eq!(parse("256"), Ok(256));
        assert_eq!(parse("4k"), Ok(4096));
        assert_eq!(parse("1.5 GiB"), Ok(3 << 29));
        assert!(parse("GiB").is_err());
        assert!(parse("3 parsecs").is_err());
        assert_eq!(show(2 << 20), "2MiB");
        assert_eq!(show(2_150_400), "2100KiB");
        assert_eq!(show(7), "7B");
    }
}
