//! One POST per 100 jobs, through the connector and the gate, to a destination that answers at
//! once.

use anyhow::Result;

use super::Setting;
use crate::drain::Drain;
use crate::figure::Figure;
use crate::load::Load;

const JOBS: usize = 200_000;

pub(crate) async fn run(setting: &Setting<'_>) -> Result<Vec<Figure>> {
    let drain = Drain {
        send: "batch",
        goal: Some(12_000.0),
        ..Drain::of(Load::of(setting.scale.of(JOBS)), 100)
    };
    drain.figures(setting).await
}
