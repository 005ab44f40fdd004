//! What a request costs at destinations that count points, rows or items instead of requests.

use egression_core::scheduler::limits::LimitKey;

/// The latest request has a weight of one sixteenth in the average.
const DECAY: u64 = 16;
/// Parts of a unit, in which the average is kept.
const PARTS: u64 = 1024;

/// A cost as a request states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// The name that limits refer to in `counts`.
    pub name: String,
    /// Units; 0 counts as 1.
    pub units: u32,
}

/// The units that a request takes from a limit that counts `counts`; 1 for a cost that it does not
/// state.
pub fn of(counts: Option<&str>, costs: &[Cost]) -> u32 {
    let stated = |name: &str| {
        costs
            .iter()
            .find(|cost| cost.name == name)
            .map(|cost| cost.units.max(1))
    };
    counts.and_then(stated).unwrap_or(1)
}

/// Refuses too many costs, and a cost that is stated twice.
pub fn check(costs: &[Cost], most: usize) -> Result<(), String> {
    if costs.len() > most {
        return Err(format!(
            "the request states {} costs and {most} are allowed; raise `gate.max_request_costs`",
            costs.len()
        ));
    }
    let twice = costs
        .iter()
        .enumerate()
        .find(|(i, cost)| costs[..*i].iter().any(|earlier| earlier.name == cost.name));
    twice.map_or(Ok(()), |(_, cost)| {
        Err(format!("the cost `{}` is stated twice", shown(&cost.name)))
    })
}

/// Why a request with this cost can never be sent.
pub fn too_costly(key: &LimitKey, units: u32, most: u64) -> String {
    format!("the request costs {units} of the limit `{key}`, which admits at most {most} at once")
}

fn shown(name: &str) -> String {
    const MAX_CHARS: usize = 64;
    name.chars().take(MAX_CHARS).collect()
}

/// The average cost of recent requests. Admission uses it until a request states its own cost.
#[derive(Clone, Copy, Debug)]
pub struct Typical {
    parts: u64,
}

impl Typical {
    pub const fn first(units: u32) -> Self {
        Self {
            parts: units as u64 * PARTS,
        }
    }

    pub fn note(&mut self, units: u32) {
        self.parts = (self.parts * (DECAY - 1) + u64::from(units) * PARTS) / DECAY;
    }

    pub fn units(self) -> u32 {
        u32::try_from(self.parts.div_ceil(PARTS)).unwrap_or(u32::MAX)
    }

    /// How many requests these units suffice for.
    pub fn requests_in(self, units: u32) -> u32 {
        u32::try_from(u64::from(units) * PARTS / self.parts.max(PARTS)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn cost(name: &str, units: u32) -> Cost {
        Cost {
            name: name.to_owned(),
            units,
        }
    }

    #[test]
    fn units_are_the_counted_cost_and_at_least_one() {
        let costs = [cost("points", 50), cost("rows", 0)];
        assert_eq!(
            [None, Some("points"), Some("rows"), Some("items")].map(|counts| of(counts, &costs)),
            [1, 50, 1, 1]
        );
    }

    #[test]
    fn check_refuses_many_and_repeated_costs() {
        assert!(check(&[cost("points", 1), cost("rows", 1)], 2).is_ok());
        assert!(
            check(&[cost("points", 1), cost("rows", 1)], 1)
                .unwrap_err()
                .contains("gate.max_request_costs")
        );
        assert_eq!(
            check(&[cost("points", 1), cost("points", 2)], 2).unwrap_err(),
            "the cost `points` is stated twice"
        );
    }

    #[test]
    fn typical_cost_follows_recent_requests() {
        let mut typical = Typical::first(50);
        assert_eq!(typical.requests_in(500), 10);
        for _ in 0..200 {
            typical.note(10);
        }
        assert!((48..=50).contains(&typical.requests_in(500)), "{typical:?}");
    }
}
