//! Jobs of different objects, 100 objects a call, with a connector that sends nothing.

use anyhow::Result;

use super::Setting;
use crate::drain::Drain;
use crate::figure::Figure;
use crate::load::Load;

const JOBS: usize = 200_000;

pub(crate) async fn run(setting: &Setting<'_>) -> Result<Vec<Figure>> {
    let drain = Drain {
        goal: Some(30_000.0),
        log_goal: Some(6.0),
        ..Drain::of(Load::of(setting.scale.of(JOBS)), 100)
    };
    drain.figures(setting).await
}
