//! Little-endian integers at an offset: reads that answer `None` past the end, writes that do
//! nothing there.

/// The `u32` at `offset`.
#[inline]
#[must_use]
pub fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let end = offset.checked_add(4)?;
    Some(u32::from_le_bytes(bytes.get(offset..end)?.try_into().ok()?))
}

/// The `u64` at `offset`.
#[inline]
#[must_use]
pub fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    let end = offset.checked_add(8)?;
    Some(u64::from_le_bytes(bytes.get(offset..end)?.try_into().ok()?))
}

/// Copies `value` to `offset`.
///
/// Answers `false`, and writes nothing, where it does not fit.
#[inline]
pub fn put(bytes: &mut [u8], offset: usize, value: &[u8]) -> bool {
    let Some(end) = offset.checked_add(value.len()) else { return false };
    let Some(target) = bytes.get_mut(offset..end) else { return false };
    target.copy_from_slice(value);
    true
}

/// Writes a `u32` at `offset`; see [`put`].
#[inline]
pub fn put_u32(bytes: &mut [u8], offset: usize, value: u32) -> bool {
    put(bytes, offset, &value.to_le_bytes())
}

/// Writes a `u64` at `offset`; see [`put`].
#[inline]
pub fn put_u64(bytes: &mut [u8], offset: usize, value: u64) -> bool {
    put(bytes, offset, &value.to_le_bytes())
}

/// Whether every byte is zero.
#[must_use]
pub fn is_zero(bytes: &[u8]) -> bool {
    // Eight bytes at a time: recovery asks this of whole pages.
    let (words, rest) = bytes.as_chunks::<8>();
    words.iter().all(|word| u64::from_ne_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}
