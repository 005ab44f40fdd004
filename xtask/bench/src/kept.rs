//! The kept figures: the table in `docs/benchmarks.md`, which a person reads and this tool compares
//! with.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::figure::shown;
use crate::report::Report;

const FILE: &str = "docs/benchmarks.md";
const HEAD: &str = "| scenario | figure | value | unit | goal |\n|---|---|---|---|---|\n";
const MACHINE: &str = "Measured on ";

/// The document.
#[derive(Debug)]
pub(crate) struct Kept {
    file: PathBuf,
    text: String,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    scenario: String,
    figure: String,
    value: f64,
    line: String,
}

impl Kept {
    /// Reads the document of the workspace with this root.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let file = root.join(FILE);
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let rows = text.lines().filter_map(Row::parse).collect();
        Ok(Self { file, text, rows })
    }

    pub(crate) fn value(&self, scenario: &str, figure: &str) -> Option<f64> {
        let row = self
            .rows
            .iter()
            .find(|row| row.scenario == scenario && row.figure == figure);
        row.map(|row| row.value)
    }

    /// Writes the reports into the document. Rows of other scenarios stay.
    pub(crate) fn keep(&self, reports: &[Report], machine: &str) -> Result<()> {
        let (before, _) = self
            .text
            .split_once(MACHINE)
            .with_context(|| format!("{FILE} has no line `{MACHINE}…`"))?;
        let mut text = format!("{before}{MACHINE}{machine}\n\n{HEAD}");
        for row in &self.rows {
            if !reports.iter().any(|report| report.scenario == row.scenario) {
                text.push_str(&row.line);
                text.push('\n');
            }
        }
        for report in reports {
            for compared in &report.figures {
                let figure = &compared.figure;
                let goal = figure.goal.map(|goal| goal.to_string());
                let _ = writeln!(
                    text,
                    "| {} | {} | {} | {} | {} |",
                    report.scenario,
                    figure.name,
                    shown(figure.value),
                    figure.unit,
                    goal.unwrap_or_default()
                );
            }
        }
        std::fs::write(&self.file, text)?;
        Ok(())
    }
}

impl Row {
    /// None for a line that is no row of the table.
    fn parse(line: &str) -> Option<Self> {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, scenario, figure, value, _, _, _] = cells.as_slice() else {
            return None;
        };
        Some(Self {
            scenario: (*scenario).to_owned(),
            figure: (*figure).to_owned(),
            value: value.parse().ok()?,
            line: line.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Figure;

    #[test]
    fn kept_figure_is_read_back_and_others_stay() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("docs")).unwrap();
        let file = directory.path().join(FILE);
        let old = format!("# Text\n\n{MACHINE}old\n\n{HEAD}| other | pace | 3 | jobs/s |  |\n");
        std::fs::write(&file, old).unwrap();
        let kept = Kept::read(directory.path()).unwrap();
        let figure = Figure::new("pace", 1234.4, "jobs/s").at_least(1_000.0);
        let report = Report::new("hot".to_owned(), vec![figure], &kept);
        kept.keep(&[report], "a machine").unwrap();
        let kept = Kept::read(directory.path()).unwrap();
        let values = [("hot", "pace"), ("other", "pace"), ("hot", "none")];
        let values = values.map(|(scenario, figure)| kept.value(scenario, figure));
        assert_eq!(values, [Some(1234.0), Some(3.0), None]);
        assert!(kept.text.starts_with("# Text\n\nMeasured on a machine\n\n"));
        assert!(kept.text.contains("| jobs/s | ≥ 1000 |"));
    }
}
