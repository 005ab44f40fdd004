//! The verdict, from the logs of the shops.

use std::collections::HashMap;
use std::fmt;

use anyhow::Result;
use egression_tests::order::Delivered;
use egression_tests::shop::ShopLog;

use crate::killer::Killed;
use crate::plan::{self, CHANNELS, Plan};

#[derive(Debug)]
pub struct Verdict {
    killed: Killed,
    delivered: [Delivered; 2],
    /// Objects without the content of their last update.
    wrong: [u64; 2],
}

pub async fn judge(plan: &Plan, logs: &[ShopLog; 2], killed: &Killed) -> Result<Verdict> {
    let mut verdict = Verdict {
        killed: *killed,
        delivered: [Delivered::default(); 2],
        wrong: [0; 2],
    };
    for (place, (channel, log)) in CHANNELS.iter().zip(logs).enumerate() {
        verdict.delivered[place] = plan.order(channel).judge(&log.writes().await?);
        let there: HashMap<String, String> = log
            .objects()
            .await?
            .into_iter()
            .map(|object| (object.id, object.digest))
            .collect();
        let as_expected =
            |object: &usize| there.get(&plan::id(*object)) == Some(&plan.last_digest(*object));
        verdict.wrong[place] = (0..plan.objects)
            .filter(|object| !as_expected(object))
            .count() as u64;
    }
    Ok(verdict)
}

impl Verdict {
    pub fn is_clean(&self) -> bool {
        let repeats: u64 = self
            .delivered
            .iter()
            .map(|delivered| delivered.repeated_same_key)
            .sum();
        let clean = |delivered: &Delivered| {
            delivered.inversions + delivered.never_taken + delivered.repeated_other_key == 0
        };
        self.wrong == [0, 0]
            && self.delivered.iter().all(clean)
            && repeats <= self.killed.open_intents
    }
}

/// Whether the host was killed as often as planned, and at least once with open intents. Otherwise
/// the run proves nothing.
pub const fn is_as_planned(plan: &Plan, killed: &Killed) -> bool {
    killed.kills == plan.kills as u64 && killed.open_intents > 0
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} kills, {} open intents in total",
            self.killed.kills, self.killed.open_intents
        )?;
        for ((channel, delivered), wrong) in CHANNELS.iter().zip(&self.delivered).zip(self.wrong) {
            let Delivered {
                inversions,
                never_taken,
                repeated_same_key,
                repeated_other_key,
            } = delivered;
            write!(
                f,
                "\n{channel}: lost {never_taken}, wrong at the end {wrong}, \
                 inversions {inversions}, repeated under the same key {repeated_same_key}, \
                 under another key {repeated_other_key}"
            )?;
        }
        Ok(())
    }
}
