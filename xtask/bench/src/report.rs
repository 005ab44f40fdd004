//! The figures of a scenario next to the kept ones, as a table or as JSON.

use std::fmt;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::figure::{Figure, shown};
use crate::kept::Kept;

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) scenario: String,
    pub(crate) passed: bool,
    pub(crate) figures: Vec<Compared>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Compared {
    #[serde(flatten)]
    pub(crate) figure: Figure,
    /// The value in `docs/benchmarks.md`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kept: Option<f64>,
}

impl Report {
    pub(crate) fn new(scenario: String, figures: Vec<Figure>, kept: &Kept) -> Self {
        let passed = figures.iter().all(Figure::passed);
        let figures = figures.into_iter().map(|figure| Compared {
            kept: kept.value(&scenario, &figure.name),
            figure,
        });
        let figures = figures.collect();
        Self {
            scenario,
            passed,
            figures,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        let name = self.scenario.as_str();
        table.set_header([name, "now", "", "kept", "ratio", "goal", ""]);
        for Compared { figure, kept } in &self.figures {
            let verdict = match figure.goal {
                None => "",
                Some(_) if figure.passed() => "passed",
                Some(_) => "MISSED",
            };
            table.add_row([
                format!("  {}", figure.name),
                shown(figure.value),
                figure.unit.to_owned(),
                kept.map(shown).unwrap_or_default(),
                kept.map(|kept| format!("{:.2}", figure.value / kept))
                    .unwrap_or_default(),
                figure.goal.map(|goal| goal.to_string()).unwrap_or_default(),
                verdict.to_owned(),
            ]);
        }
        for column in [1, 3, 4] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        f.write_str(&table.trim_fmt())
    }
}
