//! What `flood` and `bytes` write, so that tests can compare each byte.

/// How long a line of [`lines`] is, its newline included.
pub const LINE: usize = 100;

/// `length` bytes of numbered lines, from byte `from` of the endless text on. Without newlines the same with `_` in their
/// places.
pub fn lines(from: usize, length: usize, newlines: bool) -> Vec<u8> {
    let mut text = Vec::with_capacity(length + LINE);
    let mut number = from / LINE;
    let skip = from % LINE;
    while text.len() < length + skip {
        line(number, newlines, &mut text);
        number += 1;
    }
    text.drain(..skip);
    text.truncate(length);
    text
}

fn line(number: usize, newlines: bool, text: &mut Vec<u8>) {
    let mut digits = [b'0'; 12];
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    text.extend_from_slice(&digits);
    text.push(b' ');
    text.extend(std::iter::repeat_n(b'a' + (number % 26) as u8, LINE - digits.len() - 2));
    text.push(if newlines { b'\n' } else { b'_' });
}

/// `length` bytes in which every value occurs, newlines at uneven distances.
pub fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place.wrapping_mul(167).wrapping_add(place >> 8)) as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_is_that_part_of_the_whole() {
        let whole = lines(0, 1000, true);
        assert_eq!(whole.len(), 1000);
        assert_eq!(whole.iter().filter(|byte| **byte == b'\n').count(), 10);
        assert_eq!(lines(150, 333, true), whole[150..483]);
        assert!(!lines(0, 1000, false).contains(&b'\n'));
        let bytes = bytes(1 << 16);
        assert!((0..=255).all(|value| bytes.contains(&value)));
    }
}
