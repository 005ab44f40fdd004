//! Jobs of different objects, one object a call, with a connector that sends nothing.

use anyhow::Result;

use super::Setting;
use crate::drain::Drain;
use crate::figure::Figure;
use crate::load::Load;

pub(crate) const JOBS: usize = 100_000;

pub(crate) async fn run(setting: &Setting<'_>) -> Result<Vec<Figure>> {
    let drain = Drain {
        goal: Some(13_000.0),
        log_goal: Some(10.0),
        ..Drain::of(Load::of(setting.scale.of(JOBS)), 1)
    };
    drain.figures(setting).await
}
