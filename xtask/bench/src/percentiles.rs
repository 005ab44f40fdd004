//! Percentiles of a few hundred measurements.

#[derive(Debug, Default)]
pub(crate) struct Percentiles {
    sorted: Vec<f64>,
}

impl Percentiles {
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self { sorted: values }
    }

    pub(crate) fn median(&self) -> f64 {
        self.at(0.5)
    }

    pub(crate) fn p99(&self) -> f64 {
        self.at(0.99)
    }

    pub(crate) fn max(&self) -> f64 {
        self.at(1.0)
    }

    /// The smallest value that at least this share does not exceed; 0 without values.
    fn at(&self, share: f64) -> f64 {
        let rank = (self.sorted.len() as f64 * share).ceil() as usize;
        let value = self.sorted.get(rank.saturating_sub(1));
        value.copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentile_is_a_measured_value() {
        let values = Percentiles::of((1..=200).rev().map(f64::from).collect());
        assert!((values.median() - 100.0).abs() < 1e-9);
        assert!((values.p99() - 198.0).abs() < 1e-9);
        assert!((values.max() - 200.0).abs() < 1e-9);
        assert!(Percentiles::of(Vec::new()).median().abs() < 1e-9);
    }
}
