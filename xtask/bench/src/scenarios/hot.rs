//! Jobs of one partition key, one object a call, with a connector that sends nothing.

use anyhow::Result;

use super::Setting;
use crate::drain::Drain;
use crate::figure::Figure;
use crate::load::Load;

const JOBS: usize = 50_000;

pub(crate) async fn run(setting: &Setting<'_>) -> Result<Vec<Figure>> {
    let drain = Drain {
        pace_goal: Some(5_000.0),
        ..Drain::of(Load::of(setting.scale.of(JOBS)).keys(1), 1)
    };
    drain.figures(setting).await
}
