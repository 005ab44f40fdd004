//! The figures of a scenario, as a table or as JSON.

use std::fmt;

use serde::Serialize;

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) scenario: String,
    pub(crate) passed: bool,
    pub(crate) figures: Vec<Figure>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
    /// The unit of the value, and what it counts.
    pub(crate) unit: &'static str,
    /// The least value that passes; none for information.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at_least: Option<f64>,
}

impl Report {
    pub(crate) fn new(scenario: String, figures: Vec<Figure>) -> Self {
        Self {
            scenario,
            passed: figures.iter().all(Figure::passed),
            figures,
        }
    }
}

impl Figure {
    fn passed(&self) -> bool {
        self.at_least.is_none_or(|least| self.value >= least)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.scenario)?;
        for figure in &self.figures {
            let (name, value, unit) = (&figure.name, figure.value, figure.unit);
            write!(f, "\n  {name:<24} {value:>9.3} {unit}")?;
            if let Some(least) = figure.at_least {
                let verdict = if figure.passed() { "passed" } else { "MISSED" };
                write!(f, ", at least {least}: {verdict}")?;
            }
        }
        Ok(())
    }
}
