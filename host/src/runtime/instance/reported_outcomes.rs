//! The outcomes that a guest reported or returned in its current call. The first answer per item
//! counts.

use std::collections::HashMap;

use egression_core::domain::outcome::Outcome;

#[derive(Default)]
pub struct ReportedOutcomes {
    /// Each item index of the call, with the position of its outcome.
    positions: HashMap<u32, Option<usize>>,
    outcomes: Vec<(u32, Outcome)>,
}

impl ReportedOutcomes {
    pub fn new(item_indices: impl IntoIterator<Item = u32>) -> Self {
        Self {
            positions: item_indices
                .into_iter()
                .map(|index| (index, None))
                .collect(),
            outcomes: Vec::new(),
        }
    }

    pub fn count(&self) -> usize {
        self.outcomes.len()
    }

    /// Removes and returns the outcomes after the first `count`.
    pub fn split_off(&mut self, count: usize) -> Vec<(u32, Outcome)> {
        self.outcomes.split_off(count.min(self.outcomes.len()))
    }

    pub fn into_outcomes(self) -> Vec<(u32, Outcome)> {
        self.outcomes
    }

    /// Adds an outcome. Errors: A line for the log if the outcome is ignored.
    pub fn add(&mut self, index: u32, outcome: Outcome) -> Result<(), String> {
        let Some(position) = self.positions.get_mut(&index) else {
            return Err(format!(
                "the outcome for item {index} is ignored: the item is not in this call"
            ));
        };
        let Some(first) = *position else {
            *position = Some(self.outcomes.len());
            self.outcomes.push((index, outcome));
            return Ok(());
        };
        match self.outcomes.get(first) {
            Some((_, first)) if *first == outcome => Ok(()),
            _ => Err(format!(
                "item {index} was answered twice; the first answer counts"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_answer_of_an_item_counts() {
        let mut reported = ReportedOutcomes::new([1, 2]);
        assert!(reported.add(1, Outcome::NotAttempted).is_ok());
        assert!(
            reported.add(1, Outcome::NotAttempted).is_ok(),
            "the same answer again is no contradiction"
        );
        assert!(reported.add(1, Outcome::BlockedOn(Vec::new())).is_err());
        assert!(reported.add(3, Outcome::NotAttempted).is_err());
        let count = reported.count();
        assert!(reported.add(2, Outcome::NotAttempted).is_ok());
        assert_eq!(reported.split_off(count), [(2, Outcome::NotAttempted)]);
        assert_eq!(reported.into_outcomes(), [(1, Outcome::NotAttempted)]);
    }
}
