//! Jobs of 200 partition keys, one object a call, with a connector that sends nothing.

use anyhow::Result;

use super::Setting;
use crate::drain::Drain;
use crate::figure::Figure;
use crate::load::Load;

const JOBS: usize = 100_000;
const KEYS: usize = 200;

pub(crate) async fn run(setting: &Setting<'_>) -> Result<Vec<Figure>> {
    let drain = Drain {
        goal: Some(15_000.0),
        ..Drain::of(Load::of(setting.scale.of(JOBS)).keys(KEYS), 1)
    };
    drain.figures(setting).await
}
