//! One measured value, and the goal that it has to reach.

use std::fmt;

use serde::Serialize;

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    /// Unique in its scenario.
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// None for information.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) goal: Option<Goal>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self {
            name: name.into(),
            value,
            unit,
            goal: None,
        }
    }

    pub(crate) fn at_least(self, least: f64) -> Self {
        Self {
            goal: Some(Goal::AtLeast(least)),
            ..self
        }
    }

    pub(crate) fn at_most(self, most: f64) -> Self {
        Self {
            goal: Some(Goal::AtMost(most)),
            ..self
        }
    }

    /// Whether it reaches its goal.
    pub(crate) fn passed(&self) -> bool {
        match self.goal {
            None => true,
            Some(Goal::AtLeast(least)) => self.value >= least,
            Some(Goal::AtMost(most)) => self.value <= most,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "≥ {}", shown(*least)),
            Self::AtMost(most) => write!(f, "≤ {}", shown(*most)),
        }
    }
}

/// Three digits, or all digits of a large number.
pub(crate) fn shown(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
