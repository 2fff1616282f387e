//! Where a signal over time changes, told apart from where it flickers.

/// Samples of a row that decide: a single one is no change.
pub(super) const HOLD: usize = 2;

/// Where values change, with the first place at which each new one holds. A change is one if at least [`HOLD`] samples in a row
/// have the new value; the first value is that of the first such row, and holds from the first sample on.
pub(super) fn changes<T: PartialEq>(values: &[T]) -> Vec<usize> {
    let mut found: Vec<usize> = Vec::new();
    let mut start = 0;
    for end in 1..=values.len() {
        if end < values.len() && values[end] == values[start] {
            continue;
        }
        let is_new = found
            .last()
            .is_none_or(|last| values[*last] != values[start]);
        // The last row may go on beyond what was sampled.
        let holds = end - start >= HOLD.min(values.len());
        if is_new && holds {
            found.push(start);
        }
        start = end;
    }
    found
}

/// Whether each score is of something that is there: above the threshold, and from then on until it falls below four fifths of
/// it, so that a score about the threshold does not flicker.
pub(super) fn presence(scores: &[f32], threshold: f32) -> Vec<bool> {
    let mut present = false;
    let state = |score: &f32| {
        present = *score > if present { 0.8 * threshold } else { threshold };
        present
    };
    scores.iter().map(state).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_single_sample_is_no_change() {
        assert!(changes::<u8>(&[]).is_empty());
        assert_eq!(changes(&[1]), [0]);
        assert_eq!(changes(&[1, 1, 1]), [0]);
        assert_eq!(changes(&[1, 1, 2, 1, 1]), [0]);
        assert_eq!(changes(&[1, 1, 2, 2, 1, 1]), [0, 2, 4]);
        assert_eq!(changes(&[2, 1, 1, 3, 3]), [1, 3]);
        assert_eq!(changes(&[1, 1, 2]), [0]);
    }

    #[test]
    fn scores_about_the_threshold_do_not_flicker() {
        let scores = [0.1, 0.75, 0.81, 0.7, 0.82, 0.65, 0.63, 0.75];
        let expected = [false, false, true, true, true, true, false, false];
        assert_eq!(presence(&scores, 0.8), expected);
    }

    proptest! {
        #[test]
        fn changes_alternate_and_hold(values in prop::collection::vec(any::<bool>(), 2..60)) {
            let found = changes(&values);
            prop_assert!(found.is_sorted());
            for pair in found.windows(2) {
                prop_assert!(values[pair[0]] != values[pair[1]]);
            }
            for at in found {
                prop_assert!(values[at..].iter().take(HOLD).all(|value| *value == values[at]));
                prop_assert!(at + HOLD <= values.len());
            }
        }
    }
}
