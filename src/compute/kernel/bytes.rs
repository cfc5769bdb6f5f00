//! Integers seen as the bytes they are, so that hashing and drawing need no copy. It changes no value.

use std::borrow::Cow;

/// Bytes to be written, in place of the `i8` that they are in two's complement.
pub fn unsigned(values: &mut [i8]) -> &mut [u8] {
    let (first, count) = (values.as_mut_ptr(), values.len());
    // SAFETY: i8 and u8 have one size and alignment, every bit pattern is a value of either, and the only
    // reference to this memory goes in and comes out.
    unsafe { std::slice::from_raw_parts_mut(first.cast(), count) }
}

/// The values' little-endian bytes, one after the other.
pub fn little_endian(values: &[i32]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "big") {
        return values.iter().flat_map(|value| value.to_le_bytes()).collect();
    }
    // SAFETY: a byte needs no alignment and has no forbidden pattern, an i32 has no padding, the length is that
    // of the same memory in bytes, and the shared borrow lasts as long as that of `values`.
    let bytes = unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) };
    Cow::Borrowed(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_values() {
        let mut values = [0_i8, -1, 127, -128];
        assert_eq!(unsigned(&mut values), [0, 255, 127, 128]);
        unsigned(&mut values)[0] = 200;
        assert_eq!(values[0], -56);
        assert!(unsigned(&mut []).is_empty());
        let words = [1_i32, -2, i32::MIN];
        let expected: Vec<u8> = words.iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(little_endian(&words).as_ref(), expected);
        assert!(little_endian(&[]).is_empty());
    }
}
