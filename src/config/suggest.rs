//! "Did you mean …?" for a key that nobody knows.

/// The known path that is nearest to the unknown one, when any is near enough to be a slip of the finger
/// or the right key in the wrong section.
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let leaf = last_part(unknown);
    let mut best: Option<(usize, &str)> = None;
    for path in known {
        let whole = distance(unknown, path);
        let misplaced = 1 + distance(leaf, last_part(path));
        let cost = whole.min(misplaced);
        if cost <= allowed(leaf) && best.is_none_or(|(least, _)| cost < least) {
            best = Some((cost, path));
        }
    }
    best.map(|(_, path)| path)
}

fn last_part(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

fn allowed(leaf: &str) -> usize {
    (leaf.chars().count() / 3).clamp(1, 4)
}

/// Letters to change, insert, drop or swap with their neighbour to come from one text to the other.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (y, letter) in left.iter().enumerate() {
        let mut row = vec![y + 1];
        for (x, other) in right.iter().enumerate() {
            let mut least = (above[x] + usize::from(letter != other)).min(above[x + 1] + 1).min(row[x] + 1);
            if x > 0 && y > 0 && *letter == right[x - 1] && left[y - 1] == *other {
                least = least.min(before[x - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["port", "ping_timeout", "validation.cpu.matrix_size", "wallet.hotkey"];

    #[test]
    fn a_slip_of_the_finger_is_seen() {
        assert_eq!(nearest("prot", KNOWN), Some("port"));
        assert_eq!(nearest("por", KNOWN), Some("port"));
        assert_eq!(nearest("ping_timeuot", KNOWN), Some("ping_timeout"));
    }

    #[test]
    fn the_right_key_in_the_wrong_section_is_seen() {
        assert_eq!(nearest("validation.matrix_size", KNOWN), Some("validation.cpu.matrix_size"));
        assert_eq!(nearest("hotkey", KNOWN), Some("wallet.hotkey"));
    }

    #[test]
    fn something_else_gets_no_advice() {
        assert_eq!(nearest("telemetry", KNOWN), None);
    }
}
